package accounts_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"github.com/octavo-books/octavo/fault"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

const origin = "https://books.example"

// key is an authenticator with a key of its own, in a browser somewhere.
type key struct {
	site          virtualwebauthn.RelyingParty
	authenticator virtualwebauthn.Authenticator
	credential    virtualwebauthn.Credential
}

func newKey() *key {
	return &key{
		site:          virtualwebauthn.RelyingParty{ID: "books.example", Name: "Octavo", Origin: origin},
		authenticator: virtualwebauthn.NewAuthenticator(), credential: newCredential(),
	}
}

// coseKeySize is that of a key on P-256 in COSE, with two coordinates of 32
// bytes.
const coseKeySize = 77

// newCredential makes a key whose coordinates have no zeros in front: the
// library leaves them out of one key in 128, and COSE does not (RFC 9053,
// section 7.1.1), so that such a passkey is refused.
func newCredential() virtualwebauthn.Credential {
	for {
		if made := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2); len(made.Key.AttestationData()) == coseKeySize {
			return made
		}
	}
}

// create is what the browser answers to a registration, and the key remembers
// whose it is.
func (k *key) create(t testing.TB, options []byte) []byte {
	t.Helper()
	asked, err := virtualwebauthn.ParseAttestationOptions(string(options))
	if err != nil {
		t.Fatalf("%v: %s", err, options)
	}
	var user struct {
		User struct {
			ID string `json:"id"`
		} `json:"user"`
	}
	if err := json.Unmarshal(options, &user); err != nil {
		t.Fatal(err)
	}
	if k.authenticator.Options.UserHandle, err = base64.RawURLEncoding.DecodeString(user.User.ID); err != nil {
		t.Fatal(err)
	}
	return []byte(virtualwebauthn.CreateAttestationResponse(k.site, k.authenticator, k.credential, *asked))
}

// get is what the browser answers to a sign-in.
func (k *key) get(t testing.TB, options []byte) []byte {
	t.Helper()
	asked, err := virtualwebauthn.ParseAssertionOptions(string(options))
	if err != nil {
		t.Fatalf("%v: %s", err, options)
	}
	k.credential.Counter++
	return []byte(virtualwebauthn.CreateAssertionResponse(k.site, k.authenticator, k.credential, *asked))
}

// add adds a key to the account of a session, which goes on with another token.
func (s *service) add(t testing.TB, token string, k *key, name string) (*readersv1.FinishPasskeyRegistrationResponse, error) {
	t.Helper()
	begun, err := s.beginAdding(t, token, secret)
	if err != nil {
		t.Fatal(err)
	}
	return s.FinishPasskeyRegistration(within(t), &readersv1.FinishPasskeyRegistrationRequest{
		Token: token, Ceremony: begun.GetCeremony(), Response: k.create(t, begun.GetOptions()), Name: name, Client: from("192.0.2.1"),
	})
}

func (s *service) beginAdding(t testing.TB, token, given string) (*readersv1.BeginPasskeyRegistrationResponse, error) {
	t.Helper()
	return s.BeginPasskeyRegistration(within(t), &readersv1.BeginPasskeyRegistrationRequest{Token: token, CurrentPassword: given, Origin: origin, Client: from("192.0.2.1")})
}

func (s *service) mustAdd(t testing.TB, token string, k *key, name string) *readersv1.FinishPasskeyRegistrationResponse {
	t.Helper()
	added, err := s.add(t, token, k, name)
	if err != nil {
		t.Fatal(err)
	}
	return added
}

func (s *service) beginSignIn(t testing.TB) *readersv1.BeginPasskeySignInResponse {
	t.Helper()
	begun, err := s.BeginPasskeySignIn(within(t), &readersv1.BeginPasskeySignInRequest{Origin: origin, Client: from("192.0.2.9")})
	if err != nil {
		t.Fatal(err)
	}
	return begun
}

func (s *service) finishSignIn(t testing.TB, ceremony string, response []byte) (*readersv1.FinishPasskeySignInResponse, error) {
	t.Helper()
	return s.FinishPasskeySignIn(within(t), &readersv1.FinishPasskeySignInRequest{Ceremony: ceremony, Response: response, Client: from("192.0.2.9")})
}

// use signs in with a key.
func (s *service) use(t *testing.T, k *key) (*readersv1.FinishPasskeySignInResponse, error) {
	t.Helper()
	begun := s.beginSignIn(t)
	return s.finishSignIn(t, begun.GetCeremony(), k.get(t, begun.GetOptions()))
}

func (s *service) passkeys(t *testing.T, token string) []*readersv1.Passkey {
	t.Helper()
	list, err := s.ListPasskeys(within(t), &readersv1.ListPasskeysRequest{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	return list.GetPasskeys()
}

func TestAPasskeySignsIn(t *testing.T) {
	s := serve(t)
	ada := s.create(t, "ada")
	phone, laptop := newKey(), newKey()
	added := s.mustAdd(t, ada.GetToken(), phone, "  Phone ")
	token := s.mustAdd(t, added.GetToken(), laptop, strings.Repeat("x", 100)).GetToken()
	if string(phone.authenticator.Options.UserHandle) != string(laptop.authenticator.Options.UserHandle) || len(phone.authenticator.Options.UserHandle) != 32 {
		t.Error("the account is not one to authenticators, or not known by 32 random bytes")
	}
	list := s.passkeys(t, token)
	if len(list) != 2 || list[0].GetName() != "Phone" || list[0].GetLastUsedAt() != nil || list[1].GetName() != strings.Repeat("x", 60) {
		t.Errorf("passkeys %v", list)
	}

	s.clock.forward(time.Hour)
	in, err := s.use(t, phone)
	if err != nil || in.GetAccount().GetName() != "ada" || s.whose(t, in.GetToken()) != ada.GetAccount().GetReaderId() {
		t.Fatalf("signed in as %v, %v", in, err)
	}
	if got := s.passkeys(t, token)[0].GetLastUsedAt().AsTime(); !got.Equal(s.clock.Now()) {
		t.Errorf("last used %v, want %v", got, s.clock.Now())
	}
	if again, err := s.use(t, phone); err != nil || again.GetToken() == in.GetToken() {
		t.Errorf("a second time: %v, %v", again, err)
	}

	if _, err := s.RenamePasskey(within(t), &readersv1.RenamePasskeyRequest{Token: token, Id: list[0].GetId(), Name: "Old phone"}); err != nil || s.passkeys(t, token)[0].GetName() != "Old phone" {
		t.Errorf("renamed: %v, %v", s.passkeys(t, token), err)
	}
	for range 2 {
		if _, err := s.RemovePasskey(within(t), &readersv1.RemovePasskeyRequest{Token: token, Id: list[0].GetId()}); err != nil {
			t.Error(err)
		}
	}
	_, err = s.use(t, phone)
	wantKind(t, "with a passkey that was removed", err, fault.Unauthenticated)
	if _, err := s.use(t, laptop); err != nil {
		t.Errorf("with the other one: %v", err)
	}
	if _, err := s.signIn(t, "ada", secret, "192.0.2.8"); err != nil {
		t.Errorf("with the password, which stays: %v", err)
	}
}

// All that is not the key's answer to the challenge, from the right page, gets
// one answer, and ends what was begun.
func TestASVS_6_3_8_WhatIsNotAnAccountsPasskeyIsRefusedInTheSameWords(t *testing.T) {
	s := serve(t)
	mine := newKey()
	ada := s.create(t, "ada")
	token := s.mustAdd(t, ada.GetToken(), mine, "Phone").GetToken()
	bobs := newKey()
	s.mustAdd(t, s.create(t, "bob").GetToken(), bobs, "Phone")

	for name, answer := range map[string]func(k *key, options []byte) []byte{
		"another origin": func(k *key, o []byte) []byte {
			k.site.Origin = "https://books.example.evil.example"
			return k.get(t, o)
		},
		"another port":             func(k *key, o []byte) []byte { k.site.Origin = origin + ":8443"; return k.get(t, o) },
		"without TLS":              func(k *key, o []byte) []byte { k.site.Origin = "http://books.example"; return k.get(t, o) },
		"another relying party":    func(k *key, o []byte) []byte { k.site.ID = "example"; return k.get(t, o) },
		"a user nobody verified":   func(k *key, o []byte) []byte { k.authenticator.Options.UserNotVerified = true; return k.get(t, o) },
		"a user who was not there": func(k *key, o []byte) []byte { k.authenticator.Options.UserNotPresent = true; return k.get(t, o) },
		"another key":              func(k *key, o []byte) []byte { k.credential.Key = newKey().credential.Key; return k.get(t, o) },
		"a passkey nobody has":     func(k *key, o []byte) []byte { k.credential = newKey().credential; return k.get(t, o) },
		"somebody else's handle": func(k *key, o []byte) []byte {
			k.authenticator.Options.UserHandle = bobs.authenticator.Options.UserHandle
			return k.get(t, o)
		},
		"no handle":           func(k *key, o []byte) []byte { k.authenticator.Options.UserHandle = nil; return k.get(t, o) },
		"a counter gone back": func(k *key, o []byte) []byte { k.credential.Counter = 0; return k.get(t, o) },
		"another challenge":   func(k *key, _ []byte) []byte { return k.get(t, s.beginSignIn(t).GetOptions()) },
		"a registration": func(*key, []byte) []byte {
			return newKey().create(t, must(s.beginAdding(t, token, secret)).GetOptions())
		},
		"nothing":         func(*key, []byte) []byte { return nil },
		"what is no JSON": func(*key, []byte) []byte { return []byte("{") },
		"an empty object": func(*key, []byte) []byte { return []byte("{}") },
		"a list":          func(*key, []byte) []byte { return []byte("[]") },
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.use(t, mine); err != nil {
				t.Fatalf("the passkey itself: %v", err)
			}
			if mine.credential.Counter < 10 {
				mine.credential.Counter = 10
				if _, err := s.use(t, mine); err != nil {
					t.Fatal(err)
				}
			}
			k := *mine
			begun := s.beginSignIn(t)
			in, err := s.finishSignIn(t, begun.GetCeremony(), answer(&k, begun.GetOptions()))
			wantKind(t, "signing in", err, fault.Unauthenticated)
			if want := "The passkey was not accepted. Please try again, or sign in with your password."; fault.Message(err) != want || in.GetToken() != "" {
				t.Errorf("%q, %v; want %q", fault.Message(err), in, want)
			}
			_, err = s.finishSignIn(t, begun.GetCeremony(), mine.get(t, begun.GetOptions()))
			wantKind(t, "the right answer after the wrong one", err, fault.Unauthenticated)
			s.clock.forward(2 * time.Hour) // the limits forget
		})
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func TestASVS_6_7_AnAnswerCountsOnceAndNotForLong(t *testing.T) {
	s := serve(t)
	k := newKey()
	s.mustAdd(t, s.create(t, "ada").GetToken(), k, "Phone")

	begun := s.beginSignIn(t)
	answer := k.get(t, begun.GetOptions())
	if _, err := s.finishSignIn(t, begun.GetCeremony(), answer); err != nil {
		t.Fatal(err)
	}
	_, err := s.finishSignIn(t, begun.GetCeremony(), answer)
	wantKind(t, "the answer again", err, fault.Unauthenticated)
	_, err = s.finishSignIn(t, s.beginSignIn(t).GetCeremony(), answer)
	wantKind(t, "the answer to a later challenge", err, fault.Unauthenticated)
	_, err = s.finishSignIn(t, "made up", answer)
	wantKind(t, "the answer to none", err, fault.Unauthenticated)

	begun = s.beginSignIn(t)
	s.clock.forward(5*time.Minute - time.Millisecond)
	if _, err := s.finishSignIn(t, begun.GetCeremony(), k.get(t, begun.GetOptions())); err != nil {
		t.Errorf("just in time: %v", err)
	}
	begun = s.beginSignIn(t)
	s.clock.forward(5 * time.Minute)
	_, err = s.finishSignIn(t, begun.GetCeremony(), k.get(t, begun.GetOptions()))
	wantKind(t, "five minutes later", err, fault.Unauthenticated)

	// Of many at once one gets in.
	begun = s.beginSignIn(t)
	answer = k.get(t, begun.GetOptions())
	var in atomic.Int32
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if _, err := s.FinishPasskeySignIn(t.Context(), &readersv1.FinishPasskeySignInRequest{Ceremony: begun.GetCeremony(), Response: answer}); err == nil {
				in.Add(1)
			}
		})
	}
	wait.Wait()
	if in.Load() != 1 {
		t.Errorf("%d got in with one answer", in.Load())
	}
}

// What one replica begins another one finishes: all there is of it is in the
// database.
func TestAnotherReplicaFinishesASignIn(t *testing.T) {
	s := serve(t)
	other := serveStore(t, s.store, s.clock, cheap)
	k := newKey()
	token := s.create(t, "ada").GetToken()
	begun := must(s.beginAdding(t, token, secret))
	if _, err := other.FinishPasskeyRegistration(within(t), &readersv1.FinishPasskeyRegistrationRequest{
		Token: token, Ceremony: begun.GetCeremony(), Response: k.create(t, begun.GetOptions()),
	}); err != nil {
		t.Fatal(err)
	}
	signing := s.beginSignIn(t)
	answer := k.get(t, signing.GetOptions())
	if _, err := other.finishSignIn(t, signing.GetCeremony(), answer); err != nil {
		t.Error(err)
	}
	_, err := s.finishSignIn(t, signing.GetCeremony(), answer)
	wantKind(t, "again, at the first one", err, fault.Unauthenticated)
}

func TestASVS_7_5_1_AddingAPasskeyNeedsThePassword(t *testing.T) {
	s := serve(t)
	token := s.create(t, "ada").GetToken()
	_, err := s.beginAdding(t, token, "another password")
	wantKind(t, "with a wrong password", err, fault.Invalid)
	_, err = s.beginAdding(t, "no token", secret)
	wantKind(t, "without a session", err, fault.Unauthenticated)
	for n := 0; fault.KindOf(err) != fault.Exhausted; n++ {
		if n > 6 {
			t.Fatal("wrong passwords are not limited")
		}
		_, err = s.beginAdding(t, token, "another password")
	}
}

func TestARegistrationIsOfWhoBeganIt(t *testing.T) {
	s := serve(t)
	ada, bob := s.create(t, "ada").GetToken(), s.create(t, "bob").GetToken()
	finish := func(token, ceremony string, response []byte) error {
		_, err := s.FinishPasskeyRegistration(within(t), &readersv1.FinishPasskeyRegistrationRequest{Token: token, Ceremony: ceremony, Response: response})
		return err
	}
	for name, refused := range map[string]func(k *key) error{
		"somebody else's": func(k *key) error {
			begun := must(s.beginAdding(t, ada, secret))
			return finish(bob, begun.GetCeremony(), k.create(t, begun.GetOptions()))
		},
		"a sign-in": func(k *key) error {
			begun := must(s.beginAdding(t, ada, secret))
			return finish(ada, s.beginSignIn(t).GetCeremony(), k.create(t, begun.GetOptions()))
		},
		"too late": func(k *key) error {
			begun := must(s.beginAdding(t, ada, secret))
			s.clock.forward(5 * time.Minute)
			return finish(ada, begun.GetCeremony(), k.create(t, begun.GetOptions()))
		},
		"another origin": func(k *key) error {
			k.site.Origin = "https://evil.example"
			begun := must(s.beginAdding(t, ada, secret))
			return finish(ada, begun.GetCeremony(), k.create(t, begun.GetOptions()))
		},
		"another relying party": func(k *key) error {
			k.site.ID = "evil.example"
			begun := must(s.beginAdding(t, ada, secret))
			return finish(ada, begun.GetCeremony(), k.create(t, begun.GetOptions()))
		},
		"a user nobody verified": func(k *key) error {
			k.authenticator.Options.UserNotVerified = true
			begun := must(s.beginAdding(t, ada, secret))
			return finish(ada, begun.GetCeremony(), k.create(t, begun.GetOptions()))
		},
		"nothing": func(*key) error {
			return finish(ada, must(s.beginAdding(t, ada, secret)).GetCeremony(), nil)
		},
	} {
		wantKind(t, name, refused(newKey()), fault.Invalid)
	}
	if a, b := s.passkeys(t, ada), s.passkeys(t, bob); len(a)+len(b) > 0 {
		t.Errorf("passkeys %v and %v", a, b)
	}

	k := newKey()
	added := s.mustAdd(t, ada, k, "Phone")
	if s.whose(t, ada) != 0 || s.whose(t, added.GetToken()) == 0 {
		t.Error("the session is the one of before (ASVS 5.0, 7.2.4)")
	}
	_, err := s.add(t, bob, k, "Phone")
	wantKind(t, "a passkey of another account", err, fault.Conflict)
	_, err = s.RenamePasskey(within(t), &readersv1.RenamePasskeyRequest{Token: bob, Id: added.GetPasskey().GetId(), Name: "his"})
	wantKind(t, "renamed by somebody else", err, fault.NotFound)
	if _, err := s.RemovePasskey(within(t), &readersv1.RemovePasskeyRequest{Token: bob, Id: added.GetPasskey().GetId()}); err != nil {
		t.Error(err)
	}
	if list := s.passkeys(t, added.GetToken()); len(list) != 1 || list[0].GetName() != "Phone" {
		t.Errorf("somebody else has changed them to %v", list)
	}
}

func TestOriginsThatPasskeysCanBeFor(t *testing.T) {
	s := serve(t)
	for at, ok := range map[string]bool{
		"https://books.example": true, "https://books.example:8443": true, "http://localhost:8080": true, "http://localhost": true,
		"": false, "books.example": false, "http://books.example": false, "https://books.example/": false, "https://": false,
		"https://192.0.2.1": false, "http://127.0.0.1:8080": false, "https://[2001:db8::1]": false, "https://u:p@books.example": false,
		"http://localhost.evil.example": false, "file://books.example": false, "https://books.example?q": false, "https://Books .example": false,
	} {
		_, err := s.BeginPasskeySignIn(within(t), &readersv1.BeginPasskeySignInRequest{Origin: at})
		if (err == nil) != ok || !ok && fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: %v, want it taken: %v", at, err, ok)
		}
	}
}

func TestASVS_6_3_1_PasskeysAreLimitedByAddress(t *testing.T) {
	s := serve(t)
	begin := func(address string) error {
		_, err := s.BeginPasskeySignIn(within(t), &readersv1.BeginPasskeySignInRequest{Origin: origin, Client: from(address)})
		return err
	}
	for n := range 30 {
		if err := begin("192.0.2.20"); err != nil {
			t.Fatalf("after %d: %v", n, err)
		}
	}
	wantKind(t, "after 30 that came to nothing", begin("192.0.2.20"), fault.Exhausted)
	if err := begin("192.0.2.21"); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
	s.clock.forward(time.Second)
	if err := begin("192.0.2.20"); err != nil {
		t.Errorf("a second later: %v", err)
	}
	// Those that succeed do not count.
	k := newKey()
	s.mustAdd(t, s.create(t, "ada").GetToken(), k, "Phone")
	for n := range 40 {
		if _, err := s.use(t, k); err != nil {
			t.Fatalf("after %d: %v", n, err)
		}
	}
}

func TestSigningInWithAPasskeyBringsTheVisitorAndEndsTheSessionBefore(t *testing.T) {
	s := serve(t)
	k := newKey()
	made := s.create(t, "ada")
	s.mustAdd(t, made.GetToken(), k, "Phone")
	old, err := s.signIn(t, "ada", secret, "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	visitor := must(s.readers.CreateReader(within(t), &readersv1.CreateReaderRequest{})).GetReader().GetId()
	must(s.readers.RecordInteractions(within(t), &readersv1.RecordInteractionsRequest{Interactions: []*readersv1.Interaction{
		{ReaderId: visitor, BookId: 7, Kind: readersv1.InteractionKind_INTERACTION_KIND_FINISHED},
	}}))
	begun := s.beginSignIn(t)
	in, err := s.FinishPasskeySignIn(within(t), &readersv1.FinishPasskeySignInRequest{
		Ceremony: begun.GetCeremony(), Response: k.get(t, begun.GetOptions()), Visitor: &readersv1.Visitor{ReaderId: visitor}, ReplacedToken: old.GetToken(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.whose(t, old.GetToken()) != 0 || in.GetPosition() == 0 {
		t.Errorf("the session before goes on, or nothing came: %v", in)
	}
	shelf := must(s.readers.ListShelf(within(t), &readersv1.ListShelfRequest{ReaderId: made.GetAccount().GetReaderId()}))
	if len(shelf.GetEntries()) != 1 || shelf.GetEntries()[0].GetBookId() != 7 {
		t.Errorf("the shelf is %v", shelf)
	}
}

func TestAnErasedAccountsPasskeyIsNobodys(t *testing.T) {
	s := serve(t)
	k := newKey()
	made := s.create(t, "ada")
	s.mustAdd(t, made.GetToken(), k, "Phone")
	begun := s.beginSignIn(t)
	must(s.readers.EraseReader(within(t), &readersv1.EraseReaderRequest{ReaderId: made.GetAccount().GetReaderId()}))
	_, err := s.finishSignIn(t, begun.GetCeremony(), k.get(t, begun.GetOptions()))
	wantKind(t, "signing in", err, fault.Unauthenticated)
}

func TestAnAccountHasTwentyPasskeysAtMost(t *testing.T) {
	s := serve(t)
	token := s.create(t, "ada").GetToken()
	for n := range 20 {
		token = s.mustAdd(t, token, newKey(), fmt.Sprint(n)).GetToken()
	}
	_, err := s.beginAdding(t, token, secret)
	wantKind(t, "one more", err, fault.Conflict)
}
