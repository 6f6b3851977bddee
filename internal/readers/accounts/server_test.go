package accounts_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/octavo-books/octavo/chassis/chassistest"
	"github.com/octavo-books/octavo/fault"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/readers"
	"github.com/octavo-books/octavo/internal/readers/accounts"
	"github.com/octavo-books/octavo/internal/readers/password"
	"github.com/octavo-books/octavo/internal/readers/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// service is a real readers service over its database.
type service struct {
	readersv1.AccountsServiceClient
	readers readersv1.ReadersServiceClient
	store   *sqlite.Store
	clock   *clock
}

var cheap = password.Config{Params: password.Params{Memory: 64, Passes: 1, Lanes: 1}, AtOnce: 2, Waiting: 1000, Wait: time.Minute}

func open(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func serveStore(t testing.TB, store *sqlite.Store, now *clock, passwords password.Config) *service {
	t.Helper()
	conn := chassistest.Serve(t, func(r grpc.ServiceRegistrar) {
		readers.NewServer(store, slog.New(slog.DiscardHandler)).Register(r)
		accounts.NewServer(accounts.Config{Store: store, Tallies: store, Passkeys: store, Readers: store, Passwords: passwords, Now: now.Now}).Register(r)
	})
	return &service{readersv1.NewAccountsServiceClient(conn), readersv1.NewReadersServiceClient(conn), store, now}
}

func serve(t testing.TB) *service {
	t.Helper()
	return serveStore(t, open(t, filepath.Join(t.TempDir(), "readers.db")), &clock{now: time.UnixMilli(1_800_000_000_000)}, cheap)
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

const secret = "gelber stuhl am see"

func (s *service) create(t testing.TB, name string) *readersv1.CreateAccountResponse {
	t.Helper()
	made, err := s.CreateAccount(within(t), &readersv1.CreateAccountRequest{Name: name, Password: secret, Client: from("192.0.2.1")})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func from(address string) *readersv1.Client {
	return &readersv1.Client{Address: address, Agent: "A browser"}
}

// signIn tries a password.
func (s *service) signIn(t testing.TB, name, given, address string) (*readersv1.SignInResponse, error) {
	t.Helper()
	return s.SignIn(within(t), &readersv1.SignInRequest{Name: name, Password: given, Client: from(address)})
}

// whose is the reader of a session, 0 for one that has ended.
func (s *service) whose(t testing.TB, token string) int32 {
	t.Helper()
	checked, err := s.CheckSession(within(t), &readersv1.CheckSessionRequest{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	return checked.GetAccount().GetReaderId()
}

func wantKind(t *testing.T, what string, err error, kind fault.Kind) {
	t.Helper()
	if err == nil || fault.KindOf(err) != kind {
		t.Errorf("%s: got %v, want %s", what, err, kind)
	}
}

func TestAnAccountIsMadeAndSignedInto(t *testing.T) {
	s := serve(t)
	made := s.create(t, "Ada.Lovelace")
	account := made.GetAccount()
	if account.GetName() != "ada.lovelace" || account.GetReaderId() == 0 || s.whose(t, made.GetToken()) != account.GetReaderId() {
		t.Errorf("made %v", made)
	}
	again, err := s.signIn(t, "ADA.lovelace", secret, "192.0.2.7")
	if err != nil || again.GetAccount().GetReaderId() != account.GetReaderId() || again.GetToken() == made.GetToken() {
		t.Errorf("signed in as %v, %v", again, err)
	}
	_, err = s.CreateAccount(within(t), &readersv1.CreateAccountRequest{Name: "ADA.Lovelace", Password: secret})
	wantKind(t, "the name again", err, fault.Conflict)
	for _, name := range []string{"", "a", "with space", strings.Repeat("a", 41), "tab\t", "a\u202eb", "a/\x00", "😀😀"} {
		_, err := s.CreateAccount(within(t), &readersv1.CreateAccountRequest{Name: name, Password: secret})
		wantKind(t, fmt.Sprintf("the name %q", name), err, fault.Invalid)
	}
	for _, given := range []string{"", "short", "password1", "ada.lovelace", strings.Repeat("x", 300)} {
		_, err := s.CreateAccount(within(t), &readersv1.CreateAccountRequest{Name: "ada.lovelace", Password: given})
		wantKind(t, fmt.Sprintf("the password %q", given), err, fault.Invalid)
	}
	if a, err := s.store.AccountByName(t.Context(), "ada.lovelace"); err != nil || !strings.HasPrefix(a.Password, "$argon2id$") {
		t.Errorf("kept is %+v, %v", a, err)
	}
}

func TestASVS_6_3_8_WrongNameAndWrongPasswordLookTheSame(t *testing.T) {
	s := serve(t)
	s.create(t, "ada")
	_, wrong := s.signIn(t, "ada", "another password", "192.0.2.2")
	_, unknown := s.signIn(t, "nobody", "another password", "192.0.2.3")
	_, none := s.signIn(t, "no name", "another password", "192.0.2.4")
	for what, err := range map[string]error{"wrong password": wrong, "unknown name": unknown, "no name at all": none} {
		wantKind(t, what, err, fault.Unauthenticated)
		if fault.Message(err) != fault.Message(wrong) {
			t.Errorf("%s: %q instead of %q", what, fault.Message(err), fault.Message(wrong))
		}
	}
	// The limits of a name nobody has are those of one that somebody has.
	allowed := func(name, address string) (n int) {
		for {
			if _, err := s.signIn(t, name, "another password", address); fault.KindOf(err) == fault.Exhausted {
				return n
			}
			n++
		}
	}
	if known, unknown := allowed("ada", "192.0.2.5"), allowed("nobody", "192.0.2.6"); known != unknown {
		t.Errorf("%d guesses at a name that exists, %d at one that does not", known, unknown)
	}
}

// Both take one argon2id: were it left out for unknown names, they would take
// a hundredth of the time.
func TestASVS_6_3_8_WrongNameAndWrongPasswordTakeTheSameTime(t *testing.T) {
	real := password.Config{AtOnce: 1}
	s := serveStore(t, open(t, filepath.Join(t.TempDir(), "readers.db")), &clock{now: time.UnixMilli(1_800_000_000_000)}, real)
	s.create(t, "ada")
	fastest := map[string]time.Duration{"ada": time.Hour, "nobody": time.Hour}
	for n := range 5 {
		for name := range fastest {
			began := time.Now()
			_, err := s.signIn(t, name, "another password", fmt.Sprintf("198.51.100.%d", n))
			wantKind(t, name, err, fault.Unauthenticated)
			fastest[name] = min(fastest[name], time.Since(began))
		}
	}
	if a, b := fastest["ada"], fastest["nobody"]; a > 3*b || b > 3*a {
		t.Errorf("at best %v for a name that exists, %v for one that does not", a, b)
	}
}

// guesses tries a wrong password a thousand times in a minute and counts those
// that were looked at.
func guesses(t *testing.T, s *service, each func(n int) (name, address string)) (looked int) {
	t.Helper()
	for n := range 1000 {
		name, address := each(n)
		_, err := s.signIn(t, name, fmt.Sprintf("wrong guess %d", n), address)
		switch fault.KindOf(err) {
		case fault.Unauthenticated:
			looked++
		case fault.Exhausted:
		default:
			t.Fatalf("guess %d: %v", n, err)
		}
		s.clock.forward(60 * time.Millisecond)
	}
	return looked
}

func TestASVS_6_3_1_AThousandGuessesAMinute(t *testing.T) {
	for _, c := range []struct {
		name string
		each func(n int) (name, address string)
		most int
	}{
		{"one address, one account", func(int) (string, string) { return "ada", "192.0.2.66" }, 11},
		{"one address, many accounts", func(n int) (string, string) { return fmt.Sprintf("reader%d", n), "192.0.2.66" }, 36},
		{"one network of IPv6, one account", func(n int) (string, string) { return "ada", fmt.Sprintf("2001:db8:1:2::%x", n+1) }, 11},
		{"twenty addresses, one account", func(n int) (string, string) { return "ada", fmt.Sprintf("198.51.100.%d", n%20) }, 40},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t)
			s.create(t, "ada")
			if looked := guesses(t, s, c.each); looked > c.most || looked < 5 {
				t.Errorf("%d of 1,000 guesses were looked at, want at most %d", looked, c.most)
			}
			// The owner gets in from an address of their own at the very first try.
			if _, err := s.signIn(t, "ada", secret, "203.0.113.9"); err != nil {
				t.Errorf("the owner, from elsewhere: %v", err)
			}
			// Where the guesses came from, the wait has an end.
			_, address := c.each(1)
			if _, err := s.signIn(t, "ada", secret, address); err == nil {
				t.Log("not held off at this moment")
			} else {
				wantKind(t, "from the same address", err, fault.Exhausted)
				wait := retryAfter(t, err)
				if wait <= 0 || wait > 15*time.Minute {
					t.Errorf("told to wait for %v", wait)
				}
				s.clock.forward(wait)
				if _, err := s.signIn(t, "ada", secret, address); err != nil {
					t.Errorf("after the wait it was told: %v", err)
				}
			}
		})
	}
}

func retryAfter(t *testing.T, err error) time.Duration {
	t.Helper()
	var known *fault.Error
	if !errors.As(fault.FromStatus(err), &known) {
		t.Fatalf("%v is no fault", err)
	}
	return known.RetryAfter
}

// A year of guessing, always as soon as it is allowed, does not lock the owner
// out for longer, and is forgotten a day after it ends.
func TestASVS_6_3_1_NobodyIsLockedOutForGood(t *testing.T) {
	s := serve(t)
	s.create(t, "ada")
	for range 60 {
		if _, err := s.signIn(t, "ada", "wrong", "192.0.2.66"); fault.KindOf(err) == fault.Exhausted {
			s.clock.forward(retryAfter(t, err))
		}
	}
	_, err := s.signIn(t, "ada", "wrong", "192.0.2.66")
	wantKind(t, "when the wait is over", err, fault.Unauthenticated)
	_, err = s.signIn(t, "ada", "wrong", "192.0.2.66")
	if wait := retryAfter(t, err); fault.KindOf(err) != fault.Exhausted || wait > 15*time.Minute {
		t.Errorf("%v, with a wait of %v", err, wait)
	}
	s.clock.forward(24 * time.Hour)
	for n := range 5 {
		_, err := s.signIn(t, "ada", "wrong", "192.0.2.66")
		wantKind(t, fmt.Sprintf("guess %d a day later", n), err, fault.Unauthenticated)
	}
}

func TestLimitsSurviveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readers.db")
	now := &clock{now: time.UnixMilli(1_800_000_000_000)}
	s := serveStore(t, open(t, path), now, cheap)
	for range 5 {
		_, err := s.signIn(t, "ada", "wrong", "192.0.2.66")
		wantKind(t, "before", err, fault.Unauthenticated)
	}
	s = serveStore(t, open(t, path), now, cheap)
	_, err := s.signIn(t, "ada", "wrong", "192.0.2.66")
	wantKind(t, "after", err, fault.Exhausted)
}

// Guesses that come at the same moment are counted before they are looked at.
func TestManyGuessesAtOnceAreLimited(t *testing.T) {
	s := serve(t)
	s.create(t, "ada")
	var wait sync.WaitGroup
	var mu sync.Mutex
	looked := 0
	for n := range 100 {
		wait.Go(func() {
			_, err := s.SignIn(context.Background(), &readersv1.SignInRequest{Name: "ada", Password: fmt.Sprintf("wrong %d", n), Client: from("192.0.2.66")})
			if fault.KindOf(err) == fault.Unauthenticated {
				mu.Lock()
				defer mu.Unlock()
				looked++
			}
		})
	}
	wait.Wait()
	if looked != 5 {
		t.Errorf("%d of 100 guesses at once were looked at, want 5", looked)
	}
}

func TestSignUpsAreLimited(t *testing.T) {
	s := serve(t)
	made := 0
	for n := range 100 {
		_, err := s.CreateAccount(within(t), &readersv1.CreateAccountRequest{Name: fmt.Sprintf("reader%d", n), Password: secret, Client: from("192.0.2.66")})
		if err == nil {
			made++
		} else {
			wantKind(t, "one too many", err, fault.Exhausted)
		}
	}
	if made != 20 {
		t.Errorf("one address made %d accounts at once", made)
	}
}

func TestASVS_7_2_4_EachSignInHasASessionOfItsOwn(t *testing.T) {
	s := serve(t)
	made := s.create(t, "ada")
	next, err := s.SignIn(within(t), &readersv1.SignInRequest{Name: "ada", Password: secret, Client: from("192.0.2.1"), ReplacedToken: made.GetToken()})
	if err != nil {
		t.Fatal(err)
	}
	if next.GetToken() == made.GetToken() || s.whose(t, made.GetToken()) != 0 || s.whose(t, next.GetToken()) == 0 {
		t.Error("the session from before goes on")
	}
	// ASVS 7.2.3: at least 128 bits, from a secure generator; only a hash is kept.
	if len(next.GetToken()) != 52 {
		t.Errorf("token of %d characters", len(next.GetToken()))
	}
	// A token that somebody planted does not become a session.
	planted := strings.Repeat("P", 52)
	if _, err := s.SignIn(within(t), &readersv1.SignInRequest{Name: "ada", Password: secret, Client: from("192.0.2.1"), ReplacedToken: planted}); err != nil || s.whose(t, planted) != 0 {
		t.Errorf("the planted token belongs to reader %d, %v", s.whose(t, planted), err)
	}
}

func TestASVS_7_3_SessionsTimeOut(t *testing.T) {
	s := serve(t)
	idle, used := s.create(t, "ada").GetToken(), s.create(t, "bob").GetToken()
	for range 3 {
		s.clock.forward(29 * 24 * time.Hour)
		if s.whose(t, used) == 0 {
			t.Fatal("a session in use ended")
		}
	}
	if s.whose(t, idle) != 0 {
		t.Error("a session nobody used for 87 days goes on")
	}
	s.clock.forward(3*24*time.Hour + time.Minute)
	if s.whose(t, used) != 0 {
		t.Error("a session of more than 90 days goes on")
	}
}

func TestASVS_7_4_SessionsEndEverywhere(t *testing.T) {
	s := serve(t)
	one := s.create(t, "ada").GetToken()
	signIn := func() string {
		t.Helper()
		in, err := s.signIn(t, "ada", secret, "192.0.2.1")
		if err != nil {
			t.Fatal(err)
		}
		return in.GetToken()
	}
	end := func(token string, scope readersv1.SessionScope, id int64) {
		t.Helper()
		if _, err := s.EndSessions(within(t), &readersv1.EndSessionsRequest{Token: token, Scope: scope, Id: id}); err != nil {
			t.Fatal(err)
		}
	}
	open := func(tokens ...string) (open []bool) {
		for _, token := range tokens {
			open = append(open, s.whose(t, token) != 0)
		}
		return open
	}
	two, three, four := signIn(), signIn(), signIn()
	list, err := s.ListSessions(within(t), &readersv1.ListSessionsRequest{Token: one})
	if err != nil || len(list.GetSessions()) != 4 {
		t.Fatalf("sessions %v, %v", list, err)
	}
	var current []*readersv1.Session
	for _, session := range list.GetSessions() {
		if session.GetCurrent() {
			current = append(current, session)
		}
	}
	if len(current) != 1 || current[0].GetAgent() != "A browser" {
		t.Errorf("the present session is one of %v", current)
	}
	end(two, readersv1.SessionScope_SESSION_SCOPE_CURRENT, 0)
	if got := open(one, two, three, four); !slices.Equal(got, []bool{true, false, true, true}) {
		t.Errorf("after signing out: %v", got)
	}
	bob := s.create(t, "bob").GetToken()
	end(bob, readersv1.SessionScope_SESSION_SCOPE_ONE, current[0].GetId()) // not his
	end(four, readersv1.SessionScope_SESSION_SCOPE_ONE, current[0].GetId())
	if got := open(one, three, four, bob); !slices.Equal(got, []bool{false, true, true, true}) {
		t.Errorf("after ending one: %v", got)
	}
	end(three, readersv1.SessionScope_SESSION_SCOPE_OTHERS, 0)
	if got := open(three, four); !slices.Equal(got, []bool{true, false}) {
		t.Errorf("after ending the others: %v", got)
	}
	five := signIn()
	end(five, readersv1.SessionScope_SESSION_SCOPE_ALL, 0)
	if got := open(three, five, bob); !slices.Equal(got, []bool{false, false, true}) {
		t.Errorf("after ending all: %v", got)
	}
	for what, call := range map[string]func() error{
		"list": func() error {
			_, err := s.ListSessions(within(t), &readersv1.ListSessionsRequest{Token: five})
			return err
		},
		"end": func() error {
			_, err := s.EndSessions(within(t), &readersv1.EndSessionsRequest{Token: five, Scope: readersv1.SessionScope_SESSION_SCOPE_ALL})
			return err
		},
		"password": func() error {
			_, err := s.ChangePassword(within(t), &readersv1.ChangePasswordRequest{Token: five, CurrentPassword: secret, NewPassword: "neun blaue boote"})
			return err
		},
	} {
		wantKind(t, what+" without a session", call(), fault.Unauthenticated)
	}
}

func TestASVS_6_2_3_ChangingThePasswordAsksForThePresentOne(t *testing.T) {
	s := serve(t)
	here, there := s.create(t, "ada").GetToken(), ""
	if in, err := s.signIn(t, "ada", secret, "192.0.2.1"); err != nil {
		t.Fatal(err)
	} else {
		there = in.GetToken()
	}
	change := func(token, current, next string) (*readersv1.ChangePasswordResponse, error) {
		return s.ChangePassword(within(t), &readersv1.ChangePasswordRequest{Token: token, CurrentPassword: current, NewPassword: next, Client: from("192.0.2.1")})
	}
	_, err := change(here, "wrong", "neun blaue boote")
	wantKind(t, "a wrong present one", err, fault.Invalid)
	_, err = change(here, secret, "password1")
	wantKind(t, "a common new one", err, fault.Invalid)
	changed, err := change(here, secret, "neun blaue boote")
	if err != nil {
		t.Fatal(err)
	}
	// ASVS 7.4.3: all other sessions end, and this one has a new token.
	if s.whose(t, here) != 0 || s.whose(t, there) != 0 || s.whose(t, changed.GetToken()) == 0 {
		t.Error("sessions from before the change go on")
	}
	_, err = s.signIn(t, "ada", secret, "192.0.2.1")
	wantKind(t, "the old password", err, fault.Unauthenticated)
	if _, err := s.signIn(t, "ada", "neun blaue boote", "192.0.2.1"); err != nil {
		t.Errorf("the new password: %v", err)
	}
	// It cannot be used to guess either.
	for n := 0; ; n++ {
		if _, err := change(changed.GetToken(), "wrong", "zehn graue boote"); fault.KindOf(err) == fault.Exhausted {
			break
		}
		if n > 5 {
			t.Fatal("guessing the present password is not limited")
		}
	}
}

func TestHashesAreMadeAgainWhenCostsRise(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readers.db")
	now := &clock{now: time.UnixMilli(1_800_000_000_000)}
	s := serveStore(t, open(t, path), now, cheap)
	token := s.create(t, "ada").GetToken()
	dear := cheap
	dear.Params.Passes = 2
	s = serveStore(t, open(t, path), now, dear)
	for range 2 {
		if _, err := s.signIn(t, "ada", secret, "192.0.2.1"); err != nil {
			t.Fatal(err)
		}
	}
	if a, err := s.store.AccountByName(t.Context(), "ada"); err != nil || !strings.Contains(a.Password, ",t=2,") {
		t.Errorf("the hash is still %s, %v", a.Password, err)
	}
	if s.whose(t, token) == 0 {
		t.Error("another hash of the same password ended a session")
	}
}

// What a visitor did comes along, to a new account and to one that is there.
func TestAVisitorsShelvesComeAlong(t *testing.T) {
	s := serve(t)
	visit := func(books ...int32) int32 {
		made, err := s.readers.CreateReader(within(t), &readersv1.CreateReaderRequest{})
		if err != nil {
			t.Fatal(err)
		}
		reader := made.GetReader().GetId()
		for _, book := range books {
			s.record(t, reader, book, readersv1.InteractionKind_INTERACTION_KIND_FINISHED, 0)
			s.record(t, reader, book, readersv1.InteractionKind_INTERACTION_KIND_RATING, 4.5)
		}
		return reader
	}
	first := visit(1, 2)
	made, err := s.CreateAccount(within(t), &readersv1.CreateAccountRequest{Name: "ada", Password: secret, Visitor: &readersv1.Visitor{ReaderId: first, SeenBookIds: []int32{1, 9}}})
	if err != nil {
		t.Fatal(err)
	}
	ada := made.GetAccount().GetReaderId()
	if ada == first {
		t.Error("the account has the visitor's reader: whoever has the visitor's cookie would be in")
	}
	if got := s.shelf(t, ada); got != "2: FINISHED 4.5, 1: FINISHED 4.5" {
		t.Errorf("the new account's shelf: %s", got)
	}
	s.gone(t, first)
	if log, err := s.store.Log(t.Context(), 0, 100); err != nil || made.GetPosition() != log.Head {
		t.Errorf("it is in the log up to %d, but the answer says %d (%v)", log.Head, made.GetPosition(), err)
	}

	second := visit(3)
	s.record(t, second, 1, readersv1.InteractionKind_INTERACTION_KIND_READING, 0)
	for range 2 {
		if _, err := s.SignIn(within(t), &readersv1.SignInRequest{Name: "ada", Password: secret, Visitor: &readersv1.Visitor{ReaderId: second}}); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.shelf(t, ada); got != "1: READING 4.5, 3: FINISHED 4.5, 2: FINISHED 4.5" {
		t.Errorf("after signing in: %s", got)
	}
	s.gone(t, second)

	// Readers that are somebody else's stay as they are.
	bob := s.create(t, "bob").GetAccount().GetReaderId()
	s.record(t, bob, 7, readersv1.InteractionKind_INTERACTION_KIND_WANT, 0)
	imported, err := s.readers.ImportReaders(within(t), &readersv1.ImportReadersRequest{Readers: []*readersv1.Reader{{Source: "demo", SourceId: "1", Origin: readersv1.Origin_ORIGIN_SIMULATED}}})
	if err != nil {
		t.Fatal(err)
	}
	simulated := imported.GetIds()[0]
	s.record(t, simulated, 8, readersv1.InteractionKind_INTERACTION_KIND_WANT, 0)
	for _, reader := range []int32{bob, simulated, 999} {
		if _, err := s.SignIn(within(t), &readersv1.SignInRequest{Name: "ada", Password: secret, Visitor: &readersv1.Visitor{ReaderId: reader}}); err != nil {
			t.Errorf("signing in from reader %d: %v", reader, err)
		}
	}
	if got := s.shelf(t, bob) + "; " + s.shelf(t, simulated); got != "7: WANT 0; 8: WANT 0" {
		t.Errorf("taken from others: %s", got)
	}
}

// Whoever has paused goes on so after signing in, and before any of what the
// visitor did can be used; an account that has paused is never resumed.
func TestAPauseComesAlong(t *testing.T) {
	s := serve(t)
	for name, c := range map[string]struct{ visitor, account, want bool }{
		"neither":     {},
		"the-visitor": {visitor: true, want: true},
		"the-account": {account: true, want: true},
		"both":        {visitor: true, account: true, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			account := s.create(t, name).GetAccount().GetReaderId()
			made, err := s.readers.CreateReader(within(t), &readersv1.CreateReaderRequest{})
			if err != nil {
				t.Fatal(err)
			}
			visitor := made.GetReader().GetId()
			s.record(t, visitor, 5, readersv1.InteractionKind_INTERACTION_KIND_WANT, 0)
			for reader, paused := range map[int32]bool{visitor: c.visitor, account: c.account} {
				if _, err := s.readers.SetPersonalisation(within(t), &readersv1.SetPersonalisationRequest{ReaderId: reader, Paused: paused}); err != nil {
					t.Fatal(err)
				}
			}
			in, err := s.SignIn(within(t), &readersv1.SignInRequest{Name: name, Password: secret, Visitor: &readersv1.Visitor{ReaderId: visitor}})
			if err != nil {
				t.Fatal(err)
			}
			reader, err := s.readers.GetReader(within(t), &readersv1.GetReaderRequest{Id: account})
			if err != nil || reader.GetReader().GetPersonalisationPaused() != c.want {
				t.Errorf("the account is %v, %v; want paused %t", reader, err, c.want)
			}
			if got := s.shelf(t, account); got != "5: WANT 0" {
				t.Errorf("its shelf: %s", got)
			}
			s.gone(t, visitor)
			log, err := s.store.Log(t.Context(), 0, 1000)
			if err != nil || log.Head != in.GetPosition() {
				t.Errorf("the log ends at %d, %v, and the answer says %d", log.Head, err, in.GetPosition())
			}
			paused := false
			for _, i := range log.Interactions {
				switch {
				case i.Reader != account:
				case i.Kind == readers.Paused:
					paused = true
				case i.Kind == readers.Resumed:
					t.Error("the account is resumed")
				case paused != c.want:
					t.Errorf("%+v is in the log while the account is paused: %t", i, paused)
				}
			}
		})
	}
}

// gone fails unless the reader is erased: nothing is left but the tombstone.
func (s *service) gone(t *testing.T, reader int32) {
	t.Helper()
	if _, err := s.store.Reader(t.Context(), reader); fault.KindOf(err) != fault.NotFound {
		t.Errorf("reader %d is there: %v", reader, err)
	}
	history, err := s.store.History(t.Context(), reader, 0, 10)
	if err != nil || len(history) != 1 || history[0].Kind != readers.Erased {
		t.Errorf("of reader %d the log has %v, %v; want the tombstone alone", reader, history, err)
	}
}

func (s *service) record(t *testing.T, reader, book int32, kind readersv1.InteractionKind, value float32) {
	t.Helper()
	_, err := s.readers.RecordInteractions(within(t), &readersv1.RecordInteractionsRequest{Interactions: []*readersv1.Interaction{{ReaderId: reader, BookId: book, Kind: kind, Value: value}}})
	if err != nil {
		t.Fatal(err)
	}
}

func (s *service) shelf(t *testing.T, reader int32) string {
	t.Helper()
	shelf, err := s.readers.ListShelf(within(t), &readersv1.ListShelfRequest{ReaderId: reader})
	if err != nil {
		t.Fatal(err)
	}
	var entries []string
	for _, e := range shelf.GetEntries() {
		entries = append(entries, fmt.Sprintf("%d: %s %v", e.GetBookId(), strings.TrimPrefix(e.GetShelf().String(), "INTERACTION_KIND_"), e.GetRating()))
	}
	return strings.Join(entries, ", ")
}
