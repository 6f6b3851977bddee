package accounts

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/octavo-books/octavo/fault"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/readers"
	"github.com/octavo-books/octavo/internal/readers/password"
)

// maxAgent bounds what is kept of a browser's description, in characters.
const maxAgent = 200

// Config is what a server needs.
type Config struct {
	Store    Store
	Tallies  Tallies
	Passkeys Passkeys
	Readers  Readers

	Passwords password.Config
	Log       *slog.Logger     // nil for none
	Now       func() time.Time // nil for the clock
}

// Server answers octavo.readers.v1.AccountsService.
type Server struct {
	readersv1.UnimplementedAccountsServiceServer

	store    Store
	tallies  Tallies
	passkeys Passkeys
	readers  Readers
	hasher   *password.Hasher
	log      *slog.Logger
	clock    func() time.Time
	signIns  map[string]prometheus.Counter // by result
}

// The results of signing in that are counted.
const (
	accepted = "accepted"
	refused  = "refused" // wrong name, password or passkey
	limited  = "limited" // too many before
	busy     = "busy"    // too many at once
)

// NewServer makes a server.
func NewServer(c Config) *Server {
	s := &Server{
		store: c.Store, tallies: c.Tallies, passkeys: c.Passkeys, readers: c.Readers, hasher: password.New(c.Passwords),
		log: c.Log, clock: c.Now, signIns: make(map[string]prometheus.Counter),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	for _, result := range []string{accepted, refused, limited, busy} {
		s.signIns[result] = prometheus.NewCounter(prometheus.CounterOpts{
			Name:        "octavo_sign_ins_total",
			Help:        "Passwords and passkeys given to sign in, and passwords to change them or to add a passkey, by result: accepted, refused as wrong, limited after too many wrong ones, busy when too many came at once.",
			ConstLabels: prometheus.Labels{"result": result},
		})
	}
	return s
}

// Measure registers the server's metrics.
func (s *Server) Measure(registry prometheus.Registerer) {
	for _, counter := range s.signIns {
		registry.MustRegister(counter)
	}
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "octavo_password_hashes_in_progress",
		Help: "Passwords being hashed at this moment, each of which takes 19 MiB and a core.",
	}, func() float64 { return float64(s.hasher.AtWork()) }))
}

// Register adds the service to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) { readersv1.RegisterAccountsServiceServer(r, s) }

// now is the time as it is stored.
func (s *Server) now() time.Time { return s.clock().Truncate(time.Millisecond) }

// CreateAccount implements the contract.
func (s *Server) CreateAccount(ctx context.Context, req *readersv1.CreateAccountRequest) (*readersv1.CreateAccountResponse, error) {
	now := s.now()
	name, err := NormalName(req.GetName())
	if err != nil {
		return nil, err
	}
	secret, err := newPassword("password", req.GetPassword(), name)
	if err != nil {
		return nil, err
	}
	if err := s.signUp(ctx, network(req.GetClient().GetAddress()), now); err != nil {
		return nil, err
	}
	account := Account{Name: name, CreatedAt: now, PasswordChangedAt: now}
	if account.Password, err = s.hasher.Hash(ctx, secret); err != nil {
		return nil, err
	}
	if account.Reader, err = s.store.CreateAccount(ctx, account); err != nil {
		return nil, err
	}
	token, position, err := s.begin(ctx, account, entry{req.GetClient(), req.GetVisitor(), req.GetReplacedToken()}, now)
	if err != nil {
		return nil, err
	}
	s.log.InfoContext(ctx, "account made", "reader", account.Reader)
	return &readersv1.CreateAccountResponse{Account: accountToProto(account), Token: token, Position: position}, nil
}

// SignIn implements the contract.
func (s *Server) SignIn(ctx context.Context, req *readersv1.SignInRequest) (*readersv1.SignInResponse, error) {
	now := s.now()
	account := Account{Password: s.hasher.Decoy()}
	name, err := NormalName(req.GetName())
	if err == nil {
		found, err := s.store.AccountByName(ctx, name)
		switch {
		case err == nil:
			account = found
		case fault.KindOf(err) != fault.NotFound:
			return nil, err
		}
	} else {
		name = req.GetName() // nobody has it, and it is counted like any other
	}
	ok, err := s.check(ctx, account, name, req.GetPassword(), network(req.GetClient().GetAddress()), now)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fault.New(fault.Unauthenticated, "The user name or the password is wrong.")
	}
	token, position, err := s.begin(ctx, account, entry{req.GetClient(), req.GetVisitor(), req.GetReplacedToken()}, now)
	if err != nil {
		return nil, err
	}
	return &readersv1.SignInResponse{Account: accountToProto(account), Token: token, Position: position}, nil
}

// check says whether the password is that of the account, within the limits,
// and brings its hash to the present costs.
func (s *Server) check(ctx context.Context, account Account, name, given, address string, now time.Time) (bool, error) {
	counted, err := s.guess(ctx, name, address, now)
	if err != nil {
		if fault.KindOf(err) == fault.Exhausted {
			s.signIns[limited].Inc()
		}
		return false, err
	}
	secret, possible := password.Prepare(given)
	ok, outdated, err := s.hasher.Verify(ctx, account.Password, secret)
	if err != nil {
		if fault.KindOf(err) == fault.Exhausted {
			s.signIns[busy].Inc()
		}
		return false, err
	}
	if !ok || !possible {
		s.signIns[refused].Inc()
		return false, nil
	}
	s.signIns[accepted].Inc()
	if err := s.right(ctx, counted, now); err != nil {
		return false, err
	}
	if outdated {
		if account.Password, err = s.hasher.Hash(ctx, secret); err == nil {
			err = s.store.SetHash(ctx, account)
		}
		if err != nil {
			s.log.WarnContext(ctx, "a password keeps its old hash", "reader", account.Reader, "error", err)
		}
	}
	return true, nil
}

// entry is how somebody came in.
type entry struct {
	client   *readersv1.Client
	visitor  *readersv1.Visitor
	replaced string // token of the session before
}

// begin brings in what the visitor did and makes a new session, always with a
// token of its own (ASVS 5.0, 7.2.4).
func (s *Server) begin(ctx context.Context, account Account, e entry, now time.Time) (token string, position int64, err error) {
	if position, err = s.bringIn(ctx, e.visitor, account.Reader, now); err != nil {
		return "", 0, err
	}
	if old, err := s.session(ctx, e.replaced, now); err == nil {
		if err := s.store.ChangeSessions(ctx, old.Reader, SessionChange{End: old.ID}); err != nil {
			return "", 0, err
		}
	}
	token, err = s.newSession(ctx, account, e.client, now)
	return token, position, err
}

func (s *Server) newSession(ctx context.Context, account Account, client *readersv1.Client, now time.Time) (string, error) {
	token := rand.Text() + rand.Text() // 260 bits
	_, err := s.store.AddSession(ctx, Session{
		Token: digest(token), Reader: account.Reader, Agent: cut(client.GetAgent(), maxAgent), CreatedAt: now, SeenAt: now,
	}, account.PasswordChangedAt, mostSessions)
	return token, err
}

// bringIn makes what an anonymous reader did that of another: what the shelves
// add up to is recorded again, and the anonymous reader is erased. A pause comes
// along, before the books do; that the other has paused is never undone. Each
// step can be done again, should one fail.
func (s *Server) bringIn(ctx context.Context, visitor *readersv1.Visitor, into int32, now time.Time) (position int64, err error) {
	var interactions []readers.Interaction
	add := func(book int32, kind readers.Kind, stars float32, at time.Time) {
		id := fmt.Sprintf("visit:%d:%d:%d:%d", visitor.GetReaderId(), book, kind, at.UnixMilli())
		interactions = append(interactions, readers.Interaction{ClientID: id, Reader: into, Book: book, Kind: kind, Stars: stars, OccurredAt: at})
	}
	for _, book := range visitor.GetSeenBookIds() {
		add(book, readers.View, 0, now)
	}
	from, known, err := s.visiting(ctx, visitor.GetReaderId())
	if err != nil {
		return 0, err
	}
	if known {
		entries, err := s.readers.Shelf(ctx, from.ID, nil, math.MaxInt32)
		if err != nil {
			return 0, err
		}
		for _, e := range slices.Backward(entries) {
			if e.Shelf != 0 {
				add(e.Book, e.Shelf, 0, e.UpdatedAt)
			}
			if e.Stars != 0 {
				add(e.Book, readers.Rating, e.Stars, e.UpdatedAt)
			}
		}
	}
	if from.Paused {
		if position, err = s.readers.SetPaused(ctx, into, true, now); err != nil {
			return 0, err
		}
	}
	if len(interactions) > 0 {
		if position, _, err = s.readers.Record(ctx, interactions); err != nil {
			return 0, err
		}
	}
	if known {
		erased, err := s.readers.Erase(ctx, from.ID, now)
		switch {
		case err == nil:
			position = erased
		case fault.KindOf(err) != fault.NotFound: // by another sign-in at this moment
			return 0, err
		}
	}
	return position, nil
}

// visiting is the anonymous reader with an id, if there is one.
func (s *Server) visiting(ctx context.Context, id int32) (readers.Reader, bool, error) {
	if id == 0 {
		return readers.Reader{}, false, nil
	}
	reader, err := s.readers.Reader(ctx, id)
	if fault.KindOf(err) == fault.NotFound || err == nil && reader.Origin != readers.Anonymous {
		return readers.Reader{}, false, nil
	}
	return reader, err == nil, err
}

// CheckSession implements the contract.
func (s *Server) CheckSession(ctx context.Context, req *readersv1.CheckSessionRequest) (*readersv1.CheckSessionResponse, error) {
	account, _, err := s.signedIn(ctx, req.GetToken())
	if fault.KindOf(err) == fault.Unauthenticated {
		return &readersv1.CheckSessionResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	return &readersv1.CheckSessionResponse{Account: accountToProto(account)}, nil
}

// ListSessions implements the contract.
func (s *Server) ListSessions(ctx context.Context, req *readersv1.ListSessionsRequest) (*readersv1.ListSessionsResponse, error) {
	account, current, err := s.signedIn(ctx, req.GetToken())
	if err != nil {
		return nil, err
	}
	sessions, err := s.store.Sessions(ctx, account.Reader)
	if err != nil {
		return nil, err
	}
	resp, now := &readersv1.ListSessionsResponse{}, s.now()
	for _, session := range sessions {
		if session.Valid(now) {
			resp.Sessions = append(resp.Sessions, sessionToProto(session, current.ID))
		}
	}
	return resp, nil
}

// EndSessions implements the contract.
func (s *Server) EndSessions(ctx context.Context, req *readersv1.EndSessionsRequest) (*readersv1.EndSessionsResponse, error) {
	_, current, err := s.signedIn(ctx, req.GetToken())
	if err != nil {
		return nil, err
	}
	change := SessionChange{}
	switch req.GetScope() {
	case readersv1.SessionScope_SESSION_SCOPE_CURRENT:
		change.End = current.ID
	case readersv1.SessionScope_SESSION_SCOPE_ONE:
		if req.GetId() == 0 {
			return nil, fault.NewInvalid("id", "must be that of a session")
		}
		change.End = req.GetId()
	case readersv1.SessionScope_SESSION_SCOPE_OTHERS:
		change.EndOthers = current.ID
	case readersv1.SessionScope_SESSION_SCOPE_ALL:
		change.EndAll = true
	default:
		return nil, fault.NewInvalid("scope", "must say which sessions end")
	}
	if err := s.store.ChangeSessions(ctx, current.Reader, change); err != nil {
		return nil, err
	}
	return &readersv1.EndSessionsResponse{}, nil
}

// ChangePassword implements the contract.
func (s *Server) ChangePassword(ctx context.Context, req *readersv1.ChangePasswordRequest) (*readersv1.ChangePasswordResponse, error) {
	account, _, err := s.signedIn(ctx, req.GetToken())
	if err != nil {
		return nil, err
	}
	secret, err := newPassword("new_password", req.GetNewPassword(), account.Name)
	if err != nil {
		return nil, err
	}
	now := s.now()
	ok, err := s.check(ctx, account, account.Name, req.GetCurrentPassword(), network(req.GetClient().GetAddress()), now)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fault.NewInvalid("current_password", "This is not your present password.")
	}
	before := account.PasswordChangedAt
	// Each password has a time of its own, whatever the clock does.
	if account.PasswordChangedAt = now; !now.After(before) {
		account.PasswordChangedAt = before.Add(time.Millisecond)
	}
	if account.Password, err = s.hasher.Hash(ctx, secret); err != nil {
		return nil, err
	}
	if err := s.store.SetPassword(ctx, account, before); err != nil {
		return nil, err
	}
	token, err := s.newSession(ctx, account, req.GetClient(), now)
	if err != nil {
		return nil, err
	}
	s.log.InfoContext(ctx, "password changed", "reader", account.Reader)
	return &readersv1.ChangePasswordResponse{Token: token}, nil
}

// BeginPasskeyRegistration implements the contract. It asks for the password
// (ASVS 5.0, 7.5.1): a browser left open is not enough to get in for good.
func (s *Server) BeginPasskeyRegistration(ctx context.Context, req *readersv1.BeginPasskeyRegistrationRequest) (*readersv1.BeginPasskeyRegistrationResponse, error) {
	account, _, err := s.signedIn(ctx, req.GetToken())
	if err != nil {
		return nil, err
	}
	site, err := party(req.GetOrigin())
	if err != nil {
		return nil, err
	}
	now := s.now()
	ok, err := s.check(ctx, account, account.Name, req.GetCurrentPassword(), network(req.GetClient().GetAddress()), now)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fault.NewInvalid("current_password", "This is not your present password.")
	}
	o, err := s.ownerOf(ctx, account, site.Config.RPID)
	if err != nil {
		return nil, err
	}
	options, session, err := site.BeginRegistration(o, webauthn.WithExclusions(webauthn.Credentials(o.WebAuthnCredentials()).CredentialDescriptors()))
	if err != nil {
		return nil, err
	}
	resp := &readersv1.BeginPasskeyRegistrationResponse{}
	if resp.Options, err = json.Marshal(options.Response); err != nil {
		return nil, err
	}
	resp.Ceremony, err = s.start(ctx, account.Reader, req.GetOrigin(), session, now)
	return resp, err
}

// FinishPasskeyRegistration implements the contract.
func (s *Server) FinishPasskeyRegistration(ctx context.Context, req *readersv1.FinishPasskeyRegistrationRequest) (*readersv1.FinishPasskeyRegistrationResponse, error) {
	account, current, err := s.signedIn(ctx, req.GetToken())
	if err != nil {
		return nil, err
	}
	now := s.now()
	site, session, err := s.take(ctx, req.GetCeremony(), account.Reader, now)
	if err != nil {
		if refusedBy(err) {
			err = notAdded(err)
		}
		return nil, err
	}
	answer, err := protocol.ParseCredentialCreationResponseBytes(req.GetResponse())
	if err != nil {
		return nil, notAdded(err)
	}
	made, err := site.CreateCredential(owner{handle: session.UserID, name: account.Name}, session, answer)
	if err != nil {
		return nil, notAdded(err)
	}
	passkey := Passkey{
		Credential: made.ID, Party: site.Config.RPID, Handle: session.UserID, Reader: account.Reader,
		PublicKey: made.PublicKey, Flags: uint8(made.Flags.ProtocolValue()), SignCount: made.Authenticator.SignCount,
		Name: passkeyName(req.GetName()), CreatedAt: now,
	}
	if passkey.ID, err = s.passkeys.AddPasskey(ctx, passkey, mostPasskeys); err != nil {
		return nil, err
	}
	// The password was given again, and that is a session of its own (ASVS 5.0,
	// 7.2.4).
	token, err := s.newSession(ctx, account, req.GetClient(), now)
	if err != nil {
		return nil, err
	}
	if err := s.store.ChangeSessions(ctx, current.Reader, SessionChange{End: current.ID}); err != nil {
		return nil, err
	}
	s.log.InfoContext(ctx, "passkey added", "reader", account.Reader)
	return &readersv1.FinishPasskeyRegistrationResponse{Passkey: passkeyToProto(passkey), Token: token}, nil
}

// BeginPasskeySignIn implements the contract.
func (s *Server) BeginPasskeySignIn(ctx context.Context, req *readersv1.BeginPasskeySignInRequest) (*readersv1.BeginPasskeySignInResponse, error) {
	site, err := party(req.GetOrigin())
	if err != nil {
		return nil, err
	}
	now := s.now()
	if err := s.tryPasskey(ctx, network(req.GetClient().GetAddress()), now); err != nil {
		return nil, err
	}
	options, session, err := site.BeginDiscoverableLogin()
	if err != nil {
		return nil, err
	}
	resp := &readersv1.BeginPasskeySignInResponse{}
	if resp.Options, err = json.Marshal(options.Response); err != nil {
		return nil, err
	}
	resp.Ceremony, err = s.start(ctx, 0, req.GetOrigin(), session, now)
	return resp, err
}

// FinishPasskeySignIn implements the contract.
func (s *Server) FinishPasskeySignIn(ctx context.Context, req *readersv1.FinishPasskeySignInRequest) (*readersv1.FinishPasskeySignInResponse, error) {
	now := s.now()
	account, err := s.signedBy(ctx, req.GetCeremony(), req.GetResponse(), now)
	if err != nil {
		if !refusedBy(err) {
			return nil, err
		}
		s.signIns[refused].Inc()
		s.log.InfoContext(ctx, "passkey refused", "error", err)
		return nil, refusedPasskey(err)
	}
	s.signIns[accepted].Inc()
	if err := s.rightPasskey(ctx, network(req.GetClient().GetAddress()), now); err != nil {
		return nil, err
	}
	token, position, err := s.begin(ctx, account, entry{req.GetClient(), req.GetVisitor(), req.GetReplacedToken()}, now)
	if err != nil {
		return nil, err
	}
	return &readersv1.FinishPasskeySignInResponse{Account: accountToProto(account), Token: token, Position: position}, nil
}

// ListPasskeys implements the contract.
func (s *Server) ListPasskeys(ctx context.Context, req *readersv1.ListPasskeysRequest) (*readersv1.ListPasskeysResponse, error) {
	account, _, err := s.signedIn(ctx, req.GetToken())
	if err != nil {
		return nil, err
	}
	list, err := s.passkeys.Passkeys(ctx, account.Reader)
	if err != nil {
		return nil, err
	}
	resp := &readersv1.ListPasskeysResponse{}
	for _, p := range list {
		resp.Passkeys = append(resp.Passkeys, passkeyToProto(p))
	}
	return resp, nil
}

// RenamePasskey implements the contract.
func (s *Server) RenamePasskey(ctx context.Context, req *readersv1.RenamePasskeyRequest) (*readersv1.RenamePasskeyResponse, error) {
	account, _, err := s.signedIn(ctx, req.GetToken())
	if err != nil {
		return nil, err
	}
	if err := s.passkeys.RenamePasskey(ctx, account.Reader, req.GetId(), passkeyName(req.GetName())); err != nil {
		return nil, err
	}
	return &readersv1.RenamePasskeyResponse{}, nil
}

// RemovePasskey implements the contract.
func (s *Server) RemovePasskey(ctx context.Context, req *readersv1.RemovePasskeyRequest) (*readersv1.RemovePasskeyResponse, error) {
	account, _, err := s.signedIn(ctx, req.GetToken())
	if err != nil {
		return nil, err
	}
	if err := s.passkeys.RemovePasskey(ctx, account.Reader, req.GetId()); err != nil {
		return nil, err
	}
	s.log.InfoContext(ctx, "passkey removed", "reader", account.Reader)
	return &readersv1.RemovePasskeyResponse{}, nil
}

func newPassword(field, given, name string) (string, error) {
	secret, ok := password.Prepare(given)
	if !ok && given != "" {
		return "", fault.NewInvalid(field, "The password has characters that cannot be typed everywhere. Choose another.")
	}
	return secret, password.Check(field, secret, name)
}

func cut(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most])
}
