package endtoend

import (
	"bytes"
	"encoding/csv"
	"flag"
	"fmt"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/nettest"
	"github.com/octavo-books/octavo/internal/waittest"
)

// goodbooks is where further books come from:
//
//	go test ./test/endtoend -run=TestShelves -v -args -goodbooks=folder
var goodbooks = flag.String("goodbooks", "", "a folder of goodbooks-10k, to import shelves over its books too")

// shelvesBound is how long 1,000 rows may take through the storefront.
const shelvesBound = 5 * time.Second

// octavo runs a command to its end and returns what it printed to the terminal.
func octavo(t *testing.T, args ...string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(binaries, "octavo"), args...)
	command.Env = environment()
	var problems bytes.Buffer
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		err = fmt.Errorf("octavo %s: %w\n%s", strings.Join(args, " "), err, problems.Bytes())
	}
	return string(out), err
}

// withISBNs gives every book of a catalogue an ISBN, by exporting it and
// importing it again, and returns the plain ones.
func withISBNs(t *testing.T, folder string) []known {
	t.Helper()
	path := filepath.Join(t.TempDir(), "books.csv")
	if _, err := octavo(t, "export", "catalog", "--data-dir", folder, "--output", path); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range rows[0] {
		if name == "isbn" {
			for n, row := range rows[1:] {
				row[i] = madeISBN(n)
			}
		}
	}
	var out bytes.Buffer
	if err := csv.NewWriter(&out).WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if report, err := octavo(t, "import", "csv", "--data-dir", folder, path); err != nil || strings.Contains(report, "refused:") {
		t.Fatalf("%v\n%s", err, report)
	}
	books, err := readKnown(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return plainOnes(books)
}

// upload sends a file as the form of the storefront does; asFile asks for the
// rows that gave nothing in place of a page.
func (v *visitor) upload(content []byte, asFile bool) (page, error) {
	v.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	file, err := form.CreateFormFile("file", "goodreads_library_export.csv")
	if err == nil {
		_, err = file.Write(content)
	}
	if err == nil && asFile {
		err = form.WriteField("answer", "file")
	}
	if err == nil {
		err = form.Close()
	}
	if err != nil {
		v.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.shop+"/me/import", &body)
	if err != nil {
		v.t.Fatal(err)
	}
	request.Header.Set("Content-Type", form.FormDataContentType())
	patient := *v.client
	patient.Timeout = time.Minute
	return (&visitor{t: v.t, client: &patient, shop: v.shop}).do(request)
}

// TestShelves imports a large file with many faults into a shop that is really
// running, by the page and by the command, and wants exactly what was planted.
func TestShelves(t *testing.T) {
	folder := demoFolder(t)
	_, at := serveProcess(t, folder)
	if *goodbooks != "" {
		if _, err := octavo(t, "import", "goodbooks", "--data-dir", folder, *goodbooks); err != nil {
			t.Fatal(err)
		}
	}
	books := withISBNs(t, folder)
	if len(books) < 100 {
		t.Fatalf("only %d plain books", len(books))
	}

	t.Run("a thousand rows through the storefront", func(t *testing.T) {
		file := writeGoodreads(books, 1000, 1, false)
		answer, err := newVisitor(t, "http://"+at.HTTP).upload(file.content, false)
		if err != nil || answer.status != http.StatusOK {
			t.Fatalf("%d, %v\n%s", answer.status, err, answer.body)
		}
		t.Logf("1,000 rows took %v", answer.took.Round(time.Millisecond))
		if answer.took > shelvesBound {
			t.Errorf("1,000 rows took %v, want at most %v", answer.took, shelvesBound)
		}
		if want := "1,000 of 1,000 rows taken; 2,000 changes new"; !strings.Contains(answer.body, want) {
			t.Errorf("the page does not say %q:\n%s", want, answer.body)
		}
	})

	file := writeGoodreads(books, 10_000, 2, true)
	t.Run("ten thousand rows with faults through the storefront", func(t *testing.T) {
		v := newVisitor(t, "http://"+at.HTTP)
		answer, err := v.upload(file.content, true)
		if err != nil || answer.status != http.StatusOK {
			t.Fatalf("%d, %v\n%s", answer.status, err, answer.body)
		}
		t.Logf("10,000 rows took %v, of which %d are reported", answer.took.Round(time.Millisecond), len(file.findings))
		got, err := csv.NewReader(strings.NewReader(answer.body)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		var refused, odd []string
		for _, row := range got[1:] {
			text := row[0] + ": " + row[2]
			if row[1] == "not imported" {
				refused = append(refused, text)
			} else {
				odd = append(odd, text)
			}
		}
		file.compare(t, refused, odd)
		answer, err = v.upload(file.content, false)
		want := fmt.Sprintf("of %s rows taken; 0 changes new", thousands(file.rows))
		if err != nil || !strings.Contains(answer.body, want) || !strings.Contains(answer.body, thousands(file.byISBN)+" books were found by ISBN") {
			t.Errorf("a second time: %v; the page does not say %q", err, want)
		}
	})

	t.Run("the same by the command", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "export.csv")
		if err := os.WriteFile(path, file.content, 0o600); err != nil {
			t.Fatal(err)
		}
		reader := createReader(t, at.Readers)
		for _, recorded := range []int{file.interactions, 0} {
			out, err := octavo(t, "import", "shelves", "--data-dir", folder, "--reader", strconv.Itoa(int(reader)), path)
			if err != nil {
				t.Fatal(err)
			}
			var refused, odd []string
			lines := strings.Split(strings.TrimSpace(out), "\n")
			for _, line := range lines[:len(lines)-1] {
				text := place.ReplaceAllString(line, "$1: ")
				if plain, ok := strings.CutSuffix(text, " (taken without that)"); ok {
					odd = append(odd, plain)
				} else {
					refused = append(refused, text)
				}
			}
			file.compare(t, refused, odd)
			unmatched := 0
			for _, f := range file.findings {
				if f.refused && (strings.HasPrefix(f.reason, "no book") || strings.Contains(f.reason, "names no author") || strings.Contains(f.reason, "not by")) {
					unmatched++
				}
			}
			want := fmt.Sprintf("Goodreads: %d of %d rows taken, %d books found by ISBN and %d by title and author, %d books not found; %d interactions are new",
				file.byISBN+file.byTitle, file.rows, file.byISBN, file.byTitle, unmatched, recorded)
			if got := lines[len(lines)-1]; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
	})
}

var place = regexp.MustCompile(`^export\.csv:(\d+):\d+: `)

// compare wants exactly the findings that were planted, each at its line.
func (f goodreadsFile) compare(t *testing.T, refused, odd []string) {
	t.Helper()
	var wantRefused, wantOdd []finding
	for _, w := range f.findings {
		if w.refused {
			wantRefused = append(wantRefused, w)
		} else {
			wantOdd = append(wantOdd, w)
		}
	}
	for _, c := range []struct {
		name string
		got  []string
		want []finding
	}{{"refused", refused, wantRefused}, {"taken without a part", odd, wantOdd}} {
		if len(c.got) != len(c.want) {
			t.Errorf("%s: %d rows, want %d", c.name, len(c.got), len(c.want))
		}
		wrong := 0
		for i := range min(len(c.got), len(c.want)) {
			line := strconv.Itoa(c.want[i].line) + ": "
			if !strings.HasPrefix(c.got[i], line) || !strings.Contains(c.got[i], c.want[i].reason) {
				t.Errorf("%s: got %q, want line %d with %q", c.name, c.got[i], c.want[i].line, c.want[i].reason)
				if wrong++; wrong == 10 {
					return
				}
			}
		}
	}
}

func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}

func createReader(t *testing.T, address string) int32 {
	t.Helper()
	created, err := readersClient(t, address).CreateReader(t.Context(), &readersv1.CreateReaderRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return created.GetReader().GetId()
}

func readersClient(t *testing.T, address string) readersv1.ReadersServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return readersv1.NewReadersServiceClient(conn)
}

// TestShelvesSurviveTheReadersService kills the service that keeps the shelves in
// the middle of an import.
func TestShelvesSurviveTheReadersService(t *testing.T) {
	folder := demoFolder(t)
	books := withISBNs(t, folder)
	catalog, readers, recommendations, shop := nettest.FreeAddress(t), nettest.FreeAddress(t), nettest.FreeAddress(t), nettest.FreeAddress(t)
	start(t, "catalog", "--addr", catalog, "--db", filepath.Join(folder, "catalog.db"), "--admin-addr", "")
	startReaders := func() *process {
		return start(t, "readers", "--addr", readers, "--db", filepath.Join(folder, "readers.db"), "--admin-addr", "")
	}
	service := startReaders()
	start(t, "marketplace", "--addr", shop, "--catalog-addr", catalog, "--readers-addr", readers, "--recommendations-addr", recommendations,
		"--session-key-file", filepath.Join(folder, "session.key"), "--admin-addr", "")
	v := newVisitor(t, "http://"+shop)
	waittest.Until(t, "the shop answers", firstStart, func() bool {
		p, err := v.try("/search?q=dune")
		return err == nil && p.status == http.StatusOK
	})
	// The first row makes the visitor a reader.
	one := writeGoodreads(books, 1, 3, false)
	waittest.Until(t, "the first row is taken", firstStart, func() bool {
		p, err := v.upload(one.content, false)
		return err == nil && p.status == http.StatusOK
	})

	client := readersClient(t, readers)
	log, err := client.WatchInteractions(t.Context(), &readersv1.WatchInteractionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	caughtUp := make(chan int64, 1) // then how much is in the log
	more := make(chan error, 1)
	go func() {
		head := int64(-1)
		for {
			m, err := log.Recv()
			if err != nil {
				more <- err
				return
			}
			if head >= 0 && m.GetPosition() > head+10_000 {
				more <- nil
				return
			}
			if head < 0 && m.GetPosition() >= m.GetHead() {
				head = m.GetPosition()
				caughtUp <- head
			}
		}
	}()
	before := <-caughtUp
	file := writeGoodreads(books, 30_000, 4, false)
	answers := make(chan page, 1)
	go func() {
		answer, err := v.upload(file.content, false)
		if err != nil {
			answer.body = err.Error()
		}
		answers <- answer
	}()
	if err := <-more; err != nil {
		t.Fatal(err)
	}
	service.kill(t)
	answer := <-answers
	taken := regexp.MustCompile(`([\d,]+) of 30,000 rows taken`).FindStringSubmatch(answer.body)
	if answer.status != http.StatusServiceUnavailable || taken == nil || !strings.Contains(answer.body, "Send the same file again") ||
		!strings.Contains(answer.body, "the import stopped before it was taken") {
		t.Fatalf("%d\n%.3000s", answer.status, answer.body)
	}
	t.Logf("killed with %s of 30,000 rows taken", taken[1])
	startReaders()
	waittest.Until(t, "the import comes to its end", firstStart, func() bool {
		answer, err = v.upload(file.content, false)
		return err == nil && answer.status == http.StatusOK
	})
	if !strings.Contains(answer.body, "30,000 of 30,000 rows taken") {
		t.Errorf("%.3000s", answer.body)
	}
	if got, want := position(t, readers)-before, int64(file.interactions); got != want {
		t.Errorf("%d interactions were recorded by both, want %d", got, want)
	}
}

// position is the end of the log.
func position(t *testing.T, readers string) int64 {
	t.Helper()
	log, err := readersClient(t, readers).WatchInteractions(t.Context(), &readersv1.WatchInteractionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := log.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if m.GetPosition() >= m.GetHead() {
			return m.GetPosition()
		}
	}
}
