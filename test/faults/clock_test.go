//go:build clock

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

// stable is how long the clock of the program goes as it should.
const stable = 2 * time.Second

// jumpingClock makes a folder's octavo whose wall clock shows the right time,
// an hour more, the right time and an hour less, in turns. What a program sees
// of the clock comes from the standard library, in which the compiler is given
// another file.
func jumpingClock(t *testing.T, folder string) string {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	source, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	const before, line = "func Now() Time {", "\tmono -= startNano\n"
	at := bytes.Index(source, []byte(before))
	if at < 0 || !bytes.Contains(source[at:], []byte(line)) {
		t.Fatalf("%s tells the time in another way than this test knows", original)
	}
	changed := append(source[:at:at], bytes.Replace(source[at:], []byte(line), []byte(line+"\tsec += jump(mono)\n"), 1)...)
	changed = fmt.Appendf(changed, "\nfunc jump(mono int64) int64 { return [4]int64{0, 3600, 0, -3600}[mono/%d%%4] }\n", int64(stable))
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {original: filepath.Join(folder, "time.go")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(folder, "time.go"), changed, 0o600),
		os.WriteFile(filepath.Join(folder, "overlay.json"), overlay, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	binary, err := build(folder, "-overlay="+filepath.Join(folder, "overlay.json"))
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// TestTheClockJumps is row 19 of the faults: the whole program under a clock
// that is set, an hour forward and back, while a reader does things by calls and
// a visitor by forms.
func TestTheClockJumps(t *testing.T) {
	folder := t.TempDir()
	server, err := start(jumpingClock(t, folder), folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.stop(); err != nil {
			t.Errorf("stop octavo: %v\n%s", err, server.output)
		}
	})
	conn, err := grpc.NewClient(server.addresses.Readers, grpc.WithTransportCredentials(server.credentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	client, recommend := readersv1.NewReadersServiceClient(conn), callers(t, server)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	visitor := &http.Client{Jar: jar, Timeout: 5 * time.Second}
	page := func(method, path string, form url.Values) string {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, "http://"+server.addresses.HTTP+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		if method == http.MethodPost {
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		response, err := visitor.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var body bytes.Buffer
		if _, err := body.ReadFrom(response.Body); err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %s, %v", method, path, response.Status, err)
		}
		return body.String()
	}
	made, err := client.CreateReader(t.Context(), &readersv1.CreateReaderRequest{})
	if err != nil {
		t.Fatal(err)
	}
	reader := made.GetReader().GetId()

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var books []int32
	var last int64
	var slowest time.Duration
	var ahead, behind bool
	for began := time.Now(); time.Since(began) < 8*stable; {
		book := int32(len(books) + 1)
		sent := time.Now()
		done, err := client.RecordInteractions(ctx, &readersv1.RecordInteractionsRequest{Interactions: []*readersv1.Interaction{
			{ReaderId: reader, BookId: book, Kind: readersv1.InteractionKind_INTERACTION_KIND_WANT},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if done.GetPosition() <= last {
			t.Errorf("position %d follows %d", done.GetPosition(), last)
		}
		last, books = done.GetPosition(), append(books, book)
		if err := recommend(ctx); err != nil {
			t.Errorf("recommend: %v", err)
		}
		if book%10 == 1 {
			page(http.MethodPost, fmt.Sprintf("/book/%d/shelf", book), url.Values{"shelf": {"want"}})
			if !strings.Contains(page(http.MethodGet, "/me", nil), fmt.Sprintf("/book/%d", book)) {
				t.Errorf("the visitor's own page does not know book %d", book)
			}
		}
		slowest = max(slowest, time.Since(sent))
		wait(ctx, 20*time.Millisecond)
	}
	if slowest > time.Second {
		t.Errorf("the slowest turn took %v", slowest)
	}
	shelf, err := client.ListShelf(ctx, &readersv1.ListShelfRequest{ReaderId: reader})
	if err != nil || len(shelf.GetEntries()) != len(books) {
		t.Fatalf("the shelf has %d books, want %d: %v", len(shelf.GetEntries()), len(books), err)
	}
	for i, e := range shelf.GetEntries() {
		if want := books[len(books)-1-i]; e.GetBookId() != want {
			t.Errorf("place %d of the shelf has book %d, want %d", i, e.GetBookId(), want)
		}
		off := time.Until(e.GetUpdatedAt().AsTime())
		ahead, behind = ahead || off > 50*time.Minute, behind || off < -50*time.Minute
	}
	if !ahead || !behind {
		t.Errorf("the clock was ahead: %v, behind: %v; the test has shown nothing", ahead, behind)
	}
	if text := server.output.String(); strings.Contains(text, "panic") || strings.Contains(text, "level=ERROR") {
		t.Errorf("octavo printed:\n%s", text)
	}
	t.Logf("%d interactions in order, the slowest turn took %v", len(books), slowest)
}
