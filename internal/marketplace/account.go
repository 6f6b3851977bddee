package marketplace

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/octavo-books/octavo/fault"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/marketplace/session"
	"github.com/octavo-books/octavo/internal/marketplace/view"
)

const accountOrigin = uint8(readersv1.Origin_ORIGIN_ACCOUNT)

// recall finds out from the cookies who the visitor is. A reader with an
// account needs the token of a session besides; other readers have none.
func (v *visit) recall() {
	if cookie, err := v.r.Cookie(v.cookie(cookieName)); err == nil {
		if known, ok := v.shop.sessions.Decode(cookie.Value); ok {
			v.session, v.saved = known, cookie.Value
		}
	}
	if cookie, err := v.r.Cookie(v.cookie(tokenName)); err == nil && len(cookie.Value) <= maxToken {
		v.token = cookie.Value
	}
	switch {
	case v.token != "":
		v.checkSession()
	case v.session.Origin == accountOrigin:
		v.session = session.Session{}
	case v.session.Reader != 0 && v.session.Origin != uint8(readersv1.Origin_ORIGIN_ANONYMOUS):
		ctx, cancel := v.ask()
		defer cancel()
		if open, known := v.shop.demoOpen(ctx); known && !open {
			v.session = session.Session{}
		}
	}
}

// checkSession asks whose session the token is. While nobody answers, who was
// seen a moment ago is believed to be the same, and anybody else is a stranger
// who keeps the cookies.
func (v *visit) checkSession() {
	ctx, cancel := v.ask()
	defer cancel()
	checked, err := v.shop.Accounts.CheckSession(ctx, &readersv1.CheckSessionRequest{Token: v.token})
	switch account := checked.GetAccount(); {
	case err != nil:
		v.missing("readers", err)
		if v.account = v.shop.seen.find(v.token, time.Now()); v.account == nil {
			v.unsure = true
		}
	case account == nil:
		v.shop.seen.forget(v.token)
		v.token, v.tokenChanged = "", true
		v.notice("You are signed out.")
	default:
		v.shop.seen.put(v.token, account, time.Now())
		v.account = account
	}
	switch {
	case v.account == nil && (v.unsure || v.session.Origin == accountOrigin):
		v.session = session.Session{}
	case v.account != nil && (v.session.Reader != v.account.GetReaderId() || v.session.Origin != accountOrigin):
		v.session = session.Session{Reader: v.account.GetReaderId(), Origin: accountOrigin}
	}
}

// enter makes the visit that of an account, with a session that just began.
func (v *visit) enter(account *readersv1.Account, token string, position int64) {
	v.account, v.token, v.tokenChanged = account, token, true
	v.session = session.Session{Reader: account.GetReaderId(), Origin: accountOrigin}
	v.session.Changed(position, time.Now())
	v.shop.seen.put(token, account, time.Now())
}

// renew takes the token of the session that has replaced all others of the
// account. The rest of the visit stays as it is.
func (v *visit) renew(token string) {
	v.shop.seen.forget(v.token)
	v.token, v.tokenChanged = token, true
	v.shop.seen.put(token, v.account, time.Now())
}

// leave makes the visit that of nobody.
func (v *visit) leave() {
	v.shop.seen.forget(v.token)
	v.account, v.token, v.tokenChanged = nil, "", v.tokenChanged || v.token != ""
	v.session = session.Session{}
}

// visitor is what the visitor did before signing in.
func (v *visit) visitor() *readersv1.Visitor {
	visitor := &readersv1.Visitor{}
	switch {
	case v.session.Reader == 0:
		visitor.SeenBookIds = v.session.Recent
	case v.session.Origin == uint8(readersv1.Origin_ORIGIN_ANONYMOUS):
		visitor.ReaderId, visitor.SeenBookIds = v.session.Reader, v.session.Recent
	}
	return visitor
}

func (v *visit) client() *readersv1.Client {
	agent := []rune(strings.ToValidUTF8(v.r.UserAgent(), ""))
	return &readersv1.Client{Address: v.shop.address(v.r), Agent: string(agent[:min(len(agent), 200)])}
}

// address is the IP address a request comes from: that of the connection, or,
// behind proxies of the operator's own, what the first of them has written.
// Whatever is further left in the header the visitor can have made up.
func (s *shop) address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if s.TrustedProxies > 0 {
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		if at := len(hops) - s.TrustedProxies; at >= 0 {
			if addr, err := netip.ParseAddr(strings.TrimSpace(hops[at])); err == nil {
				return addr.String()
			}
		}
	}
	return host
}

// demoOpen says whether demo readers can be chosen, and whether that is known.
// Left to itself the shop closes them when the first account is made.
func (s *shop) demoOpen(ctx context.Context) (open, known bool) {
	switch s.DemoReaders {
	case DemoOn:
		return true, true
	case DemoOff:
		return false, true
	}
	accounts, err := s.anyAccount.get(ctx, time.Now(), func(ctx context.Context) (bool, error) {
		found, err := s.Readers.ListReaders(ctx, &readersv1.ListReadersRequest{Origin: readersv1.Origin_ORIGIN_ACCOUNT, PageSize: 1})
		if err != nil && fault.KindOf(err) == fault.Invalid {
			return false, nil // a readers service from before there were accounts
		}
		return len(found.GetReaders()) > 0, err
	})
	return err == nil && !accounts, err == nil
}

// demoKnownOpen is demoOpen as far as it is known without asking.
func (s *shop) demoKnownOpen() bool {
	if s.DemoReaders != DemoAuto {
		return s.DemoReaders == DemoOn
	}
	accounts, known := s.anyAccount.peek()
	return known && !accounts
}

// local is the path of a page of this shop, or another one that is.
func local(path, otherwise string) string {
	to, err := url.Parse(path)
	if err != nil || to.Scheme != "" || to.Host != "" || to.User != nil || to.Opaque != "" ||
		!strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || len(path) > 500 ||
		strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f }) {
		return otherwise
	}
	return path
}

// signInPage is the page to sign in.
func (s *shop) signInPage(v *visit) error {
	next := local(v.r.URL.Query().Get("next"), "/")
	if v.account != nil {
		return v.redirect(next)
	}
	return s.showSignIn(v, http.StatusOK, view.SignIn{Next: next})
}

func (s *shop) showSignIn(v *visit, status int, page view.SignIn) error {
	page.Brings = v.session.Reader != 0 && v.session.Origin == uint8(readersv1.Origin_ORIGIN_ANONYMOUS)
	page.Frame = v.frame("Sign in", "Sign in to your shelves.")
	if page.PasskeysAt = v.passkeysAt(); page.PasskeysAt != "" {
		v.scripted(&page.Frame)
	}
	return v.show(status, view.SignInPage(page))
}

// signIn takes the form of the sign-in page.
func (s *shop) signIn(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	form := v.r.PostForm
	name, password := form.Get("name"), form.Get("password")
	page := view.SignIn{Name: cut(name), Next: local(form.Get("next"), "/")}
	if name == "" || password == "" || !typed(name) || !typed(password) {
		page.Problem = view.FormProblem{Text: "The user name or the password is wrong."}
		return s.showSignIn(v, http.StatusUnauthorized, page)
	}
	ctx, cancel := v.write()
	defer cancel()
	in, err := s.Accounts.SignIn(ctx, &readersv1.SignInRequest{Name: name, Password: password, Client: v.client(), Visitor: v.visitor(), ReplacedToken: v.token})
	if err != nil {
		return s.signInProblem(v, page, err)
	}
	v.enter(in.GetAccount(), in.GetToken(), in.GetPosition())
	return v.redirect(page.Next)
}

// signInProblem shows the sign-in page with what went wrong.
func (s *shop) signInProblem(v *visit, page view.SignIn, err error) error {
	problem, status, ok := v.formProblem(err)
	if !ok {
		return err
	}
	page.Problem = problem
	return s.showSignIn(v, status, page)
}

// signUpPage is the page to make an account.
func (s *shop) signUpPage(v *visit) error {
	if v.account != nil {
		return v.redirect("/account")
	}
	return s.showSignUp(v, http.StatusOK, view.SignUp{})
}

func (s *shop) showSignUp(v *visit, status int, page view.SignUp) error {
	page.Brings = v.session.Reader != 0 && v.session.Origin == uint8(readersv1.Origin_ORIGIN_ANONYMOUS)
	page.Frame = v.frame("Make an account", "Make an account, and keep your shelves.")
	return v.show(status, view.SignUpPage(page))
}

// signUp takes the form of the sign-up page.
func (s *shop) signUp(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	name, password := v.r.PostForm.Get("name"), v.r.PostForm.Get("password")
	page := view.SignUp{Name: cut(name)}
	switch {
	case name == "" || !typed(name):
		page.Problem = view.FormProblem{Field: "name", Text: "Give a user name of 2 to 40 letters, digits and signs, without spaces."}
	case !typed(password):
		page.Problem = view.FormProblem{Field: "password", Text: "This password is too long, or has characters that cannot be typed everywhere. Choose another."}
	}
	if page.Problem.Text != "" {
		return s.showSignUp(v, http.StatusBadRequest, page)
	}
	ctx, cancel := v.write()
	defer cancel()
	made, err := s.Accounts.CreateAccount(ctx, &readersv1.CreateAccountRequest{Name: name, Password: password, Client: v.client(), Visitor: v.visitor(), ReplacedToken: v.token})
	if err != nil {
		problem, status, ok := v.formProblem(err)
		if !ok {
			return err
		}
		if fault.KindOf(err) == fault.Conflict {
			problem.Field = "name"
		}
		page.Problem = problem
		return s.showSignUp(v, status, page)
	}
	v.enter(made.GetAccount(), made.GetToken(), made.GetPosition())
	return v.redirect("/")
}

// typed says whether a text can have been typed into a form of the shop.
func typed(text string) bool { return len(text) <= 1000 && utf8.ValidString(text) }

// cut is as much of a name as is shown again.
func cut(name string) string {
	runes := []rune(strings.ToValidUTF8(name, ""))
	return string(runes[:min(len(runes), 40)])
}

// formProblem is what the readers service finds wrong with a form, and the
// status of the page that shows it. It says false for what is not the
// visitor's to put right.
func (v *visit) formProblem(err error) (view.FormProblem, int, bool) {
	kind := fault.KindOf(err)
	answer := new(fault.Error)
	if !errors.As(err, &answer) {
		return view.FormProblem{}, 0, false
	}
	problem := view.FormProblem{Text: answer.Message}
	switch kind {
	case fault.Invalid:
		if len(answer.Fields) == 0 {
			return view.FormProblem{}, 0, false
		}
		problem.Field, problem.Text = answer.Fields[0].Field, answer.Fields[0].Message
	case fault.Unauthenticated, fault.Conflict:
	case fault.Exhausted:
		if answer.RetryAfter > 0 {
			seconds := int((answer.RetryAfter + time.Second - 1) / time.Second)
			v.w.Header().Set("Retry-After", strconv.Itoa(seconds))
			problem.Text += " You can try again in " + inTime(seconds) + "."
		}
	default:
		return view.FormProblem{}, 0, false
	}
	return problem, kind.HTTPStatus(), true
}

func inTime(seconds int) string {
	if seconds == 1 {
		return "a second"
	}
	if seconds < 120 {
		return strconv.Itoa(seconds) + " seconds"
	}
	return strconv.Itoa((seconds+59)/60) + " minutes"
}

// signOut takes the form that ends this session.
func (s *shop) signOut(v *visit) error {
	if v.token == "" {
		return v.redirect("/")
	}
	return s.endSessions(v, readersv1.SessionScope_SESSION_SCOPE_CURRENT, 0)
}

// endSessions ends sessions, and the visit with them if this one is among
// them.
func (s *shop) endSessions(v *visit, scope readersv1.SessionScope, id int64) error {
	ctx, cancel := v.write()
	defer cancel()
	_, err := s.Accounts.EndSessions(ctx, &readersv1.EndSessionsRequest{Token: v.token, Scope: scope, Id: id})
	gone := err != nil && fault.KindOf(err) == fault.Unauthenticated
	if err != nil && !gone {
		return err
	}
	if gone || scope == readersv1.SessionScope_SESSION_SCOPE_CURRENT || scope == readersv1.SessionScope_SESSION_SCOPE_ALL {
		v.leave()
		return v.redirect("/")
	}
	return v.redirect("/account?done=sessions")
}

// accountDone are the notices after a form of the account's page.
var accountDone = map[string]string{
	"password": "Your password is changed, and all other browsers are signed out.",
	"sessions": "The browser is signed out.",

	"passkey-added":   "The passkey is added. You can sign in with it from now on.",
	"passkey-renamed": "The passkey has its new name.",
	"passkey-removed": "The passkey is removed: nobody can sign in with it any more. Your device may still offer it; delete it there too.",
}

// signInFirst is where to sign in, on the way to the account.
const signInFirst = "/sign-in?next=/account"

// signedIn takes a form that needs an account.
func signedIn(take func(*visit) error) func(*visit) error {
	return func(v *visit) error {
		if err := v.form(); err != nil {
			return err
		}
		if v.account == nil {
			return v.redirect(signInFirst)
		}
		return take(v)
	}
}

// accountPage is the page of the account.
func (s *shop) accountPage(v *visit) error {
	if v.account == nil {
		return v.redirect(signInFirst)
	}
	if notice := accountDone[v.r.URL.Query().Get("done")]; notice != "" {
		v.notice(notice)
	}
	return s.showAccount(v, http.StatusOK, view.Account{})
}

func (s *shop) showAccount(v *visit, status int, page view.Account) error {
	ctx, cancel := v.ask()
	defer cancel()
	list, err := s.Accounts.ListSessions(ctx, &readersv1.ListSessionsRequest{Token: v.token})
	if err != nil {
		v.missing("readers", err)
		page.Failed = true
	}
	for _, session := range list.GetSessions() {
		page.Sessions = append(page.Sessions, view.SignedIn{
			ID: strconv.FormatInt(session.GetId(), 10), Browser: view.Browser(session.GetAgent()),
			Since: session.GetCreatedAt().AsTime(), Seen: session.GetLastSeenAt().AsTime(), Current: session.GetCurrent(),
		})
	}
	s.showPasskeys(ctx, v, &page)
	page.Name = v.account.GetName()
	page.Frame = v.frame("Your account", "Your password, your passkeys, and where you are signed in.")
	if page.PasskeysAt != "" {
		v.scripted(&page.Frame)
	}
	return v.show(status, view.AccountPage(page))
}

// accountProblem shows the account's page with what went wrong, at the form with
// this field if it is not at one of its own.
func (s *shop) accountProblem(v *visit, err error, field string) error {
	if fault.KindOf(err) == fault.Unauthenticated {
		v.leave()
		return v.redirect(signInFirst)
	}
	problem, status, ok := v.formProblem(err)
	if !ok {
		return err
	}
	if field != "" {
		problem.Field = field
	}
	return s.showAccount(v, status, view.Account{Problem: problem})
}

// changePassword takes the form of the account's page.
func (s *shop) changePassword(v *visit) error {
	current, next := v.r.PostForm.Get("current_password"), v.r.PostForm.Get("new_password")
	if !typed(current) || !typed(next) {
		return s.showAccount(v, http.StatusBadRequest, view.Account{Problem: view.FormProblem{
			Field: "new_password", Text: "This password is too long, or has characters that cannot be typed everywhere. Choose another.",
		}})
	}
	ctx, cancel := v.write()
	defer cancel()
	changed, err := s.Accounts.ChangePassword(ctx, &readersv1.ChangePasswordRequest{Token: v.token, CurrentPassword: current, NewPassword: next, Client: v.client()})
	if err != nil {
		return s.accountProblem(v, err, "")
	}
	v.renew(changed.GetToken())
	return v.redirect("/account?done=password")
}

// changeSessions takes the forms of the list of sessions.
func (s *shop) changeSessions(v *visit) error {
	switch end := v.r.PostForm.Get("end"); end {
	case "others":
		return s.endSessions(v, readersv1.SessionScope_SESSION_SCOPE_OTHERS, 0)
	case "all":
		return s.endSessions(v, readersv1.SessionScope_SESSION_SCOPE_ALL, 0)
	default:
		id, err := strconv.ParseInt(end, 10, 64)
		if err != nil || id <= 0 {
			return fault.NewInvalid("end", "There is no such browser. Go back and choose one of the buttons.")
		}
		return s.endSessions(v, readersv1.SessionScope_SESSION_SCOPE_ONE, id)
	}
}

const (
	// seenFor is how long who signed in is believed while the readers service
	// does not answer.
	seenFor = 15 * time.Minute
	maxSeen = 10_000
)

// seenAccounts remembers whose the sessions were that were checked lately. The
// zero value is ready to use.
type seenAccounts struct {
	mu  sync.Mutex
	all map[string]seenAccount
}

type seenAccount struct {
	account *readersv1.Account
	at      time.Time
}

func (s *seenAccounts) find(token string, now time.Time) *readersv1.Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seen, ok := s.all[token]; ok && now.Sub(seen.at) < seenFor {
		return seen.account
	}
	return nil
}

func (s *seenAccounts) put(token string, account *readersv1.Account, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[string]seenAccount)
	}
	for other := range s.all {
		if len(s.all) < maxSeen {
			break
		}
		delete(s.all, other)
	}
	s.all[token] = seenAccount{account, now}
}

func (s *seenAccounts) forget(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, token)
}
