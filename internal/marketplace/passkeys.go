package marketplace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/octavo-books/octavo/fault"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/marketplace/view"
)

const (
	ceremonyName   = "octavo_passkey" // the cookie of what was begun with a passkey
	ceremonyMaxAge = 5 * 60           // seconds
)

// checkPublicURL says what is wrong with a shop's address, if anything.
func checkPublicURL(address string) error {
	at, err := url.Parse(address)
	switch {
	case address == "":
		return nil
	case err != nil || at.Host == "" || at.Scheme+"://"+at.Host != address:
		return fmt.Errorf("the public URL cannot be %q: give the scheme and the host alone, such as https://books.example", address)
	case at.Scheme != "https" && (at.Scheme != "http" || at.Hostname() != "localhost"):
		return fmt.Errorf("the public URL cannot be %q: browsers have passkeys only over https, or at localhost", address)
	}
	if _, err := netip.ParseAddr(at.Hostname()); err == nil {
		return fmt.Errorf("the public URL cannot be %q: browsers have passkeys for names, not for addresses", address)
	}
	return nil
}

// passkeysAt is the origin that passkeys are for, empty when there can be none:
// the host of a request is what its sender says, so that only the operator's
// word counts, except on one's own machine. Browsers know passkeys of localhost
// by no port. So it has to be the one that was connected to, or a page of
// another program there could have ours answer for it.
func (v *visit) passkeysAt() string {
	if v.shop.PublicURL != "" {
		return v.shop.PublicURL
	}
	origin, usual := "http://"+v.r.Host, "80"
	if v.secure() {
		origin, usual = "https://"+v.r.Host, "443"
	}
	host, port, err := net.SplitHostPort(v.r.Host)
	if err != nil {
		host, port = v.r.Host, usual
	}
	connected, ok := v.r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if host != "localhost" || !ok || port != strconv.Itoa(connected.Port) {
		return ""
	}
	return origin
}

// scripted has the present page use the script of passkeys, and its policy
// allow that.
func (v *visit) scripted(frame *view.Frame) {
	frame.Script = v.shop.assets.script
	v.w.Header().Set("Content-Security-Policy", policy+"; script-src 'self'; connect-src 'self'")
}

// begun answers the script with what the browser is to sign, and keeps the name
// of it in a cookie that no script sees.
func (v *visit) begun(ceremony string, options []byte) error {
	v.saveSession()
	v.setCookie(ceremonyName, ceremony, ceremonyMaxAge)
	h := v.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "private, no-store")
	_, _ = v.w.Write(options) // the visitor may have gone
	return nil
}

// ceremony is what the browser has begun, which is then over.
func (v *visit) ceremony() string {
	cookie, err := v.r.Cookie(v.cookie(ceremonyName))
	if err != nil || len(cookie.Value) > maxToken {
		return ""
	}
	v.setCookie(ceremonyName, "", 0)
	return cookie.Value
}

// told is an error in the words that a form would show, for the script.
func (v *visit) told(err error) error {
	problem, _, ok := v.formProblem(err)
	answer := new(fault.Error)
	if !ok || !errors.As(err, &answer) {
		return err
	}
	return &fault.Error{Kind: answer.Kind, Message: problem.Text, RetryAfter: answer.RetryAfter, Cause: err}
}

// tooLate is said where nothing was begun that could be finished.
const tooLate = "That took too long, or was begun in another browser. Please try again."

func passkeysOff() error {
	return fault.New(fault.Conflict, "Passkeys are off at this address. Sign in with your password.")
}

// beginPasskeySignIn answers the script of the sign-in page.
func (s *shop) beginPasskeySignIn(v *visit) error {
	origin := v.passkeysAt()
	if origin == "" {
		return passkeysOff()
	}
	ctx, cancel := v.write()
	defer cancel()
	begun, err := s.Accounts.BeginPasskeySignIn(ctx, &readersv1.BeginPasskeySignInRequest{Origin: origin, Client: v.client()})
	if err != nil {
		return v.told(err)
	}
	return v.begun(begun.GetCeremony(), begun.GetOptions())
}

// passkeySignIn takes the form that the script has filled in.
func (s *shop) passkeySignIn(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	page := view.SignIn{Next: local(v.r.PostForm.Get("next"), "/")}
	ceremony := v.ceremony()
	if ceremony == "" {
		page.Problem = view.FormProblem{Text: tooLate}
		return s.showSignIn(v, http.StatusUnauthorized, page)
	}
	ctx, cancel := v.write()
	defer cancel()
	in, err := s.Accounts.FinishPasskeySignIn(ctx, &readersv1.FinishPasskeySignInRequest{
		Ceremony: ceremony, Response: []byte(v.r.PostForm.Get("response")), Client: v.client(), Visitor: v.visitor(), ReplacedToken: v.token,
	})
	if err != nil {
		return s.signInProblem(v, page, err)
	}
	v.enter(in.GetAccount(), in.GetToken(), in.GetPosition())
	return v.redirect(page.Next)
}

// beginPasskey answers the script of the account's page.
func (s *shop) beginPasskey(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	origin, password := v.passkeysAt(), v.r.PostForm.Get("current_password")
	switch {
	case v.account == nil:
		return fault.New(fault.Unauthenticated, "You are not signed in any more. Please sign in again.")
	case origin == "":
		return passkeysOff()
	case !typed(password):
		return fault.NewInvalid("current_password", "This is not your present password.")
	}
	ctx, cancel := v.write()
	defer cancel()
	begun, err := s.Accounts.BeginPasskeyRegistration(ctx, &readersv1.BeginPasskeyRegistrationRequest{
		Token: v.token, CurrentPassword: password, Origin: origin, Client: v.client(),
	})
	if err != nil {
		return v.told(err)
	}
	return v.begun(begun.GetCeremony(), begun.GetOptions())
}

// addPasskey takes the form that the script has filled in.
func (s *shop) addPasskey(v *visit) error {
	ceremony, name := v.ceremony(), v.r.PostForm.Get("name")
	if ceremony == "" {
		return s.showAccount(v, http.StatusBadRequest, view.Account{Problem: view.FormProblem{Field: "passkey", Text: tooLate}})
	}
	if name == "" || !typed(name) {
		name = view.Browser(v.r.UserAgent())
	}
	ctx, cancel := v.write()
	defer cancel()
	added, err := s.Accounts.FinishPasskeyRegistration(ctx, &readersv1.FinishPasskeyRegistrationRequest{
		Token: v.token, Ceremony: ceremony, Response: []byte(v.r.PostForm.Get("response")), Name: name, Client: v.client(),
	})
	if err != nil {
		return s.accountProblem(v, err, "passkey")
	}
	v.renew(added.GetToken())
	return v.redirect("/account?done=passkey-added")
}

// changePasskey takes the forms of the list of passkeys.
func (s *shop) changePasskey(v *visit) error {
	id, err := strconv.ParseInt(v.r.PathValue("id"), 10, 64)
	if err != nil || id <= 0 {
		return fault.New(fault.NotFound, "There is no such passkey.")
	}
	ctx, cancel := v.write()
	defer cancel()
	var done string
	switch name := v.r.PostForm.Get("name"); v.r.PostForm.Get("do") {
	case "remove":
		done = "passkey-removed"
		_, err = s.Accounts.RemovePasskey(ctx, &readersv1.RemovePasskeyRequest{Token: v.token, Id: id})
	case "rename":
		if name == "" || !typed(name) {
			return fault.NewInvalid("name", "Give the passkey a name of at most 60 characters.")
		}
		done = "passkey-renamed"
		_, err = s.Accounts.RenamePasskey(ctx, &readersv1.RenamePasskeyRequest{Token: v.token, Id: id, Name: name})
	default:
		return fault.NewInvalid("do", "There is no such choice. Go back and use one of the buttons.")
	}
	if err != nil {
		return s.accountProblem(v, err, "passkey")
	}
	return v.redirect("/account?done=" + done)
}

// showPasskeys puts the passkeys on the account's page. A readers service from
// before there were any has none.
func (s *shop) showPasskeys(ctx context.Context, v *visit, page *view.Account) {
	list, err := s.Accounts.ListPasskeys(ctx, &readersv1.ListPasskeysRequest{Token: v.token})
	if err != nil && fault.KindOf(err) == fault.Unimplemented {
		return
	}
	if err != nil {
		v.missing("readers", err)
		page.PasskeysFailed = true
	}
	for _, p := range list.GetPasskeys() {
		passkey := view.Passkey{ID: strconv.FormatInt(p.GetId(), 10), Name: p.GetName(), Since: p.GetCreatedAt().AsTime()}
		if used := p.GetLastUsedAt(); used != nil {
			passkey.Used = used.AsTime()
		}
		page.Passkeys = append(page.Passkeys, passkey)
	}
	page.PasskeysAt = v.passkeysAt()
}

// exportPasskeys are the account and its passkeys as the export has them; what
// they sign with is not ours to give.
func (s *shop) exportPasskeys(ctx context.Context, v *visit) (json.RawMessage, error) {
	if v.account == nil {
		return nil, nil
	}
	list, err := s.Accounts.ListPasskeys(ctx, &readersv1.ListPasskeysRequest{Token: v.token})
	if err != nil && fault.KindOf(err) != fault.Unimplemented {
		return nil, fmt.Errorf("list the passkeys: %w", err)
	}
	passkeys := []map[string]any{}
	for _, p := range list.GetPasskeys() {
		passkey := map[string]any{"name": p.GetName(), "created_at": p.GetCreatedAt().AsTime()}
		if used := p.GetLastUsedAt(); used != nil {
			passkey["last_used_at"] = used.AsTime()
		}
		passkeys = append(passkeys, passkey)
	}
	return json.Marshal(map[string]any{"name": v.account.GetName(), "passkeys": passkeys})
}
