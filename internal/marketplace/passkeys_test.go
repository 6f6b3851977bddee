package marketplace

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/octavo-books/octavo/fault"
)

const publicly = "https://books.example"

// withPasskeys is a shop that knows its address, with ada signed in.
func withPasskeys(t *testing.T) (*services, *browser) {
	t.Helper()
	services := library()
	c := services.config(t)
	c.PublicURL = publicly
	b := open(t, c)
	b.send("/sign-up", "name", "ada", "password", secret)
	return services, b
}

// add adds a passkey as the script does.
func add(t *testing.T, b *browser, name string) string {
	t.Helper()
	status, page, _ := b.post("/account/passkeys/begin", url.Values{"current_password": {secret}}, "Accept", "application/json")
	if status != http.StatusOK || page != `{"challenge":"BB"}` {
		t.Fatalf("status %d: %s", status, page)
	}
	return b.send("/account/passkeys", "response", "signed", "name", name)
}

func TestPasskeysAreForThePublicAddress(t *testing.T) {
	for _, c := range []struct {
		public, host, proto string
		port                int // that was connected to
		want                string
	}{
		{publicly, "books.example", "", 8080, publicly},
		{publicly, "10.0.0.7:8080", "", 8080, publicly}, // as a proxy may call it
		{publicly, "localhost:8080", "", 8080, publicly},
		{"", "books.example", "https", 443, ""}, // whoever asks can write that
		{"", "127.0.0.1:8080", "", 8080, ""},
		{"", "localhost.evil.example", "", 80, ""},
		{"", "localhost:8080", "", 8080, "http://localhost:8080"},
		{"", "localhost:9090", "", 8080, ""}, // another program, whose page passes our challenge on
		{"", "localhost", "", 8080, ""},
		{"", "localhost", "", 80, "http://localhost"},
		{"", "localhost", "https", 443, "https://localhost"},
	} {
		config := library().config(t)
		config.PublicURL = c.public
		shop, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		connected := context.WithValue(t.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: c.port})
		r := httptest.NewRequestWithContext(connected, http.MethodGet, "/sign-in", nil)
		r.Host = c.host
		r.Header.Set("X-Forwarded-Proto", c.proto)
		w := httptest.NewRecorder()
		shop.ServeHTTP(w, r)
		if got := strings.Contains(w.Body.String(), `data-origin="`+c.want+`"`); got != (c.want != "") {
			t.Errorf("%+v: the page offers them there: %v\n%s", c, got, w.Body)
		}
		policy := w.Header().Get("Content-Security-Policy")
		if got := strings.Contains(policy, "script-src 'self'"); got != (c.want != "") || !strings.HasPrefix(policy, "default-src 'none'") {
			t.Errorf("%+v: the policy is %s", c, policy)
		}
		r = httptest.NewRequestWithContext(connected, http.MethodPost, "/sign-in/passkey/begin", nil)
		r.Host = c.host
		r.Header.Set("X-Forwarded-Proto", c.proto)
		w = httptest.NewRecorder()
		shop.ServeHTTP(w, r)
		if (w.Code == http.StatusOK) != (c.want != "") {
			t.Errorf("%+v: beginning is answered with %d", c, w.Code)
		}
	}
}

func TestAddressesThatCannotHavePasskeysStopTheStart(t *testing.T) {
	for public, ok := range map[string]bool{
		publicly: true, publicly + ":8443": true, "http://localhost:8080": true, "": true,
		"books.example": false, "http://books.example": false, publicly + "/": false, publicly + "/shop": false, "https://192.0.2.1": false, "https://[::1]:1": false, "https://a@b.example": false, "https://": false,
	} {
		c := library().config(t)
		c.PublicURL = public
		if _, err := New(c); (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "public URL") {
			t.Errorf("%q: %v, want it taken: %v", public, err, ok)
		}
	}
}

func TestOnlyPagesWithAFormForPasskeysHaveAScript(t *testing.T) {
	_, b := withPasskeys(t)
	for path, want := range map[string]bool{"/": false, "/book/1": false, "/me": false, "/me/data": false, "/account": true, "/sign-up": false} {
		_, page, header := b.fetch(path)
		if got := strings.Contains(page, "<script"); got != want || strings.Contains(header.Get("Content-Security-Policy"), "script-src") != want {
			t.Errorf("%s: a script %v, policy %s", path, got, header.Get("Content-Security-Policy"))
		}
	}
	a, err := newAssets()
	if err != nil {
		t.Fatal(err)
	}
	// The budget of a page is 15 kB.
	if size := len(a.files[a.script].plain); size > 15_000 || size == 0 {
		t.Errorf("the script has %d bytes", size)
	}
}

func TestAPasskeyIsAddedRenamedAndRemoved(t *testing.T) {
	services, b := withPasskeys(t)
	wants(t, b.get("/account"), "Passkeys", "Your password goes on working.")
	if to := add(t, b, "Phone"); to != "/account?done=passkey-added" {
		t.Errorf("then comes %s", to)
	}
	wants(t, b.get("/account?done=passkey-added"), "The passkey is added.", "Phone", "not used yet")
	add(t, b, "")
	if got := services.accounts.passkeys[1].GetName(); got != "A browser" {
		t.Errorf("without a name it is %q", got)
	}
	if !slices.Equal(services.accounts.origins, []string{publicly, publicly}) {
		t.Errorf("for %v", services.accounts.origins)
	}
	if to := b.send("/account/passkeys/1", "do", "rename", "name", "Old phone"); to != "/account?done=passkey-renamed" {
		t.Errorf("then comes %s", to)
	}
	wants(t, b.get("/account"), "Old phone")
	if to := b.send("/account/passkeys/1", "do", "remove"); to != "/account?done=passkey-removed" {
		t.Errorf("then comes %s", to)
	}
	wantsNot(t, b.get("/account"), "Old phone")
	for path, form := range map[string]url.Values{
		"/account/passkeys/1":   {"do": {"rename"}, "name": {"x"}},
		"/account/passkeys/x":   {"do": {"remove"}},
		"/account/passkeys/0":   {"do": {"remove"}},
		"/account/passkeys/2":   {"do": {"nothing"}},
		"/account/passkeys/2?a": {"do": {"rename"}},
		"/account/passkeys":     {"response": {"signed"}}, // nothing was begun
	} {
		if status, _, _ := b.post(path, form); status/100 != 4 {
			t.Errorf("%s %v: status %d", path, form, status)
		}
	}
	if len(services.accounts.passkeys) != 1 {
		t.Errorf("passkeys %v", services.accounts.passkeys)
	}
	status, page, _ := b.post("/account/passkeys/begin", url.Values{"current_password": {"x"}}, "Accept", "application/json")
	problem := struct{ Detail string }{}
	if err := json.Unmarshal([]byte(page), &problem); err != nil || status != http.StatusBadRequest || problem.Detail != "This is not your present password." {
		t.Errorf("with a wrong password: status %d, %s", status, page)
	}
	b.send("/sign-out")
	if status, _, _ := b.post("/account/passkeys/begin", url.Values{"current_password": {secret}}); status != http.StatusUnauthorized {
		t.Errorf("signed out: status %d", status)
	}
	for _, path := range []string{"/account/passkeys", "/account/passkeys/2"} {
		if to := b.send(path, "response", "signed", "do", "remove"); to != "/sign-in?next=/account" {
			t.Errorf("signed out, %s leads to %s", path, to)
		}
	}
}

func TestAPasskeySignsInInPlaceOfThePassword(t *testing.T) {
	services, b := withPasskeys(t)
	add(t, b, "Phone")
	b.send("/sign-out")
	b.send("/book/4/shelf", "shelf", "want")
	begin := func() http.Header {
		t.Helper()
		status, page, header := b.post("/sign-in/passkey/begin", nil, "Accept", "application/json")
		if status != http.StatusOK || page != `{"challenge":"AA"}` || header.Get("Content-Type") != "application/json" || !strings.Contains(header.Get("Cache-Control"), "no-store") {
			t.Fatalf("status %d, %v: %s", status, header, page)
		}
		return header
	}
	header := begin()
	set := header.Values("Set-Cookie")
	if _, in := cookieOf(header, tokenName); in {
		t.Error("signed in before it was finished")
	}
	at := slices.IndexFunc(set, func(c string) bool { return strings.HasPrefix(c, ceremonyName+"=signing") })
	if begun, _ := cookieOf(header, ceremonyName); at < 0 || begun != "signing" || !strings.Contains(set[at], "HttpOnly") || !strings.Contains(set[at], "Max-Age=300") {
		t.Errorf("cookies %v", set)
	}
	visitors := len(services.accounts.visitors)
	for next, want := range map[string]string{"/me": "/me", "//elsewhere.example": "/"} {
		begin()
		if to := b.send("/sign-in/passkey", "response", "ada", "next", next); to != want {
			t.Errorf("%s leads to %s", next, to)
		}
	}
	if got := services.accounts.visitors[visitors]; got.GetReaderId() == 0 {
		t.Errorf("the visitor who comes along is %v", got)
	}
	wants(t, b.get("/"), "Your account, ada")
	b.send("/sign-out")

	for name, response := range map[string]string{"another one's": "bob", "none": ""} {
		begin()
		status, page, header := b.post("/sign-in/passkey", url.Values{"response": {response}})
		if _, set := cookieOf(header, tokenName); set || status != http.StatusUnauthorized || !strings.Contains(text(page), "The passkey was not accepted.") {
			t.Errorf("%s: status %d\n%s", name, status, text(page))
		}
	}
	// What was begun is over, with whatever came of it.
	if status, _, _ := b.post("/sign-in/passkey", url.Values{"response": {"ada"}}); status != http.StatusUnauthorized {
		t.Errorf("without beginning: status %d", status)
	}
	services.accounts.refusal = &fault.Error{Kind: fault.Exhausted, Message: "Too many from your network tried to sign in.", RetryAfter: 150 * time.Second}
	status, page, header := b.post("/sign-in/passkey/begin", nil, "Accept", "application/json")
	if status != http.StatusTooManyRequests || header.Get("Retry-After") != "150" || !strings.Contains(page, "You can try again in 3 minutes.") {
		t.Errorf("held off: status %d, %s", status, page)
	}
}

func TestTheExportNamesPasskeys(t *testing.T) {
	_, b := withPasskeys(t)
	add(t, b, "Phone")
	export := func() map[string]any {
		t.Helper()
		file := map[string]any{}
		if err := json.Unmarshal([]byte(b.get("/me/export.json")), &file); err != nil {
			t.Fatal(err)
		}
		return file
	}
	got, err := json.Marshal(export()["account"])
	if want := `{"name":"ada","passkeys":[{"created_at":"2027-01-15T08:00:00Z","name":"Phone"}]}`; err != nil || string(got) != want {
		t.Errorf("exported %s, %v; want %s", got, err, want)
	}
	b.forget()
	b.send("/book/4/shelf", "shelf", "want")
	if file := export(); file["account"] != nil {
		t.Errorf("who has no account exports %v", file["account"])
	}
}

func TestAReadersServiceFromBeforePasskeys(t *testing.T) {
	services, b := withPasskeys(t)
	services.accounts.old = true
	wants(t, b.get("/account"), "Where you are signed in", "None can be added")
	b.get("/me/export.json")
}
