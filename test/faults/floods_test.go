package faults

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"

	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

const (
	abusers = 2
	// comeAgain is when an abuser who was disconnected is back.
	comeAgain = 250 * time.Millisecond
	// firstWait is how long an address that has flooded may not connect; it is
	// twice as long after each further flood.
	firstWait = time.Second
	// patience is how long a server may take to disconnect an abuser.
	patience = 10 * time.Second
	// leastSuccess is of the users, with abusers and without.
	leastSuccess = 0.999
	// mostMemory is how much the server may grow by while it is flooded, in
	// bytes: its heap is allowed that much between two collections anyway.
	mostMemory = 200 << 20
	// mostShare is how much of one processor abusers may cost the server. To accept
	// 1,500 connections in less than a second takes a quarter.
	mostShare = 0.6
)

// measurement is how thoroughly the floods are measured.
type measurement struct {
	usersPerSecond map[string]int // of what is served
	phase          map[string]time.Duration
	rounds         int // phases of each kind
	// With abusers, this percentile of users waits at most twice as long as
	// without, or the time that it may be by chance.
	percentile int
	noise      time.Duration
	tries      int // to find that so
}

// measured is short, or with -long of a thousand users in each phase. A few
// users on a busy machine say nothing of the 99th percentile; what abusers cost
// is then seen in the time of the processors, which does not depend on who else
// wants them.
func measured() measurement {
	if *long {
		return measurement{
			usersPerSecond: map[string]int{"gRPC": 400, "pages": 200},
			phase:          map[string]time.Duration{"gRPC": 2500 * time.Millisecond, "pages": 5 * time.Second},
			rounds:         3, percentile: 99, noise: 5 * time.Millisecond, tries: 3,
		}
	}
	return measurement{
		usersPerSecond: map[string]int{"gRPC": 100, "pages": 50},
		phase:          map[string]time.Duration{"gRPC": 400 * time.Millisecond, "pages": 400 * time.Millisecond},
		rounds:         2, percentile: 50, noise: 20 * time.Millisecond, tries: 3,
	}
}

// abuse is what clients do wrong, until ctx ends.
type abuse struct {
	do   func(ctx context.Context, to target, begun func()) (disconnected int, err error)
	ends ending
}

// ending is what becomes of an abuse.
type ending int

const (
	byItself   ending = iota // it costs a client no connection
	connection               // its connection is closed
	keptAway                 // and its address may not connect again for a while
)

// abuses are what clients do wrong, by the name under which this program does
// it in a process of its own.
var abuses = map[string]abuse{
	"rapid reset":              {flood(rapidReset), keptAway},
	"continuation without end": {flood(continuation), connection},
	"empty continuations":      {flood(emptyContinuation), keptAway},
	"settings":                 {flood(settings), keptAway},
	"pings":                    {flood(pings), keptAway},
	"data without data":        {flood(emptyData), keptAway},
	"1,200 stalled connections": {stall(map[string]string{
		"gRPC": "PRI * HTTP/2.0\r\n", "pages": "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
	}), connection},
	// Such calls end one by one, when the time for their requests is over.
	"calls without a request": {flood(noRequest), byItself},
	"slow-loris":              {slowLoris, connection},
	"headers without end":     {longHeaders, connection},
}

// target is what an abuser is sent to.
type target struct {
	Abuse   string
	Address string
	From    string // the abusers' own address
	Serves  string // gRPC or pages
	TLS     bool
	// Until is whether to go on until at least once disconnected.
	Until bool
}

// TestFloods is row 14 of the faults: clients that misuse HTTP, beside users who
// go on as if nothing had happened. The abusers, the users and the server share
// one machine; the abusers have the least claim to its processors, so that what
// they use of them themselves is not taken for what they do to the server. In
// each phase they come from an address that nobody knows yet. Phases with and
// without abusers alternate, so that what else the machine does is in both.
func TestFloods(t *testing.T) {
	plain, secure := startOctavo(t), startSecureOctavo(t)
	for _, group := range []struct {
		serves string
		tls    bool
		abuses []string
	}{
		{"gRPC", false, []string{"rapid reset", "continuation without end", "empty continuations", "settings", "pings", "data without data", "calls without a request", "1,200 stalled connections"}},
		{"gRPC", true, []string{"rapid reset", "continuation without end", "settings", "pings"}},
		{"pages", false, []string{"1,200 stalled connections", "slow-loris", "headers without end"}},
		{"pages", true, []string{"rapid reset", "continuation without end", "settings", "pings"}},
	} {
		p := &port{octavo: plain, serves: group.serves}
		name := group.serves
		if group.tls {
			p.octavo, name = secure, name+" over TLS"
		}
		if p.serves == "gRPC" {
			p.address, p.room, p.users = p.addresses.Recommendations, 1024, callers(t, p.octavo)
		} else {
			p.address, p.room, p.users = p.addresses.HTTP, 4096, visitors(p.octavo)
		}
		atFirst := p.cost(t)
		for _, abuse := range group.abuses {
			t.Run(name+"/"+abuse, func(t *testing.T) { measured().hold(t, p, abuse, atFirst.memory) })
		}
	}
}

// port is one of a program's, and who comes to it.
type port struct {
	*octavo
	serves  string  // gRPC or pages
	room    float64 // for connections
	address string
	users   func(context.Context) error
}

// hold fails unless users fare with abusers as they do without.
func (m measurement) hold(t *testing.T, p *port, abuse string, memory float64) {
	t.Helper()
	ends, phase := abuses[abuse].ends, m.phase[p.serves]
	for try := 1; ; try++ {
		var usual, flooded phases
		var disconnected int
		var grown, open float64
		for round := range m.rounds {
			before := p.cost(t)
			usual.add(load(t.Context(), m.usersPerSecond[p.serves], phase, p.users))
			between := p.cost(t)
			usual.cpu += between.cpu - before.cpu

			began := time.Now()
			a := sendAbuser(t, target{
				Abuse: abuse, Address: p.address, From: nobodyKnows(), Serves: p.serves, TLS: p.client != nil,
				Until: ends != byItself && round == m.rounds-1,
			})
			flooded.add(load(t.Context(), m.usersPerSecond[p.serves], phase, p.users))
			after := p.cost(t)
			flooded.cpu += after.cpu - between.cpu
			grown, open = max(grown, after.memory-memory), max(open, after.open)
			if ends == keptAway {
				p.wantKeptAway(t, between, began)
			}
			disconnected += a.callBack(t)
		}
		share := (flooded.cpu - usual.cpu) / (float64(m.rounds) * phase.Seconds())
		t.Logf("p%d %s, flooded %s; %d of %d users failed, flooded %d; the abusers were disconnected %d times and took %.0f%% of a processor and %+.0f MB",
			m.percentile, ms(usual.percentile(m.percentile)), ms(flooded.percentile(m.percentile)),
			usual.failed, usual.all(), flooded.failed, disconnected, 100*share, grown/(1<<20))
		switch {
		case usual.success() < leastSuccess:
			t.Fatalf("users fail without abusers as well: %v", usual.err)
		case flooded.success() < leastSuccess:
			t.Fatalf("users fail: %v", flooded.err)
		case disconnected == 0 && ends != byItself:
			t.Fatal("the abusers stay connected")
		case grown > mostMemory:
			t.Fatal("memory is not bounded")
		case share > mostShare:
			t.Fatal("the server works for the abusers")
		case open > p.room:
			t.Fatalf("%.0f connections are open, want at most %.0f", open, p.room)
		}
		if flooded.percentile(m.percentile) <= max(2*usual.percentile(m.percentile), m.noise) {
			return
		}
		if try == m.tries {
			t.Fatal("users wait longer")
		}
	}
}

// wantKeptAway fails unless the server keeps away the address of abusers who
// have come at a time: it ends the connections that flood, and takes no others
// from there until the address has waited.
func (p *port) wantKeptAway(t *testing.T, before cost, came time.Time) {
	t.Helper()
	for {
		did, since := p.cost(t).since(before), time.Since(came)
		most := float64(abusers)
		for waits, passed := firstWait, firstWait; passed < since; passed += waits {
			most += abusers
			waits *= 2
		}
		switch {
		case did.floods > most:
			t.Fatalf("within %v abusers flooded %.0f connections, want at most %.0f; it took %.1f s of the processors", since, did.floods, most, did.cpu)
		case did.floods > 0 && did.keptAway > 0:
			return
		case since > patience:
			t.Fatalf("within %v the server ended %.0f floods and kept nobody away; it took %.1f s of the processors", since, did.floods, did.cpu)
		}
		wait(t.Context(), 20*time.Millisecond)
	}
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

// cost is what a server has done since it started, or between two times.
type cost struct {
	cpu      float64 // seconds
	floods   float64 // connections that were ended for one
	keptAway float64 // connections that were not taken for one before
	memory   float64 // bytes; of the machine's, at the end
	open     float64 // connections; at the end
}

// cost is that of the program so far.
func (p *port) cost(t *testing.T) cost {
	t.Helper()
	all := p.metrics(t)
	server := "recommendations"
	if p.serves == "pages" {
		server = "http"
	}
	closed := "server_connections_closed_total{reason=%q,server=%q}"
	return cost{
		cpu:      all["process_cpu_seconds_total"],
		floods:   all[fmt.Sprintf(closed, "flood", server)],
		keptAway: all[fmt.Sprintf(closed, "waiting", server)],
		memory:   all["process_resident_memory_bytes"],
		open:     all[fmt.Sprintf("server_connections{server=%q}", server)],
	}
}

func (c cost) since(before cost) cost {
	return cost{c.cpu - before.cpu, c.floods - before.floods, c.keptAway - before.keptAway, c.memory, c.open}
}

// nobodyKnows is an address of this machine from which nobody has connected. The
// users have the usual one: what abusers do is not held against them.
func nobodyKnows() string {
	n := strangers.Add(1)
	return fmt.Sprintf("127.0.%d.%d", 1+n/250, 1+n%250)
}

var strangers atomic.Int32

// phases are how users fared in several phases of one kind, and how long the
// server worked, in seconds.
type phases struct {
	outcome
	cpu float64
}

func (p *phases) add(o outcome) {
	p.took = append(p.took, o.took...)
	slices.Sort(p.took)
	p.failed += o.failed
	if o.err != nil {
		p.err = o.err
	}
}

// abuserProcess is this program, run once more to abuse a server.
type abuserProcess struct {
	*exec.Cmd
	stop   io.Closer
	output *bufio.Reader
}

// abuserVariable has an abuserProcess know what it is.
const abuserVariable = "OCTAVO_TEST_ABUSER"

// sendAbuser returns when the abuse is in full course.
func sendAbuser(t *testing.T, to target) *abuserProcess {
	t.Helper()
	order, err := json.Marshal(to)
	if err != nil {
		t.Fatal(err)
	}
	a := &abuserProcess{Cmd: exec.CommandContext(t.Context(), "nice", "-n", "19", os.Args[0])}
	// The race detector lets a program that ends sleep for a second.
	a.Env, a.Stderr = append(os.Environ(), abuserVariable+"="+string(order), "GORACE=atexit_sleep_ms=0"), os.Stderr
	input, err := a.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := a.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	a.stop, a.output = input, bufio.NewReader(output)
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	if said, err := a.output.ReadString('\n'); err != nil {
		t.Fatalf("the abuser said %q and ended: %v", said, errors.Join(err, a.Wait()))
	}
	return a
}

// callBack ends the abuse. It returns how often the server disconnected it.
func (a *abuserProcess) callBack(t *testing.T) (disconnected int) {
	t.Helper()
	if err := a.stop.Close(); err != nil {
		t.Fatal(err)
	}
	_, scanErr := fmt.Fscan(a.output, &disconnected)
	if err := errors.Join(scanErr, a.Wait()); err != nil {
		t.Fatal(err)
	}
	return disconnected
}

// beAbuser is all that an abuserProcess does. It tells when it has begun, goes
// on until its input ends, and then tells how often it was disconnected.
func beAbuser(order string) error {
	var to target
	if err := json.Unmarshal([]byte(order), &to); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	disconnected, err := abuses[to.Abuse].do(ctx, to, sync.OnceFunc(func() { fmt.Println("begun") }))
	if err == nil {
		fmt.Println(disconnected)
	}
	return err
}

func (to target) dial() (net.Conn, error) {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(to.From)}}
	if to.TLS {
		return tls.DialWithDialer(dialer, "tcp", to.Address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	}
	return dialer.Dial("tcp", to.Address)
}

// outcome is how users fared.
type outcome struct {
	took   []time.Duration // sorted
	failed int
	err    error // one of the failures
}

func (o outcome) all() int { return len(o.took) + o.failed }

func (o outcome) success() float64 { return 1 - float64(o.failed)/float64(max(1, o.all())) }

func (o outcome) percentile(n int) time.Duration {
	if len(o.took) == 0 {
		return time.Hour
	}
	return o.took[len(o.took)*n/100]
}

// load is users who come at a rate of their own, whether or not those before
// them have been served; each one's time is counted from when it should have
// begun.
func load(ctx context.Context, perSecond int, phase time.Duration, use func(context.Context) error) outcome {
	var (
		users sync.WaitGroup
		mu    sync.Mutex
		all   outcome
	)
	began := time.Now()
	ticker := time.NewTicker(time.Second / time.Duration(perSecond))
	defer ticker.Stop()
	for n := 0; ; n++ {
		due := began.Add(time.Duration(n) * time.Second / time.Duration(perSecond))
		if due.Sub(began) >= phase {
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
func callers(t *testing.T, server *octavo) func(context.Context) error {
	t.Helper()
	dial := func() *grpc.ClientConn {
		conn, err := grpc.NewClient(server.addresses.Recommendations, grpc.WithTransportCredentials(server.credentials()))
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

// visitors open the page of a category. Every tenth one is new and connects
// first.
func visitors(server *octavo) func(context.Context) error {
	scheme := "http"
	if server.client != nil {
		scheme = "https"
	}
	kept := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100, TLSClientConfig: server.client.Clone(), ForceAttemptHTTP2: true}}
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: server.client.Clone()}}
	var n atomic.Int32
	return func(ctx context.Context) error {
		client := kept
		if n.Add(1)%10 == 0 {
			client = fresh
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+server.addresses.HTTP+"/fantasy", nil)
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
func flood(frame func(*abuser) error) func(context.Context, target, func()) (int, error) {
	return func(ctx context.Context, to target, begun func()) (int, error) {
		return untilDisconnected(ctx, to, abusers, comeAgain, func(ctx context.Context, conn net.Conn) error {
			return floodOnce(ctx, to, conn, begun, frame)
		}, func() {})
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// floodOnce writes until the server closes the connection or ctx ends.
func floodOnce(ctx context.Context, to target, conn net.Conn, begun func(), frame func(*abuser) error) error {
	a := &abuser{conn: conn, out: &bytes.Buffer{}, stream: 1}
	a.Framer = http2.NewFramer(a.out, nil)
	a.AllowIllegalWrites = true
	a.block = to.headers()
	a.out.WriteString(http2.ClientPreface)
	if err := a.WriteSettings(); err != nil {
		return err
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
	for ctx.Err() == nil {
		for range batch {
			if err := frame(a); err != nil {
				return err
			}
		}
		_, err := conn.Write(a.out.Bytes())
		begun()
		a.out.Reset()
		select {
		case <-drained:
			return nil
		default:
		}
		if err != nil {
			return nil
		}
	}
	return nil
}

// headers are those of a request that the target would answer.
func (to target) headers() []byte {
	fields := [][2]string{{":method", "GET"}, {":scheme", "https"}, {":path", "/fantasy"}, {":authority", to.Address}}
	if to.Serves == "gRPC" {
		fields = [][2]string{
			{":method", "POST"}, {":scheme", "http"}, {":path", "/Recommendations/Recommend"}, {":authority", to.Address},
			{"content-type", "application/grpc"}, {"te", "trailers"},
		}
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range fields {
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

// noRequest opens as many calls as the server lets it, and sends none of their
// requests.
func noRequest(a *abuser) error {
	const most = 1000
	if a.stream < 2*most {
		return a.WriteHeaders(http2.HeadersFrameParam{StreamID: a.next(), BlockFragment: a.block, EndHeaders: true})
	}
	<-time.After(time.Millisecond)
	return nil
}

const stalled = 1200

// stall opens connections that send the beginning of something and no more, and
// keeps as many open as it can.
func stall(beginnings map[string]string) func(context.Context, target, func()) (int, error) {
	return func(ctx context.Context, to target, begun func()) (int, error) {
		return untilDisconnected(ctx, to, stalled, time.Second, func(_ context.Context, conn net.Conn) error {
			if _, err := io.WriteString(conn, beginnings[to.Serves]); err == nil {
				_, _ = io.Copy(io.Discard, conn)
			}
			return nil
		}, begun)
	}
}

// slowLoris sends headers a byte at a time, so that something always happens.
func slowLoris(ctx context.Context, to target, begun func()) (int, error) {
	return untilDisconnected(ctx, to, stalled, time.Second, func(ctx context.Context, conn net.Conn) error {
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
		return nil
	}, begun)
}

// longHeaders sends one header for as long as it is taken.
func longHeaders(ctx context.Context, to target, begun func()) (int, error) {
	return untilDisconnected(ctx, to, 100, time.Second, func(_ context.Context, conn net.Conn) error {
		_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nX-Long: ")
		for part := bytes.Repeat([]byte("x"), 4<<10); err == nil; {
			_, err = conn.Write(part)
		}
		return nil
	}, begun)
}

// untilDisconnected has many connections at once, each replaced within pause
// when it ends. It goes on until ctx ends and, if so ordered, at least one has
// been closed by the server. connected is called when all have been made once.
func untilDisconnected(ctx context.Context, to target, connections int, pause time.Duration, use func(context.Context, net.Conn) error, connected func()) (int, error) {
	longer, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var disconnected, made atomic.Int32
	var all sync.WaitGroup
	errs := make(chan error, connections)
	for range connections {
		all.Go(func() {
			for first := true; longer.Err() == nil; {
				conn, err := to.dial()
				if err != nil {
					wait(longer, 100*time.Millisecond)
					continue
				}
				if first && int(made.Add(1)) == connections {
					connected()
				}
				first = false
				end := context.AfterFunc(longer, func() { conn.Close() })
				err = use(longer, conn)
				end()
				conn.Close()
				if err != nil {
					errs <- err
					return
				}
				if longer.Err() == nil {
					disconnected.Add(1)
				}
				wait(longer, pause/2+rand.N(pause))
			}
		})
	}
	<-ctx.Done()
	deadline := time.Now().Add(patience)
	for to.Until && disconnected.Load() == 0 && time.Now().Before(deadline) {
		wait(longer, 10*time.Millisecond)
	}
	stop()
	all.Wait()
	select {
	case err := <-errs:
		return 0, err
	default:
		return int(disconnected.Load()), nil
	}
}
