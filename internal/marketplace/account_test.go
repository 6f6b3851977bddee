package marketplace

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/octavo-books/octavo/fault"
)

const secret = "gelber stuhl am see"

// cookieOf is the value that an answer sets, or that it sets none.
func cookieOf(header http.Header, name string) (string, bool) {
	response := http.Response{Header: header}
	for _, c := range response.Cookies() {
		if c.Name == name {
			return c.Value, true
		}
	}
	return "", false
}

func TestAStrangerMakesAnAccountAndKeepsTheShelves(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	b.get("/book/2")
	b.send("/book/1/shelf", "shelf", "want")
	visitor := services.readers.newest()
	wants(t, b.get("/sign-up"), "Make an account", "What you rated and shelved on this visit comes along.")
	if to := b.send("/sign-up", "name", "ada", "password", secret); to != "/" {
		t.Errorf("then comes %s", to)
	}
	if got := services.accounts.visitors[0]; got.GetReaderId() != visitor || !slices.Equal(got.GetSeenBookIds(), []int32{2}) {
		t.Errorf("the account was made for the visitor %v, want reader %d", got, visitor)
	}
	wants(t, b.get("/"), "Your account, ada")
	page := b.get("/account")
	wants(t, page, "Firefox on Linux", "this one", "Change the password")
	if to := b.send("/sign-out"); to != "/" {
		t.Errorf("signing out leads to %s", to)
	}
	wantsNot(t, b.get("/"), "ada")
	wants(t, b.get("/me"), "Nobody is reading yet.")
	if len(services.accounts.sessions) != 0 {
		t.Error("the session goes on after signing out")
	}
	if status, _, header := b.fetch("/account"); status != http.StatusSeeOther || header.Get("Location") != "/sign-in?next=/account" {
		t.Errorf("the account's page for a stranger: %d to %s", status, header.Get("Location"))
	}
	if to := b.send("/sign-in", "name", "ada", "password", secret, "next", "/account"); to != "/account" {
		t.Errorf("signing in leads to %s", to)
	}
	b.get("/account")
}

func TestFormsSayWhatIsWrong(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	b.send("/sign-up", "name", "ada", "password", secret)
	b.forget()
	for _, c := range []struct {
		name, path string
		form       url.Values
		status     int
		says       string
	}{
		{"wrong password", "/sign-in", url.Values{"name": {"ada"}, "password": {"x"}}, http.StatusUnauthorized, "The user name or the password is wrong."},
		{"unknown name", "/sign-in", url.Values{"name": {"bob"}, "password": {"x"}}, http.StatusUnauthorized, "The user name or the password is wrong."},
		{"nothing", "/sign-in", url.Values{}, http.StatusUnauthorized, "The user name or the password is wrong."},
		{"bytes that are no text", "/sign-in", url.Values{"name": {"\xff"}, "password": {"\xfe"}}, http.StatusUnauthorized, "The user name or the password is wrong."},
		{"a name that is taken", "/sign-up", url.Values{"name": {"ada"}, "password": {secret}}, http.StatusConflict, "The user name ada is taken."},
		{"a short password", "/sign-up", url.Values{"name": {"bob"}, "password": {"x"}}, http.StatusBadRequest, "The password is too short."},
		{"no name", "/sign-up", url.Values{"password": {secret}}, http.StatusBadRequest, "Give a user name"},
		{"a password of bytes", "/sign-up", url.Values{"name": {"bob"}, "password": {"\xff"}}, http.StatusBadRequest, "Choose another"},
	} {
		status, page, header := b.post(c.path, c.form)
		if status != c.status || !strings.Contains(text(page), c.says) || !strings.Contains(page, `role="alert"`) {
			t.Errorf("%s: status %d\n%s", c.name, status, text(page))
		}
		if _, set := cookieOf(header, tokenName); set {
			t.Errorf("%s: signed in", c.name)
		}
		if password := c.form.Get("password"); len(password) > 5 && strings.Contains(page, password) {
			t.Errorf("%s: the page repeats the password", c.name)
		}
	}
	services.accounts.refusal = &fault.Error{Kind: fault.Exhausted, Message: "Too many wrong passwords were tried. Please wait, then try again.", RetryAfter: 150 * time.Second}
	status, page, header := b.post("/sign-in", url.Values{"name": {"ada"}, "password": {secret}})
	if status != http.StatusTooManyRequests || header.Get("Retry-After") != "150" {
		t.Errorf("held off: status %d, Retry-After %s", status, header.Get("Retry-After"))
	}
	wants(t, page, "Too many wrong passwords were tried.", "You can try again in 3 minutes.")
}

func TestASVS_6_2_PasswordFieldsHelpManagers(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	for _, c := range []struct {
		path  string
		marks []string
	}{
		{"/sign-in", []string{`autocomplete="username"`, `autocomplete="current-password"`}},
		{"/sign-up", []string{`autocomplete="username"`, `autocomplete="new-password"`}},
		{"/account", []string{`autocomplete="username"`, `autocomplete="current-password"`, `autocomplete="new-password"`}},
	} {
		path := c.path
		if path == "/account" {
			b.send("/sign-up", "name", "ada", "password", secret)
		}
		page := b.get(path)
		for _, mark := range c.marks {
			if !strings.Contains(page, mark) {
				t.Errorf("%s lacks %s", path, mark)
			}
		}
		for _, input := range regexp.MustCompile(`<input[^>]*assword[^>]*>`).FindAllString(page, -1) {
			if !strings.Contains(input, `type="password"`) || strings.Contains(input, "onpaste") || strings.Contains(input, `autocomplete="off"`) {
				t.Errorf("%s: %s", path, input)
			}
		}
	}
}

func TestASVS_7_2_4_SigningInEndsWhatWasThereBefore(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	_, _, header := b.post("/sign-up", url.Values{"name": {"ada"}, "password": {secret}})
	first, _ := cookieOf(header, tokenName)
	_, _, header = b.post("/sign-in", url.Values{"name": {"ada"}, "password": {secret}})
	second, set := cookieOf(header, tokenName)
	if !set || first == second || services.accounts.sessions[first] != "" {
		t.Errorf("tokens %q, then %q; still valid: %v", first, second, services.accounts.sessions)
	}
}

// Who plants cookies in a browser and waits for somebody to sign in there gets
// nothing: neither the planted token nor the planted visit leads to the
// account.
func TestFault17_SessionFixation(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	b.send("/book/1/shelf", "shelf", "want") // the attacker's own visit
	planted := b.client.Jar.Cookies(mustParse(t, b.server.URL))
	get := func(cookies ...*http.Cookie) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.server.URL+"/me", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cookies {
			r.AddCookie(c)
		}
		b.forget()
		_, page, _ := b.do(r)
		return page
	}
	jar := b.client.Jar
	jar.SetCookies(mustParse(t, b.server.URL), []*http.Cookie{{Name: tokenName, Value: "planted-token", Path: "/"}})
	b.send("/sign-up", "name", "ada", "password", secret)
	own := jar.Cookies(mustParse(t, b.server.URL))
	reader := services.accounts.names["ada"]
	b.send("/book/4/shelf", "shelf", "want")
	wants(t, get(own...), "Republic", "ada")
	for what, cookies := range map[string][]*http.Cookie{
		"the planted visit":                 planted,
		"the planted token":                 {{Name: tokenName, Value: "planted-token"}},
		"both":                              append(slices.Clone(planted), &http.Cookie{Name: tokenName, Value: "planted-token"}),
		"the account's visit, but no token": slices.DeleteFunc(slices.Clone(own), func(c *http.Cookie) bool { return c.Name == tokenName }),
	} {
		page := get(cookies...)
		if strings.Contains(page, "Republic") || strings.Contains(page, "ada") {
			t.Errorf("%s shows reader %d:\n%s", what, reader, text(page))
		}
	}
}

func mustParse(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestASVS_3_3_CookiesOfAnAccount(t *testing.T) {
	b := open(t, library().config(t))
	_, _, header := b.post("/sign-up", url.Values{"name": {"ada"}, "password": {secret}}, "X-Forwarded-Proto", "https")
	for _, cookie := range header.Values("Set-Cookie") {
		for _, part := range []string{"HttpOnly", "SameSite=Lax", "Secure", "Path=/"} {
			if !strings.Contains(cookie, part) || !strings.HasPrefix(cookie, "__Host-") || strings.Contains(cookie, "Domain") {
				t.Errorf("the cookie %q is not %s, or not for this host alone", cookie, part)
			}
		}
	}
	if len(header.Values("Set-Cookie")) != 2 {
		t.Errorf("cookies %v", header.Values("Set-Cookie"))
	}
	b.forget()
	_, _, header = b.post("/sign-up", url.Values{"name": {"bob"}, "password": {secret}})
	for _, cookie := range header.Values("Set-Cookie") {
		if strings.Contains(cookie, "Secure") || strings.Contains(cookie, "__Host-") {
			t.Errorf("the cookie %q would be lost without TLS", cookie)
		}
	}
}

// ASVS 5.0, 3.5.1. Every route that takes anything but GET and HEAD, as the
// table of the storefront has it.
func TestFault17_CrossSiteRequestsAreRefusedByEveryRoute(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	b.send("/sign-up", "name", "ada", "password", secret)
	s, err := newShop(services.config(t))
	if err != nil {
		t.Fatal(err)
	}
	before, accounts := len(services.readers.interactions()), services.accounts.tokens
	tried := 0
	for _, route := range s.pages() {
		method, path, any := strings.Cut(route.pattern, " ")
		if any && method == http.MethodGet {
			continue
		}
		if !any {
			path = "/nowhere"
		}
		path = strings.NewReplacer("{id}", "1").Replace(path)
		tried++
		for name, headers := range map[string][]string{
			"cross-site": {"Sec-Fetch-Site", "cross-site"},
			"same-site":  {"Sec-Fetch-Site", "same-site"},
			"origin":     {"Origin", "https://elsewhere.example"},
			"no origin":  {"Origin", "null"},
		} {
			status, page, header := b.post(path, url.Values{
				"name": {"eve"}, "password": {secret}, "end": {"all"}, "current_password": {secret}, "new_password": {"neun blaue boote"},
				"rating": {"4"}, "shelf": {"want"}, "reader": {"5"},
			}, headers...)
			if status != http.StatusForbidden || !strings.Contains(text(page), "This form was sent from another site") || len(header.Values("Set-Cookie")) > 0 {
				t.Errorf("%s, %s: status %d, cookies %v", route.pattern, name, status, header.Values("Set-Cookie"))
			}
		}
	}
	if tried < 9 {
		t.Errorf("only %d routes were tried", tried)
	}
	if len(services.readers.interactions()) != before || services.accounts.tokens != accounts || len(services.accounts.sessions) != 1 {
		t.Error("something was changed")
	}
	b.get("/account") // still signed in
}

// ASVS 5.0, 3.7.2.
func TestFault17_SigningInLeadsNowhereElse(t *testing.T) {
	b := open(t, library().config(t))
	b.send("/sign-up", "name", "ada", "password", secret)
	for next, want := range map[string]string{
		"/me": "/me", "/search?q=dune": "/search?q=dune", "": "/", "me": "/",
		"//elsewhere.example": "/", "///elsewhere.example": "/", `/\elsewhere.example`: "/", `\\elsewhere.example`: "/", "https://elsewhere.example/": "/",
		"javascript:alert(1)": "/", "/\t/elsewhere.example": "/", "/\r\nSet-Cookie: a=b": "/", " //elsewhere.example": "/", "%2f%2felsewhere.example": "/",
		"//user@elsewhere.example": "/", "/%zz": "/", "/" + strings.Repeat("a", 600): "/",
	} {
		if got := b.send("/sign-in", "name", "ada", "password", secret, "next", next); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
		status, _, header := b.fetch("/sign-in?next=" + url.QueryEscape(next))
		if got := header.Get("Location"); status != http.StatusSeeOther || got != want {
			t.Errorf("for who is signed in, %q leads to %q, want %q", next, got, want)
		}
	}
}

func TestASVS_7_4_EndedSessionsAreOver(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	b.send("/sign-up", "name", "ada", "password", secret)
	here := b.client.Jar
	b.forget()
	b.send("/sign-in", "name", "ada", "password", secret)
	if to := b.send("/account/password", "current_password", secret, "new_password", "neun blaue boote"); to != "/account?done=password" {
		t.Errorf("then comes %s", to)
	}
	wants(t, b.get("/account?done=password"), "Your password is changed, and all other browsers are signed out.")
	there := b.client.Jar
	b.client.Jar = here
	page := b.get("/me")
	wants(t, page, "You are signed out.", "Nobody is reading yet.")
	b.client.Jar = there
	status, page, _ := b.post("/account/password", url.Values{"current_password": {"wrong"}, "new_password": {"zehn graue boote"}})
	if status != http.StatusBadRequest || !strings.Contains(text(page), "This is not your present password.") {
		t.Errorf("status %d: %s", status, text(page))
	}
	b.send("/account/sessions", "end", "all")
	wantsNot(t, b.get("/"), "ada")
}

// While the readers service is down, who was seen a moment ago goes on reading;
// a token nobody has seen opens nothing, and is kept.
func TestSignedInWithoutReaders(t *testing.T) {
	services := library()
	c := services.config(t)
	b := open(t, c)
	b.send("/sign-up", "name", "ada", "password", secret)
	b.get("/")
	services.accounts.set(true, false)
	services.readers.set(true, false)
	wants(t, b.get("/"), "Your account, ada")

	other := open(t, c) // another replica, which has not seen the session
	other.client.Jar.SetCookies(mustParse(t, other.server.URL), b.client.Jar.Cookies(mustParse(t, b.server.URL)))
	page := other.get("/")
	wantsNot(t, page, "ada")
	if status, _, header := other.post("/book/1/shelf", url.Values{"shelf": {"want"}}); status != http.StatusServiceUnavailable || len(header.Values("Set-Cookie")) != 0 {
		t.Errorf("a click then: status %d, cookies %v", status, header.Values("Set-Cookie"))
	}
	services.accounts.set(false, false)
	services.readers.set(false, false)
	wants(t, other.get("/"), "Your account, ada")
}

func TestDemoReadersEndWithTheFirstAccount(t *testing.T) {
	for mode, want := range map[string]struct{ before, after bool }{
		DemoAuto: {true, false}, DemoOn: {true, true}, DemoOff: {false, false},
	} {
		t.Run(mode, func(t *testing.T) {
			services := library()
			c := services.config(t)
			c.DemoReaders = mode
			check := func(want bool) {
				t.Helper()
				b := open(t, c) // with nothing remembered
				status, _, _ := b.post("/reader", url.Values{"reader": {"17"}})
				if got := status == http.StatusSeeOther; got != want {
					t.Errorf("choosing a demo reader: status %d, want it open: %v", status, want)
				}
				status, _, _ = b.fetch("/api/v1/recommendations?reader=17")
				if got := status == http.StatusOK; got != want {
					t.Errorf("the API for a demo reader: status %d, want it open: %v", status, want)
				}
				if got := strings.Contains(b.get("/"), "/reader"); got != want {
					t.Errorf("the first page leads to demo readers: %v", got)
				}
				if status, _, _ := b.fetch("/reader"); (status == http.StatusOK) != want {
					t.Errorf("the page of readers: status %d", status)
				}
			}
			check(want.before)
			b := open(t, c)
			b.post("/reader", url.Values{"reader": {"17"}})
			demo := b.client.Jar.Cookies(mustParse(t, b.server.URL))
			b.forget()
			b.send("/sign-up", "name", "ada", "password", secret)
			check(want.after)
			later := open(t, c)
			later.client.Jar.SetCookies(mustParse(t, later.server.URL), demo)
			if got := strings.Contains(later.get("/me"), "Dune"); got != want.after {
				t.Errorf("somebody who reads as a demo reader goes on: %v", got)
			}
		})
	}
}

func TestTheAddressThatLimitsCountFor(t *testing.T) {
	for _, c := range []struct {
		proxies   int
		forwarded []string
		want      string
	}{
		{0, nil, "192.0.2.1"},
		{0, []string{"203.0.113.5"}, "192.0.2.1"}, // anybody can write that
		{1, []string{"203.0.113.5"}, "203.0.113.5"},
		{1, []string{"1.1.1.1, 203.0.113.5"}, "203.0.113.5"},
		{2, []string{"1.1.1.1, 203.0.113.5", "198.51.100.7"}, "203.0.113.5"},
		{2, []string{"203.0.113.5"}, "192.0.2.1"},
		{1, []string{"nonsense"}, "192.0.2.1"},
		{1, []string{"2001:db8::1"}, "2001:db8::1"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/sign-in", nil)
		r.Header["X-Forwarded-For"] = c.forwarded
		s := &shop{Config: Config{TrustedProxies: c.proxies}}
		if got := s.address(r); got != c.want {
			t.Errorf("%d proxies, %q: %s, want %s", c.proxies, c.forwarded, got, c.want)
		}
	}
}

func TestTheReadersServiceLearnsOfTheBrowser(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	b.post("/sign-up", url.Values{"name": {"ada"}, "password": {secret}}, "User-Agent", "Agent "+strings.Repeat("x", 3000))
	if got := services.accounts.clients; len(got) != 1 || got[0].GetAddress() != "127.0.0.1" || len(got[0].GetAgent()) != 200 {
		t.Errorf("told %v", got)
	}
}
