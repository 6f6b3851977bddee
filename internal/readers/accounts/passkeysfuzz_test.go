package accounts_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/octavo-books/octavo/fault"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

// answer is what a browser sends of a passkey.
type answer struct {
	Type     string `json:"type"`
	ID       string `json:"id"`
	RawID    text64 `json:"rawId"`
	Response struct {
		Client    text64 `json:"clientDataJSON"`
		Data      text64 `json:"authenticatorData,omitempty"`
		Signature text64 `json:"signature,omitempty"`
		User      text64 `json:"userHandle,omitempty"`
		Object    text64 `json:"attestationObject,omitempty"`
	} `json:"response"`
}

// text64 are bytes as base64url in JSON, with or without its padding.
type text64 []byte

func (b text64) MarshalText() ([]byte, error) {
	return []byte(base64.RawURLEncoding.EncodeToString(b)), nil
}

func (b *text64) UnmarshalText(text []byte) (err error) {
	*b, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(string(text), "="))
	return err
}

// The parts of an answer that are changed.
const (
	whole = iota // its JSON
	rawID
	client    // what the browser says of the page, in JSON
	data      // what the authenticator says of itself
	signature // or, of a registration, the CBOR around data
	user
	parts
)

// change is one splice of bytes.
type change struct {
	part   byte
	at     uint16
	remove uint16
	insert []byte
}

func (c change) apply(b []byte) []byte {
	at := min(int(c.at), len(b))
	return slices.Concat(b[:at], c.insert, b[min(at+int(c.remove), len(b)):])
}

// signIn is the answer of a key with a change, signed again by the key where it
// signs what was changed, and what was signed.
func (c change) signIn(t testing.TB, k *key, valid []byte) (sent []byte, signed answer) {
	t.Helper()
	a := parse(t, valid)
	signed = a
	switch r := &a.Response; c.part {
	case whole:
		return c.apply(valid), a
	case rawID:
		a.RawID = c.apply(a.RawID)
		a.ID = base64.RawURLEncoding.EncodeToString(a.RawID)
	case client, data:
		if c.part == client {
			r.Client = c.apply(r.Client)
		} else {
			r.Data = c.apply(r.Data)
		}
		page := sha256.Sum256(r.Client)
		digest := sha256.Sum256(slices.Concat(r.Data, page[:]))
		again, err := k.credential.Key.Sign(digest[:])
		if err != nil {
			t.Fatal(err)
		}
		r.Signature = again
		signed = a
	case signature:
		r.Signature = c.apply(r.Signature)
	case user:
		r.User = c.apply(r.User)
	}
	return write(t, a), signed
}

// registration is the answer of a key with a change. Where the authenticator's
// data are changed it attests nothing, as most keys do.
func (c change) registration(t testing.TB, valid []byte) []byte {
	t.Helper()
	a := parse(t, valid)
	switch r := &a.Response; c.part {
	case whole:
		return c.apply(valid)
	case rawID:
		a.RawID = c.apply(a.RawID)
		a.ID = base64.RawURLEncoding.EncodeToString(a.RawID)
	case client:
		r.Client = c.apply(r.Client)
	case data:
		r.Object = unattested(c.apply(dataIn(t, r.Object)))
	default:
		r.Object = c.apply(r.Object)
	}
	return write(t, a)
}

// dataIn is what an attestation object has of the authenticator's data, which
// come last in those of our keys.
func dataIn(t testing.TB, object []byte) []byte {
	t.Helper()
	_, found, ok := bytes.Cut(object, []byte("\x68authData"))
	if !ok || len(found) < 2 || found[0] != 0x58 || len(found) < 2+int(found[1]) {
		t.Fatalf("no data in %x", object)
	}
	return found[2 : 2+int(found[1])]
}

// unattested is an attestation object, in CBOR, that attests nothing.
func unattested(data []byte) []byte {
	return slices.Concat([]byte("\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59"), []byte{byte(len(data) >> 8), byte(len(data))}, data)
}

func parse(t testing.TB, sent []byte) (a answer) {
	t.Helper()
	if err := json.Unmarshal(sent, &a); err != nil {
		t.Fatalf("%v: %s", err, sent)
	}
	return a
}

func write(t testing.TB, a answer) []byte {
	t.Helper()
	sent, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return sent
}

// wantGenuine fails unless what somebody has signed in with is what the key has
// signed: the answer to this challenge, at this page, of a user it has verified.
func wantGenuine(t *testing.T, sent []byte, signed answer, options []byte) {
	t.Helper()
	got := parse(t, sent).Response
	if !bytes.Equal(got.Client, signed.Response.Client) || !bytes.Equal(got.Data, signed.Response.Data) || !bytes.Equal(got.Signature, signed.Response.Signature) {
		t.Errorf("%s is not what was signed, %+v", sent, signed)
	}
	var page struct{ Type, Challenge, Origin string }
	var asked struct{ Challenge string }
	if err := json.Unmarshal(options, &asked); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(got.Client, &page); err != nil || page.Type != "webauthn.get" || page.Challenge != asked.Challenge || page.Origin != origin {
		t.Errorf("%s (%v) answers no sign-in at %s with challenge %s", got.Client, err, origin, asked.Challenge)
	}
	const presentAndVerified = 0x05
	site := sha256.Sum256([]byte("books.example"))
	if len(got.Data) < 37 || !bytes.Equal(got.Data[:32], site[:]) || got.Data[32]&presentAndVerified != presentAndVerified {
		t.Errorf("%x is not of a verified user of books.example", got.Data)
	}
}

// FuzzPasskeyAnswers is of what a browser sends of a passkey: valid answers with
// one change anywhere, and so any bytes. They are accepted or refused in the
// words for it, with no more memory than their size explains.
func FuzzPasskeyAnswers(f *testing.F) {
	// mostAllocated is in bytes, of which the stores and gRPC take most. An answer
	// has at most 16 KiB.
	const mostAllocated = 4 << 20
	s := serve(f)
	mine := newKey()
	token := s.create(f, "ada").GetToken()
	if token = s.mustAdd(f, token, mine, "Phone").GetToken(); token == "" {
		f.Fatal("no session")
	}

	for part := range byte(parts) {
		for _, registers := range []bool{false, true} {
			for _, insert := range []string{"", "{}", "[]", "null", "\xa0", "\x9f", "\xbb\xff\xff\xff\xff\xff\xff\xff\xff", "\x5b\x7f\xff\xff\xff\xff\xff\xff\xff", strings.Repeat("\x81", 5000), strings.Repeat("[", 5000)} {
				f.Add(registers, part, uint16(0), uint16(0), []byte(insert))
				f.Add(registers, part, uint16(0), uint16(1<<15), []byte(insert))
				f.Add(registers, part, uint16(1<<15), uint16(0), []byte(insert))
			}
			f.Add(registers, part, uint16(32), uint16(1), []byte{0xff})                // all flags
			f.Add(registers, part, uint16(32), uint16(5), []byte{0x85, 0, 0, 0, 9, 1}) // extensions
		}
	}
	const packed = "\x66packed"
	for _, format := range []string{"\x64none", "\x63tpm", "\x65apple", "\x68fido-u2f", "\x68compound", "\x6bandroid-key", "\x71android-safetynet", "\x60"} {
		f.Add(true, byte(signature), uint16(len("\xa3\x63fmt")), uint16(len(packed)), []byte(format))
	}

	allocated := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	f.Fuzz(func(t *testing.T, registers bool, part byte, at, remove uint16, insert []byte) {
		c := change{part % parts, at, remove, insert[:min(len(insert), 1<<15)]} // twice the longest answer
		s.clock.forward(2 * time.Hour)                                          // the limits forget
		metrics.Read(allocated)
		before := allocated[0].Value.Uint64()
		var err error
		var valid, sent []byte
		if registers {
			if s.whose(t, token) == 0 {
				in, err := s.signIn(t, "ada", secret, "192.0.2.1")
				if err != nil {
					t.Fatal(err)
				}
				token = in.GetToken()
			}
			k := newKey()
			begun, beginErr := s.beginAdding(t, token, secret)
			if beginErr != nil {
				t.Fatal(beginErr)
			}
			valid = k.create(t, begun.GetOptions())
			sent = c.registration(t, valid)
			var added *readersv1.FinishPasskeyRegistrationResponse
			added, err = s.FinishPasskeyRegistration(within(t), &readersv1.FinishPasskeyRegistrationRequest{
				Token: token, Ceremony: begun.GetCeremony(), Response: sent, Name: "Phone", Client: from("192.0.2.1"),
			})
			if err == nil {
				token = added.GetToken()
				if _, err := s.RemovePasskey(within(t), &readersv1.RemovePasskeyRequest{Token: token, Id: added.GetPasskey().GetId()}); err != nil {
					t.Fatal(err)
				}
			}
		} else {
			begun := s.beginSignIn(t)
			var signed answer
			valid = mine.get(t, begun.GetOptions())
			sent, signed = c.signIn(t, mine, valid)
			if _, err = s.finishSignIn(t, begun.GetCeremony(), sent); err == nil {
				wantGenuine(t, sent, signed, begun.GetOptions())
				counter := parse(t, sent).Response.Data[33:37]
				mine.credential.Counter = uint32(counter[0])<<24 | uint32(counter[1])<<16 | uint32(counter[2])<<8 | uint32(counter[3])
			}
		}
		metrics.Read(allocated)
		if took := allocated[0].Value.Uint64() - before; took > mostAllocated {
			t.Errorf("%d bytes are allocated for an answer of %d: %q", took, len(sent), sent)
		}
		switch kind := fault.KindOf(err); {
		case err != nil && bytes.Equal(sent, valid):
			t.Errorf("the valid answer %s: %v", sent, err)
		case err != nil && kind != fault.Unauthenticated && kind != fault.Invalid:
			t.Errorf("%q is refused with %v", sent, err)
		}
	})
}
