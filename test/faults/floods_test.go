package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

const (
	usersPerSecond = 300
	abusers        = 2
	// comeAgain is when an abuser who was disconnected is back.
	comeAgain = 250 * time.Millisecond
	// mostMemory is how much the server may grow by while it is flooded, in
	// bytes: its heap is allowed that much between two collections anyway.
	mostMemory = 300 << 20
	// noise is what a latency may be by chance on a busy machine: twice
	// something smaller says nothing.
	noise = 25 * time.Millisecond
	tries = 3
)

// floodTime is how long each flood lasts. FLOOD_SECONDS makes it longer.
func floodTime() time.Duration {
	if seconds, err := strconv.Atoi(os.Getenv("FLOOD_SECONDS")); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	return time.Second
}

// TestFloods is row 14 of the faults: clients that misuse HTTP, beside users who
// go on as if nothing had happened. Nothing is fair: the abusers, the users and
// the server share one machine.
func TestFloods(t *testing.T) {
	server := startOctavo(t)
	before := server.memory(t)
	onGRPC := callers(t, server.addresses.Recommendations)
	onHTTP := readers(server.addresses.HTTP)
	for _, test := range []struct {
		name  string
		port  string
		users func(context.Context) error
		abuse func(context.Context, string) (disconnected int, err error)
	}{
		{"HTTP/2 rapid reset", server.addresses.Recommendations, onGRPC, flood(rapidReset)},
		{"HTTP/2 continuation without end", server.addresses.Recommendations, onGRPC, flood(continuation)},
		{"HTTP/2 empty continuations", server.addresses.Recommendations, onGRPC, flood(emptyContinuation)},
		{"HTTP/2 settings", server.addresses.Recommendations, onGRPC, flood(settings)},
		{"HTTP/2 pings", server.addresses.Recommendations, onGRPC, flood(pings)},
		{"HTTP/2 data without data", server.addresses.Recommendations, onGRPC, flood(emptyData)},
		{"1,200 stalled connections to gRPC", server.addresses.Recommendations, onGRPC, stall("PRI * HTTP/2.0\r\n")},
		{"1,200 stalled connections to the storefront", server.addresses.HTTP, onHTTP, stall("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")},
		{"slow-loris at the storefront", server.addresses.HTTP, onHTTP, slowLoris},
		{"headers without end at the storefront", server.addresses.HTTP, onHTTP, longHeaders},
	} {
		t.Run(test.name, func(t *testing.T) {
			var report string
			for try := range tries {
				// Noise makes figures worse, never better.
				usual := load(t.Context(), floodTime(), test.users)
				ctx, stop := context.WithCancel(t.Context())
				var abuse sync.WaitGroup
				var disconnected int
				var abuseErr error
				abuse.Go(func() { disconnected, abuseErr = test.abuse(ctx, test.port) })
				// Users who come at the same moment measure how long a thousand
				// connections take to make.
				wait(ctx, time.Second)
				flooded := load(t.Context(), floodTime(), test.users)
				memory := server.memory(t) - before
				stop()
				abuse.Wait()
				if after := load(t.Context(), floodTime(), test.users); after.p99() > usual.p99() {
					usual = after // the machine is busier than it was
				}
				if abuseErr != nil {
					t.Fatal(abuseErr)
				}
				report = fmt.Sprintf("usual %v, flooded %v, %d times disconnected, %+d MB", usual, flooded, disconnected, memory>>20)
				t.Log(report)
				switch {
				case disconnected == 0:
					t.Fatalf("the abusers stay connected: %s", report)
				case memory > mostMemory:
					t.Fatalf("memory is not bounded: %s", report)
				}
				if flooded.success() >= 0.999 && flooded.p99() <= max(2*usual.p99(), noise) {
					return
				}
				t.Logf("try %d is not good enough", try+1)
			}
			t.Errorf("users suffer: %s", report)
		})
	}
}

// outcome is how users fared.
type outcome struct {
	took   []time.Duration // sorted
	failed int
	err    error // one of the failures
}

func (o outcome) success() float64 {
	return 1 - float64(o.failed)/float64(max(1, len(o.took)+o.failed))
}

func (o outcome) p99() time.Duration {
	if len(o.took) == 0 {
		return time.Hour
	}
	return o.took[len(o.took)*99/100]
}

func (o outcome) String() string {
	text := fmt.Sprintf("p99 %.1f ms of %d", float64(o.p99().Microseconds())/1000, len(o.took))
	if o.failed > 0 {
		text += fmt.Sprintf(" and %d failed (%v)", o.failed, o.err)
	}
	return text
}

// load is users who come at a rate of their own, whether or not those before
// them have been served; each one's time is counted from when it should have
// begun.
func load(ctx context.Context, during time.Duration, use func(context.Context) error) outcome {
	var (
		users sync.WaitGroup
		mu    sync.Mutex
		all   outcome
	)
	began := time.Now()
	ticker := time.NewTicker(time.Second / usersPerSecond)
	defer ticker.Stop()
	for n := 0; ; n++ {
		due := began.Add(time.Duration(n) * time.Second / usersPerSecond)
		if due.Sub(began) >= during {
			break
		}
		for time.Now().Before(due) {
			<-ticker.C
		}
		users.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			err := use(ctx)
			took := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				all.failed, all.err = all.failed+1, err
				return
			}
			all.took = append(all.took, took)
		})
	}
	users.Wait()
	slices.Sort(all.took)
	return all
}

// callers ask for recommendations. Every tenth one is new and connects first.
func callers(t *testing.T, addr string) func(context.Context) error {
	t.Helper()
	dial := func() *grpc.ClientConn {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	shared := dial()
	t.Cleanup(func() { shared.Close() })
	var n atomic.Int32
	return func(ctx context.Context) error {
		user := n.Add(1)
		conn := shared
		if user%10 == 0 {
			conn = dial()
			defer conn.Close()
		}
		answer, err := recommendationspb.NewRecommendationsClient(conn).Recommend(ctx, &recommendationspb.RecommendationRequest{UserId: user%2000 + 1})
		if err == nil && len(answer.GetRecommendations()) == 0 {
			return errors.New("no books")
		}
		return err
	}
}

// readers open the page of a category. Every tenth one is new and connects
// first.
func readers(addr string) func(context.Context) error {
	kept := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var n atomic.Int32
	return func(ctx context.Context) error {
		client := kept
		if n.Add(1)%10 == 0 {
			client = fresh
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/fantasy", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		return nil
	}
}

// abuser is one client that writes frames as it likes.
type abuser struct {
	*http2.Framer
	conn   net.Conn
	out    *bytes.Buffer
	stream uint32
	block  []byte // the headers of a call
}

// batch is how many frames go out in one write: a flood of single writes would
// be limited by the abuser's own system calls.
const batch = 200

// flood is several abusers who write frames until they are disconnected, and
// then come again a little later.
func flood(frame func(*abuser) error) func(context.Context, string) (int, error) {
	return func(ctx context.Context, addr string) (int, error) {
		var disconnected atomic.Int32
		var all sync.WaitGroup
		errs := make(chan error, abusers)
		for range abusers {
			all.Go(func() {
				for ctx.Err() == nil {
					gone, err := floodOnce(ctx, addr, frame)
					if err != nil {
						errs <- err
						return
					}
					if gone {
						disconnected.Add(1)
					}
					wait(ctx, comeAgain)
				}
			})
		}
		all.Wait()
		select {
		case err := <-errs:
			return 0, err
		default:
			return int(disconnected.Load()), nil
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// floodOnce writes until the server closes the connection, which it reports, or
// ctx ends.
func floodOnce(ctx context.Context, addr string, frame func(*abuser) error) (gone bool, err error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	a := &abuser{conn: conn, out: &bytes.Buffer{}, stream: 1}
	a.Framer = http2.NewFramer(a.out, nil)
	a.AllowIllegalWrites = true
	a.block = headers(addr)
	a.out.WriteString(http2.ClientPreface)
	if err := a.WriteSettings(); err != nil {
		return false, err
	}
	// An abuser that does not read is stopped by TCP soon.
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, conn)
	}()
	defer func() {
		conn.Close()
		<-drained
	}()
	for {
		for range batch {
			if err := frame(a); err != nil {
				return false, err
			}
		}
		_, err := conn.Write(a.out.Bytes())
		a.out.Reset()
		select {
		case <-drained:
			return ctx.Err() == nil, nil
		default:
		}
		if err != nil {
			return ctx.Err() == nil, nil
		}
	}
}

func headers(addr string) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", "/Recommendations/Recommend"}, {":authority", addr},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		// Writing to memory does not fail.
		_ = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	return block.Bytes()
}

// next is a stream that has not been used.
func (a *abuser) next() uint32 {
	a.stream += 2
	return a.stream
}

func rapidReset(a *abuser) error {
	stream := a.next()
	if err := a.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: a.block, EndHeaders: true}); err != nil {
		return err
	}
	return a.WriteRSTStream(stream, http2.ErrCodeCancel)
}

func continuation(a *abuser) error {
	if a.stream == 1 {
		return a.WriteHeaders(http2.HeadersFrameParam{StreamID: a.next(), BlockFragment: a.block})
	}
	var block bytes.Buffer
	// Writing to memory does not fail.
	_ = hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: "x-long", Value: string(make([]byte, 1000)), Sensitive: true})
	return a.WriteContinuation(a.stream, false, block.Bytes())
}

func emptyContinuation(a *abuser) error {
	if a.stream == 1 {
		return a.WriteHeaders(http2.HeadersFrameParam{StreamID: a.next(), BlockFragment: a.block})
	}
	return a.WriteContinuation(a.stream, false, nil)
}

func settings(a *abuser) error {
	return a.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 65_535})
}

func pings(a *abuser) error { return a.WritePing(false, [8]byte{1}) }

func emptyData(a *abuser) error {
	if a.stream == 1 {
		return a.WriteHeaders(http2.HeadersFrameParam{StreamID: a.next(), BlockFragment: a.block, EndHeaders: true})
	}
	return a.WriteData(a.stream, false, nil)
}

const stalled = 1200

// stall opens connections that send the beginning of something and no more, and
// keeps as many open as it can.
func stall(beginning string) func(context.Context, string) (int, error) {
	return func(ctx context.Context, addr string) (int, error) {
		return hold(ctx, addr, stalled, func(_ context.Context, conn net.Conn) {
			if _, err := io.WriteString(conn, beginning); err == nil {
				_, _ = io.Copy(io.Discard, conn)
			}
		})
	}
}

// slowLoris sends headers a byte at a time, so that something always happens.
func slowLoris(ctx context.Context, addr string) (int, error) {
	return hold(ctx, addr, stalled, func(ctx context.Context, conn net.Conn) {
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_, _ = io.Copy(io.Discard, conn)
		}()
		_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
		for err == nil && ctx.Err() == nil {
			wait(ctx, time.Duration(500+rand.IntN(1000))*time.Millisecond)
			_, err = io.WriteString(conn, "x")
		}
		conn.Close()
		<-gone
	})
}

// longHeaders sends one header for as long as it is taken.
func longHeaders(ctx context.Context, addr string) (int, error) {
	return hold(ctx, addr, 100, func(_ context.Context, conn net.Conn) {
		_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Long: ")
		for part := bytes.Repeat([]byte("x"), 4<<10); err == nil; {
			_, err = conn.Write(part)
		}
	})
}

// hold has many connections at once, each replaced when it ends. It goes on
// until ctx ends and at least a few have been closed by the server, or until it
// is clear that none will.
func hold(ctx context.Context, addr string, connections int, use func(context.Context, net.Conn)) (int, error) {
	const patience = 20 * time.Second
	longer, stop := context.WithTimeout(context.WithoutCancel(ctx), floodTime()+patience)
	defer stop()
	var disconnected atomic.Int32
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			for longer.Err() == nil {
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					wait(longer, 100*time.Millisecond)
					continue
				}
				end := context.AfterFunc(longer, func() { conn.Close() })
				use(longer, conn)
				end()
				conn.Close()
				if longer.Err() == nil {
					disconnected.Add(1)
				}
				wait(longer, time.Duration(rand.IntN(1000))*time.Millisecond)
			}
		})
	}
	<-ctx.Done()
	for disconnected.Load() == 0 && longer.Err() == nil {
		wait(longer, 10*time.Millisecond)
	}
	stop()
	all.Wait()
	return int(disconnected.Load()), nil
}
