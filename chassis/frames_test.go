package chassis

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/credentials/insecure"
)

// frames are what a client writes after its preface.
func frames(t testing.TB, write func(*http2.Framer)) []byte {
	t.Helper()
	var sent bytes.Buffer
	sent.WriteString(http2.ClientPreface)
	write(http2.NewFramer(&sent, nil))
	return sent.Bytes()
}

func TestFramesThatAreTooMany(t *testing.T) {
	type floodFrame func(f *http2.Framer, n int) error
	reset := func(f *http2.Framer, n int) error {
		if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*n + 1), BlockFragment: []byte("headers"), EndHeaders: true}); err != nil {
			return err
		}
		return f.WriteRSTStream(uint32(2*n+1), http2.ErrCodeCancel)
	}
	ping := func(f *http2.Framer, _ int) error { return f.WritePing(false, [8]byte{}) }
	for name, test := range map[string]struct {
		frame floodFrame
		n     int
		want  string
	}{
		"resets":                 {reset, resetsAtOnce + 1000, "streams that were reset"},
		"some resets":            {reset, resetsAtOnce - 1, ""},
		"settings":               {func(f *http2.Framer, _ int) error { return f.WriteSettings() }, idleAtOnce + 100, "SETTINGS frames"},
		"some settings":          {func(f *http2.Framer, _ int) error { return f.WriteSettings() }, idleAtOnce - 1, ""},
		"empty continuations":    {func(f *http2.Framer, _ int) error { return f.WriteContinuation(1, false, nil) }, idleAtOnce + 100, "CONTINUATION frames"},
		"data without data":      {func(f *http2.Framer, _ int) error { return f.WriteData(1, false, nil) }, idleAtOnce + 100, "DATA frames"},
		"data":                   {func(f *http2.Framer, _ int) error { return f.WriteData(1, false, []byte("data")) }, 10 * idleAtOnce, ""},
		"the ends of streams":    {func(f *http2.Framer, _ int) error { return f.WriteData(1, true, nil) }, 10 * idleAtOnce, ""},
		"frames of unknown type": {func(f *http2.Framer, _ int) error { return f.WriteRawFrame(0xbe, 0, 0, []byte("odd")) }, idleAtOnce + 100, "UNKNOWN_FRAME_TYPE_190 frames"},
		"pings":                  {ping, pingsAtFirst + 1, "PING frames"},
		"some pings":             {ping, pingsAtFirst, ""},
		"pings while data comes": {func(f *http2.Framer, n int) error {
			return errors.Join(f.WriteData(1, false, []byte("data")), ping(f, n))
		}, 20 * pingsAtFirst, ""},
	} {
		t.Run(name, func(t *testing.T) {
			sent := frames(t, func(f *http2.Framer) {
				for n := range test.n {
					if err := test.frame(f, n); err != nil {
						t.Fatal(err)
					}
				}
			})
			c := newGuardedConn(nil, nil)
			var got string
			for len(sent) > 0 && got == "" { // in parts that end anywhere
				n := min(len(sent), 1013)
				got = c.follow(sent[:n])
				sent = sent[n:]
			}
			if got != test.want {
				t.Errorf("too much of %q, want %q", got, test.want)
			}
		})
	}
}

func TestBucketFillsAgain(t *testing.T) {
	var b bucket
	now := time.Unix(1, 0)
	take := func(n int) (given int) {
		for range n {
			if b.take(now, 10, 100) {
				given++
			}
		}
		return given
	}
	if got := take(150); got != 100 {
		t.Errorf("%d at first, want 100", got)
	}
	now = now.Add(10 * time.Second)
	if got := take(60); got < 45 || got > 60 {
		t.Errorf("%d after ten seconds, want about 50", got)
	}
	now = now.Add(-time.Hour) // a clock that is set back gives nothing and takes nothing for good
	take(1)
	now = now.Add(2*time.Hour + time.Minute)
	if got := take(150); got != 100 {
		t.Errorf("%d after a long time, want 100", got)
	}
}

// FuzzFrames compares the guard with a real reader of frames: both see the same
// frames wherever the bytes are cut.
func FuzzFrames(f *testing.F) {
	f.Add(frames(f, func(w *http2.Framer) {
		_ = w.WriteSettings()
		_ = w.WriteData(1, false, nil)
		_ = w.WriteContinuation(1, false, []byte("x"))
	})[len(http2.ClientPreface):], uint(3))
	f.Fuzz(func(t *testing.T, sent []byte, cut uint) {
		var counted int
		whole := &guardedConn{}
		whole.follow(sent)
		parts := &guardedConn{}
		size := int(cut%64) + 1
		for rest := sent; len(rest) > 0; {
			n := min(size, len(rest))
			parts.follow(rest[:n])
			rest = rest[n:]
		}
		if whole.skip != parts.skip || whole.have != parts.have || whole.header != parts.header {
			t.Fatalf("at once it is at %d+%d, in parts of %d at %d+%d", whole.skip, whole.have, size, parts.skip, parts.have)
		}
		at := 0
		for at+frameHeaderLength <= len(sent) {
			header, err := http2.ReadFrameHeader(bytes.NewReader(sent[at:]))
			if err != nil {
				t.Fatal(err)
			}
			counted++
			at += frameHeaderLength + int(header.Length)
		}
		if at > len(sent) && whole.skip != at-len(sent) {
			t.Errorf("after %d frames %d bytes of the last are missing, not %d", counted, at-len(sent), whole.skip)
		}
	})
}

// BenchmarkFrames is what the guard costs a request of 100 bytes.
func BenchmarkFrames(b *testing.B) {
	request := frames(b, func(f *http2.Framer) {
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: make([]byte, 40), EndHeaders: true})
		_ = f.WriteData(1, true, make([]byte, 100))
	})[len(http2.ClientPreface):]
	c := &guardedConn{}
	b.ReportAllocs()
	for b.Loop() {
		if too := c.follow(request); too != "" {
			b.Fatal(too)
		}
	}
}

// TestAFloodEndsWithWhoSendsIt: the count of the frames is in force on a
// connection that the credentials have taken on.
func TestAFloodEndsWithWhoSendsIt(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	guarded, _, err := frameGuard{insecure.NewCredentials()}.ServerHandshake(server)
	if err != nil {
		t.Fatal(err)
	}
	defer guarded.Close()
	sent := frames(t, func(f *http2.Framer) {
		for range idleAtOnce + 100 {
			if err := f.WriteSettings(); err != nil {
				t.Fatal(err)
			}
		}
	})
	var writing sync.WaitGroup
	writing.Go(func() { _, _ = client.Write(sent); _ = client.Close() })
	read, err := io.Copy(io.Discard, guarded)
	if !errors.Is(err, errFlood) {
		t.Errorf("read %d of %d bytes of a flood with error %v, want %v", read, len(sent), err, errFlood)
	}
	_ = guarded.Close()
	writing.Wait()
}
