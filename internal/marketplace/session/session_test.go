package session

import (
	"bytes"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func codec(tb testing.TB, fill byte) *Codec {
	tb.Helper()
	c, err := NewCodec(bytes.Repeat([]byte{fill}, KeySize))
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func TestASessionComesBackAsItWas(t *testing.T) {
	full := Session{Reader: math.MaxInt32, Origin: 255, Position: math.MaxInt64, ChangedAt: math.MaxInt64}
	for i := range int32(MaxRecent) {
		full.Recent = append(full.Recent, math.MaxInt32-i)
	}
	for name, s := range map[string]Session{
		"nobody":  {},
		"reader":  {Reader: 17, Origin: 2, Position: 90210, ChangedAt: 1_700_000_000},
		"visitor": {Recent: []int32{3, 1, 2}},
		"full":    full,
	} {
		t.Run(name, func(t *testing.T) {
			value := codec(t, 1).Encode(s)
			if len(value) > MaxLength {
				t.Errorf("encoded in %d bytes, more than %d", len(value), MaxLength)
			}
			got, ok := codec(t, 1).Decode(value)
			if !ok || !reflect.DeepEqual(got, s) {
				t.Errorf("decoded %+v, %v; want %+v", got, ok, s)
			}
		})
	}
}

func TestOnlyOwnSessionsAreRead(t *testing.T) {
	value := codec(t, 1).Encode(Session{Reader: 17})
	for name, tampered := range map[string]string{
		"empty":        "",
		"another key":  codec(t, 2).Encode(Session{Reader: 17}),
		"cut":          value[:len(value)-4],
		"longer":       value + "AAAA",
		"not base64":   "%" + value[1:],
		"no signature": "AQAR",
		"huge":         strings.Repeat("A", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			if s, ok := codec(t, 1).Decode(tampered); ok {
				t.Errorf("read as %+v", s)
			}
		})
	}
	for i := range value {
		changed := []byte(value)
		changed[i] ^= 1
		if s, ok := codec(t, 1).Decode(string(changed)); ok {
			t.Errorf("byte %d changed, read as %+v", i, s)
		}
	}
}

func TestAKeyOfAnotherLengthIsRefused(t *testing.T) {
	for _, size := range []int{0, KeySize - 1, KeySize + 1, 2*KeySize - 1} {
		if _, err := NewCodec(make([]byte, size)); err == nil {
			t.Errorf("a key of %d bytes was taken", size)
		}
	}
}

// A key is replaced in steps, at each of which some replicas are a step behind.
func TestAKeyIsReplacedWithoutLosingASession(t *testing.T) {
	before, after := bytes.Repeat([]byte{1}, KeySize), bytes.Repeat([]byte{2}, KeySize)
	steps := [][]byte{before, slices.Concat(before, after), slices.Concat(after, before), after}
	codecs := make([]*Codec, len(steps))
	for i, secret := range steps {
		var err error
		if codecs[i], err = NewCodec(secret); err != nil {
			t.Fatal(err)
		}
	}
	want := Session{Reader: 17, Recent: []int32{3}}
	for i := 1; i < len(codecs); i++ {
		for _, pair := range [][2]int{{i - 1, i}, {i, i - 1}, {i, i}} {
			got, ok := codecs[pair[1]].Decode(codecs[pair[0]].Encode(want))
			if !ok || !reflect.DeepEqual(got, want) {
				t.Errorf("signed at step %d and read at step %d: %+v, %v; want %+v", pair[0], pair[1], got, ok, want)
			}
		}
	}
	if s, ok := codecs[3].Decode(codecs[0].Encode(want)); ok {
		t.Errorf("the old key is gone, and its session is read as %+v", s)
	}
}

func TestSawKeepsTheLatestBooksOnce(t *testing.T) {
	var s Session
	for book := range int32(MaxRecent + 5) {
		if !s.Saw(book + 1) {
			t.Errorf("book %d was said to be known", book+1)
		}
	}
	if s.Saw(10) {
		t.Error("a book was remembered twice")
	}
	if len(s.Recent) != MaxRecent || s.Recent[0] != 6 || s.Recent[MaxRecent-1] != MaxRecent+5 {
		t.Errorf("recent books are %v", s.Recent)
	}
}

func TestAPositionIsHandedOnForAWhile(t *testing.T) {
	var s Session
	now := time.Unix(1_700_000_000, 0)
	s.Changed(12, now)
	s.Changed(7, now.Add(time.Hour))
	if got := s.MinPosition(now.Add(time.Minute), time.Minute); got != 12 {
		t.Errorf("within patience the position is %d, want 12", got)
	}
	for name, jump := range map[string]time.Duration{
		"after patience":           time.Minute + time.Second,
		"when the clock went on":   time.Hour,
		"when the clock went back": -time.Hour,
	} {
		if got := s.MinPosition(now.Add(jump), time.Minute); got != 0 {
			t.Errorf("%s the position is %d, want 0", name, got)
		}
	}
	if got := s.MinPosition(now.Add(-time.Second), time.Minute); got != 12 {
		t.Errorf("on a machine whose clock is a second behind the position is %d, want 12", got)
	}
	// A change counts by its position, whatever the clock says.
	s.Changed(13, now.Add(-time.Hour))
	if got := s.MinPosition(now.Add(-time.Hour), time.Minute); got != 13 {
		t.Errorf("after a change on a clock that went back the position is %d, want 13", got)
	}
}

func FuzzDecode(f *testing.F) {
	c := codec(f, 1)
	f.Add(c.Encode(Session{Reader: 17, Recent: []int32{1, 2}}), []byte{version, 2, 17, 0, 0, 1})
	f.Add("", []byte{version, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, value string, record []byte) {
		if s, ok := c.Decode(value); ok {
			if again, ok := c.Decode(c.Encode(s)); !ok || !reflect.DeepEqual(again, s) {
				t.Errorf("%+v came back as %+v, %v", s, again, ok)
			}
		}
		// The signature keeps strangers out of parse; it must stand alone too.
		if s, ok := parse(record); ok {
			if again, ok := c.Decode(c.Encode(s)); !ok || !reflect.DeepEqual(again, s) {
				t.Errorf("%+v came back as %+v, %v", s, again, ok)
			}
		}
	})
}
