// Package password turns passwords into argon2id hashes and checks them, with a
// bound on how many are worked on at once: each takes memory and a core. It
// also says which passwords are no good.
//
// It never keeps or logs a password.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/octavo-books/octavo/fault"
)

// Params are the costs of argon2id (RFC 9106).
type Params struct {
	Memory uint32 // KiB
	Passes uint32
	Lanes  uint8
}

// Present are the costs of new hashes: the least that OWASP's Password Storage
// Cheat Sheet names, which ASVS 5.0 (11.4.2, appendix C) refers to.
var Present = Params{Memory: 19 * 1024, Passes: 2, Lanes: 1}

// highest bounds what a stored hash may ask for.
var highest = Params{Memory: 256 * 1024, Passes: 16, Lanes: 16}

const (
	saltSize, keySize = 16, 32
	// memoryBudget bounds what all hashes at work take together.
	memoryBudget = 128 << 10 // KiB
)

// Config says how a Hasher works. Its zero value is usable.
type Config struct {
	Params  Params        // of new hashes; Present when zero
	AtOnce  int           // hashes worked on at once; 0 for half of the cores, within 128 MiB
	Waiting int           // callers who may wait for their turn; 0 for 8 for each at once
	Wait    time.Duration // how long they do; 0 for 2 s
}

// Hasher makes and checks hashes. It is safe for concurrent use.
type Hasher struct {
	params Params
	places chan struct{} // of those at work and those who wait
	turns  chan struct{} // of those at work
	wait   time.Duration
	decoy  string
}

// New makes a Hasher.
func New(c Config) *Hasher {
	if c.Params == (Params{}) {
		c.Params = Present
	}
	if c.AtOnce <= 0 {
		c.AtOnce = max(1, min(runtime.GOMAXPROCS(0)/2, int(memoryBudget/c.Params.Memory)))
	}
	if c.Waiting <= 0 {
		c.Waiting = 8 * c.AtOnce
	}
	if c.Wait <= 0 {
		c.Wait = 2 * time.Second
	}
	h := &Hasher{params: c.Params, wait: c.Wait, places: make(chan struct{}, c.AtOnce+c.Waiting), turns: make(chan struct{}, c.AtOnce)}
	salt, key := make([]byte, saltSize), make([]byte, keySize)
	rand.Read(salt)
	rand.Read(key)
	h.decoy = phc{h.params, salt, key}.String()
	return h
}

// AtWork is how many hashes are worked on at this moment.
func (h *Hasher) AtWork() int { return len(h.turns) }

// Memory is what hashes take at most at once, in bytes.
func (h *Hasher) Memory() int64 { return int64(cap(h.turns)) * int64(h.params.Memory) << 10 }

// Decoy is a hash that no password fits and that costs as much as any new one:
// checking it for a name that does not exist takes as long as for one that does.
func (h *Hasher) Decoy() string { return h.decoy }

// Hash is a new hash of the password as a PHC string. When too many are being
// made it is an Exhausted fault.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	done, err := h.turn(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	salt := make([]byte, saltSize)
	rand.Read(salt)
	return phc{h.params, salt, derive(h.params, password, salt, keySize)}.String(), nil
}

// Verify says whether the password is the one of the hash, and whether the hash
// was made at lower costs than those of today, so that it should be made again.
// When too many are being checked it is an Exhausted fault.
func (h *Hasher) Verify(ctx context.Context, hash, password string) (fits, outdated bool, err error) {
	p, err := parse(hash)
	if err != nil {
		return false, false, err
	}
	done, err := h.turn(ctx)
	if err != nil {
		return false, false, err
	}
	defer done()
	key := derive(p.params, password, p.salt, len(p.key))
	fits = subtle.ConstantTimeCompare(key, p.key) == 1
	return fits, fits && p.params != h.params, nil
}

// turn waits until the caller may work. The function it returns ends that.
func (h *Hasher) turn(ctx context.Context) (done func(), err error) {
	busy := &fault.Error{Kind: fault.Exhausted, Message: "too many people sign in at this moment; try again in a few seconds", RetryAfter: h.wait}
	select {
	case h.places <- struct{}{}:
	default:
		return nil, busy
	}
	timeout := time.NewTimer(h.wait)
	defer timeout.Stop()
	select {
	case h.turns <- struct{}{}:
		return func() { <-h.turns; <-h.places }, nil
	case <-timeout.C:
		err = busy
	case <-ctx.Done():
		err = ctx.Err()
	}
	<-h.places
	return nil, err
}

func derive(p Params, password string, salt []byte, size int) []byte {
	return argon2.IDKey([]byte(password), salt, p.Passes, p.Memory, p.Lanes, uint32(size))
}

// phc is a hash in the format of the password hashing competition:
// $argon2id$v=19$m=19456,t=2,p=1$salt$key.
type phc struct {
	params    Params
	salt, key []byte
}

func (p phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.params.Memory, p.params.Passes, p.params.Lanes,
		base64.RawStdEncoding.EncodeToString(p.salt), base64.RawStdEncoding.EncodeToString(p.key))
}

var errNoHash = errors.New("a stored password is no argon2id hash of a cost that is allowed")

func parse(text string) (p phc, err error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return phc{}, errNoHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.params.Memory, &p.params.Passes, &p.params.Lanes); err != nil {
		return phc{}, errNoHash
	}
	strict := base64.RawStdEncoding.Strict()
	if p.salt, err = strict.DecodeString(parts[4]); err != nil {
		return phc{}, errNoHash
	}
	if p.key, err = strict.DecodeString(parts[5]); err != nil {
		return phc{}, errNoHash
	}
	c := p.params
	if c.Memory < 8*uint32(c.Lanes) || c.Memory > highest.Memory || c.Passes < 1 || c.Passes > highest.Passes ||
		c.Lanes < 1 || c.Lanes > highest.Lanes || len(p.salt) < 8 || len(p.salt) > 64 || len(p.key) < 16 || len(p.key) > 64 || p.String() != text {
		return phc{}, errNoHash
	}
	return p, nil
}
