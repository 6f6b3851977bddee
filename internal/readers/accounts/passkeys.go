package accounts

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/octavo-books/octavo/fault"
)

// Passkey is a key pair to sign in with, of which this is the public half.
type Passkey struct {
	ID         int64
	Credential []byte // the id that the authenticator gave it
	Party      string // the host that it is for
	Handle     []byte // the account, as authenticators know it; random
	Reader     int32
	PublicKey  []byte // COSE
	Flags      uint8  // of the authenticator when it was last used
	SignCount  uint32 // how often it was used; 0 where that is not counted
	Name       string
	CreatedAt  time.Time
	UsedAt     time.Time // zero for never
}

// Ceremony is what a browser has begun with a passkey and not finished.
type Ceremony struct {
	Token     Digest // of the token that the browser has
	Reader    int32  // who adds a passkey; 0 for signing in
	State     []byte // the challenge and what goes with it
	ExpiresAt time.Time
}

// Passkeys keeps passkeys, and what was begun with them. All go with their
// account. All methods may be called at the same time; what they write is on
// disk when they return.
type Passkeys interface {
	// AddCeremony keeps a ceremony, and forgets those that expired by now and the
	// oldest beyond most.
	AddCeremony(ctx context.Context, ceremony Ceremony, now time.Time, most int) error
	// TakeCeremony returns the ceremony with the token and forgets it, so that
	// of many callers one gets it, or a NotFound fault.
	TakeCeremony(ctx context.Context, token Digest) (Ceremony, error)
	// AddPasskey adds a passkey and gives it an ID. It is a Conflict when the
	// account has most of them, or anybody the same one, and NotFound without
	// the account.
	AddPasskey(ctx context.Context, passkey Passkey, most int) (int64, error)
	// Passkeys returns those of a reader, oldest first.
	Passkeys(ctx context.Context, reader int32) ([]Passkey, error)
	// Passkey returns the one that an authenticator has for a party, or a
	// NotFound fault.
	Passkey(ctx context.Context, party string, credential []byte) (Passkey, error)
	// UsePasskey keeps SignCount, Flags and UsedAt of the passkey with the ID if
	// its SignCount was before until now. Otherwise it is a Conflict.
	UsePasskey(ctx context.Context, passkey Passkey, before uint32) error
	// RenamePasskey renames a passkey of a reader, or is a NotFound fault.
	RenamePasskey(ctx context.Context, reader int32, id int64, name string) error
	// RemovePasskey removes a passkey of a reader if it is there.
	RemovePasskey(ctx context.Context, reader int32, id int64) error
}

const (
	// ceremonyTime is how long somebody may take to find the key and touch it.
	ceremonyTime = 5 * time.Minute
	// mostCeremonies are kept; each takes about 500 bytes.
	mostCeremonies = 100_000
	mostPasskeys   = 20 // of an account
	handleSize     = 32 // bytes
	maxPasskeyName = 60 // characters
)

// NoCeremony is the NotFound fault of a token with which nothing was begun.
func NoCeremony() error { return fault.New(fault.NotFound, "there is nothing begun with the token") }

// NoPasskey is the NotFound fault of a passkey that is not there.
func NoPasskey() error { return fault.New(fault.NotFound, "There is no such passkey any more.") }

// PasskeyKnown is the Conflict of one that somebody has.
func PasskeyKnown() error {
	return fault.New(fault.Conflict, "This passkey has been added before.")
}

// TooManyPasskeys is the Conflict of an account that can have no more.
func TooManyPasskeys() error {
	return fault.New(fault.Conflict, "An account can have no more passkeys than these. Remove one first.")
}

// PasskeyUsed is the Conflict of a sign-in that another one came before.
func PasskeyUsed() error {
	return fault.New(fault.Conflict, "The passkey was used at this very moment. Please try again.")
}

// refusedPasskey is the one answer to a sign-in that was not right, whatever
// was wrong.
func refusedPasskey(cause error) error {
	return fault.Wrap(fault.Unauthenticated, cause, "The passkey was not accepted. Please try again, or sign in with your password.")
}

func notAdded(cause error) error {
	return &fault.Error{Kind: fault.Invalid, Cause: cause, Fields: []fault.Violation{{
		Field: "passkey", Message: "The passkey was not added: it did not answer what was asked, or too late. Please try again.",
	}}}
}

// party is the site that a browser is at. Passkeys are for its host, and only a
// browser at the very origin may make and use them. Every user is verified by
// the authenticator, with a PIN, a finger or the like, so that a passkey is as
// good as a device and a password (ASVS 5.0, 6.3.3).
func party(origin string) (*webauthn.WebAuthn, error) {
	at, err := url.Parse(origin)
	if err != nil || at.Scheme+"://"+at.Host != origin || at.Hostname() == "" ||
		at.Scheme != "https" && (at.Scheme != "http" || at.Hostname() != "localhost") {
		return nil, fault.NewInvalid("origin", "must be https://host, with a port or without, or http for localhost")
	}
	if _, err := netip.ParseAddr(at.Hostname()); err == nil {
		return nil, fault.NewInvalid("origin", "must name a host: passkeys are not for addresses")
	}
	timeout := webauthn.TimeoutConfig{Timeout: ceremonyTime}
	return webauthn.New(&webauthn.Config{
		RPID: at.Hostname(), RPDisplayName: "Octavo", RPOrigins: []string{origin},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: protocol.ResidentKeyRequired(),
			UserVerification: protocol.VerificationRequired,
		},
		Timeouts: webauthn.TimeoutsConfig{Login: timeout, Registration: timeout},
	})
}

// state is what is kept of a ceremony.
type state struct {
	Origin  string               `json:"origin"`
	Session webauthn.SessionData `json:"session"`
}

// start keeps a ceremony, and returns the token that names it.
func (s *Server) start(ctx context.Context, reader int32, origin string, session *webauthn.SessionData, now time.Time) (string, error) {
	kept, err := json.Marshal(state{origin, *session})
	if err != nil {
		return "", err
	}
	token := rand.Text() + rand.Text() // 260 bits
	return token, s.passkeys.AddCeremony(ctx, Ceremony{
		Token: digest(token), Reader: reader, State: kept, ExpiresAt: now.Add(ceremonyTime),
	}, now, mostCeremonies)
}

// errCeremony is why an answer is refused to what another one began, or long ago.
var errCeremony = errors.New("this is not what was begun, or it took too long")

// take returns what was begun by a reader, 0 for nobody, if it goes on. It can
// be taken once, whatever comes of it.
func (s *Server) take(ctx context.Context, token string, reader int32, now time.Time) (*webauthn.WebAuthn, webauthn.SessionData, error) {
	ceremony, err := s.passkeys.TakeCeremony(ctx, digest(token))
	if err != nil {
		return nil, webauthn.SessionData{}, missed(err)
	}
	var kept state
	if err := json.Unmarshal(ceremony.State, &kept); err != nil {
		return nil, webauthn.SessionData{}, refusal{err} // of another release
	}
	if ceremony.Reader != reader || !now.Before(ceremony.ExpiresAt) {
		return nil, webauthn.SessionData{}, refusal{errCeremony}
	}
	site, err := party(kept.Origin)
	return site, kept.Session, err
}

// refusal is an error of whoever answers, in place of one of ours.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// missed makes what a store does not have, or not any more, a refusal.
func missed(err error) error {
	if kind := fault.KindOf(err); kind == fault.NotFound || kind == fault.Conflict {
		return refusal{err}
	}
	return err
}

func refusedBy(err error) bool { return errors.As(err, new(refusal)) }

// owner is an account as the library sees it, with some of its passkeys.
type owner struct {
	handle   []byte
	name     string
	passkeys []Passkey
}

func (o owner) WebAuthnID() []byte          { return o.handle }
func (o owner) WebAuthnName() string        { return o.name }
func (o owner) WebAuthnDisplayName() string { return o.name }

func (o owner) WebAuthnCredentials() []webauthn.Credential {
	list := make([]webauthn.Credential, len(o.passkeys))
	for i, p := range o.passkeys {
		list[i] = webauthn.Credential{
			ID: p.Credential, PublicKey: p.PublicKey,
			Flags:         webauthn.NewCredentialFlags(protocol.AuthenticatorFlags(p.Flags)),
			Authenticator: webauthn.Authenticator{SignCount: p.SignCount},
		}
	}
	return list
}

// ownerOf is the account with its passkeys for a party. An account without any
// gets a handle of its own with the first.
func (s *Server) ownerOf(ctx context.Context, account Account, party string) (owner, error) {
	all, err := s.passkeys.Passkeys(ctx, account.Reader)
	if err != nil {
		return owner{}, err
	}
	if len(all) >= mostPasskeys {
		return owner{}, TooManyPasskeys()
	}
	o := owner{name: account.Name}
	for _, p := range all {
		if p.Party == party {
			o.passkeys, o.handle = append(o.passkeys, p), p.Handle
		}
	}
	if o.handle == nil {
		o.handle = make([]byte, handleSize)
		rand.Read(o.handle)
	}
	return o, nil
}

// errCloned is why a passkey is refused that has been used more often than it
// says.
var errCloned = errors.New("the signature counter went back: there may be two of this passkey")

// signedBy is the account whose passkey has signed what was begun.
func (s *Server) signedBy(ctx context.Context, ceremony string, response []byte, now time.Time) (Account, error) {
	site, session, err := s.take(ctx, ceremony, 0, now)
	if err != nil {
		return Account{}, err
	}
	answer, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return Account{}, refusal{err}
	}
	passkey, err := s.passkeys.Passkey(ctx, site.Config.RPID, answer.RawID)
	if err != nil {
		return Account{}, missed(err)
	}
	_, used, err := site.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
		if !bytes.Equal(handle, passkey.Handle) {
			return nil, errors.New("the passkey is that of another account")
		}
		return owner{handle: passkey.Handle, passkeys: []Passkey{passkey}}, nil
	}, session, answer)
	if err != nil {
		return Account{}, refusal{err}
	}
	if used.Authenticator.CloneWarning {
		s.log.WarnContext(ctx, "a passkey may have been copied", "reader", passkey.Reader, "passkey", passkey.ID)
		return Account{}, refusal{errCloned}
	}
	account, err := s.store.Account(ctx, passkey.Reader)
	if err != nil {
		return Account{}, missed(err)
	}
	before := passkey.SignCount
	passkey.SignCount, passkey.Flags, passkey.UsedAt = used.Authenticator.SignCount, uint8(used.Flags.ProtocolValue()), now
	return account, missed(s.passkeys.UsePasskey(ctx, passkey, before))
}

// passkeyName is what a passkey is called.
func passkeyName(given string) string {
	if given = cut(strings.TrimSpace(given), maxPasskeyName); given == "" {
		return "Passkey"
	}
	return given
}
