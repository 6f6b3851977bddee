package endtoend

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/chassis/certs"
	"github.com/octavo-books/octavo/chassis/chassistest"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	"github.com/octavo-books/octavo/internal/load"
	"github.com/octavo-books/octavo/internal/nettest"
	"github.com/octavo-books/octavo/internal/postgrestest"
	"github.com/octavo-books/octavo/internal/waittest"
)

// TestRollingUpdate replaces all replicas of all services under load, half of
// them at a time: no call fails, though none is repeated, and what a reader has
// just done is known to the next answer.
func TestRollingUpdate(t *testing.T) {
	const rate = 100 // calls a second
	f := newFleet(t)
	calls, stale := f.calls()
	during := func(what string, happens func()) {
		t.Helper()
		stale.Store(0)
		ctx, cancel := context.WithCancel(t.Context())
		var result *load.Result
		var err error
		var done sync.WaitGroup
		done.Go(func() {
			result, err = load.Run(ctx, load.Config{Calls: calls, Steps: []load.Step{{Rate: rate, Duration: 5 * time.Minute}}, Timeout: 5 * time.Second, Seed: 1})
		})
		happens()
		cancel()
		done.Wait()
		if err != nil {
			t.Fatal(err)
		}
		var table bytes.Buffer
		if err := result.WriteTable(&table); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s:\n%s", what, &table)
		// Replicas refuse calls when the machine has no time for them.
		all, refused := result.Total(), int64(f.refusals())
		if failed := all.Sent - all.By[load.OK]; failed > refused {
			t.Errorf("%s: %d of %d calls failed, and %d were refused for overload", what, failed, all.Sent, refused)
		}
		// On such a machine a feed may be late as well.
		if n := stale.Load(); n > all.Sent/100 {
			t.Errorf("%s: %d answers did not know what their reader had just done", what, n)
		}
	}
	during("nothing happens", func() { <-time.After(3 * time.Second) })
	during("all replicas are replaced", func() {
		for range 2 {
			added := f.add("catalog", "readers", "recommendations", "marketplace")
			for _, r := range added {
				waittest.Until(t, "calls reach the new replica of "+r.name, firstStart, r.reached(t))
			}
			f.removeOldest()
		}
	})
}

// fleet is the shop as it is in a cluster: two replicas of each service behind
// its name, over mutual TLS and one PostgreSQL.
type fleet struct {
	t             *testing.T
	names         *names
	certificates  map[string]string // the folder of each identity
	port, admin   map[string]string // of each service, on the addresses of its replicas
	database, key string            // files
	models        string
	made          byte
	refused       float64 // calls, by replicas that are gone

	mu       sync.Mutex
	replicas map[string][]*replica // behind the name of each service, oldest first
}

type replica struct {
	*process
	addr  netip.Addr
	admin string
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	dir := t.TempDir()
	f := &fleet{
		t: t, names: serveNames(t), certificates: map[string]string{}, port: map[string]string{}, admin: map[string]string{},
		database: filepath.Join(dir, "url"), key: filepath.Join(dir, "session.key"), models: filepath.Join(dir, "models"),
		replicas: map[string][]*replica{},
	}
	services := []string{"catalog", "readers", "recommendations", "marketplace"}
	authority := chassistest.NewAuthority(t)
	for _, identity := range append(services, "octavo", "trainer") {
		f.certificates[identity] = authority.Issue(chassistest.Certificate{Identity: identity, Names: []string{hostOf(identity)}}).Dir(t)
	}
	for _, service := range services {
		_, f.port[service], _ = net.SplitHostPort(nettest.FreeAddress(t))
		_, f.admin[service], _ = net.SplitHostPort(nettest.FreeAddress(t))
	}
	err := errors.Join(os.WriteFile(f.database, []byte(postgrestest.Database(t)), 0o600), os.WriteFile(f.key, bytes.Repeat([]byte{1}, 32), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	f.add("catalog", "readers")
	f.add("catalog", "readers")
	f.command("octavo", append([]string{"import", "demo", "--tls-dir", f.certificates["octavo"]}, f.peers("catalog", "readers")...)...)
	f.command("trainer", append([]string{"--models-dir", f.models, "--admin-addr", "", "--tls-dir", f.certificates["trainer"]}, f.peers("catalog", "readers")...)...)
	f.add("recommendations")
	f.add("recommendations")
	f.add("marketplace")
	f.add("marketplace")
	return f
}

// peers are the flags that say where services are.
func (f *fleet) peers(services ...string) []string {
	var flags []string
	for _, service := range services {
		flags = append(flags, "--"+service+"-addr", f.names.target(service, f.port[service]))
	}
	return flags
}

// command runs a program to its end.
func (f *fleet) command(program string, args ...string) {
	f.t.Helper()
	command := exec.CommandContext(f.t.Context(), filepath.Join(binaries, program), args...)
	command.Env = environment()
	if out, err := command.CombinedOutput(); err != nil {
		f.t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// add starts a replica of each of some services, and puts each behind its name
// once it is ready.
func (f *fleet) add(services ...string) []*replica {
	f.t.Helper()
	var added []*replica
	for _, service := range services {
		f.made++
		addr := netip.AddrFrom4([4]byte{127, 77, 0, f.made})
		r := &replica{addr: addr, admin: net.JoinHostPort(addr.String(), f.admin[service])}
		args := []string{"--addr", net.JoinHostPort(addr.String(), f.port[service]), "--admin-addr", r.admin, "--tls-dir", f.certificates[service]}
		switch service {
		case "catalog", "readers":
			args = append(args, "--database-url-file", f.database)
		case "recommendations":
			args = append(append(args, "--models-dir", f.models), f.peers("catalog", "readers")...)
		case "marketplace":
			args = append(append(args, "--session-key-file", f.key), f.peers("catalog", "readers", "recommendations")...)
		}
		r.process = start(f.t, service, args...)
		added = append(added, r)
	}
	for _, r := range added {
		waittest.Until(f.t, "a replica of "+r.name+" is ready", firstStart, func() bool {
			status, _ := r.operator("/readyz")
			return status == http.StatusOK
		})
		f.mu.Lock()
		f.replicas[r.name] = append(f.replicas[r.name], r)
		f.mu.Unlock()
		f.name(r.name)
	}
	return added
}

// name tells the name server which replicas a service has.
func (f *fleet) name(service string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var addrs []netip.Addr
	for _, r := range f.replicas[service] {
		addrs = append(addrs, r.addr)
	}
	f.names.set(service, addrs)
}

// removeOldest takes the oldest replica of each service from behind its name and
// ends it at once: clients still know it.
func (f *fleet) removeOldest() {
	f.t.Helper()
	var ending sync.WaitGroup
	for _, service := range []string{"catalog", "readers", "recommendations", "marketplace"} {
		f.mu.Lock()
		r := f.replicas[service][0]
		f.replicas[service] = f.replicas[service][1:]
		f.mu.Unlock()
		f.name(service)
		f.refused += r.sum(f.t, "overload_refused_total")
		ending.Go(func() { r.stop(f.t) })
	}
	ending.Wait()
}

// refusals are how many calls replicas have refused for overload.
func (f *fleet) refusals() float64 {
	f.t.Helper()
	refused := f.refused
	for _, replicas := range f.replicas {
		for _, r := range replicas {
			refused += r.sum(f.t, "overload_refused_total")
		}
	}
	return refused
}

// operator gets a page of the replica's admin port; the status is 0 when nobody
// answers.
func (r *replica) operator(path string) (status int, body string) {
	response, err := http.Get("http://" + r.admin + path)
	if err != nil {
		return 0, ""
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, ""
	}
	return response.StatusCode, string(text)
}

// sum is that of all series of a metric whose labels match a pattern.
func (r *replica) sum(t *testing.T, metric string, labels ...string) float64 {
	t.Helper()
	status, text := r.operator("/metrics")
	if status != http.StatusOK {
		t.Errorf("%s tells no metrics: status %d", r.name, status)
	}
	pattern := `(?m)^` + metric + `\{`
	for _, label := range labels {
		pattern += `.*` + label
	}
	sum := 0.0
	for _, line := range regexp.MustCompile(pattern+`.*\} (\S+)$`).FindAllStringSubmatch(text, -1) {
		value, err := strconv.ParseFloat(line[1], 64)
		if err != nil {
			t.Errorf("%s: %v", line[0], err)
		}
		sum += value
	}
	return sum
}

// reached tells whether calls come to a replica. Browsers keep their connections
// and find another storefront when theirs ends.
func (r *replica) reached(t *testing.T) func() bool {
	method, called := map[string]string{"catalog": "SearchBooks", "readers": "RecordInteractions", "recommendations": "Recommend"}[r.name]
	return func() bool {
		return !called || r.sum(t, "grpc_server_handled_total", `grpc_code="OK"`, `grpc_method="`+method+`"`) > 0
	}
}

// calls are pages, and calls to each service that are not repeated. stale counts
// answers that do not know what was acknowledged before.
func (f *fleet) calls() (calls []load.Call, stale *atomic.Int64) {
	f.t.Helper()
	app, err := chassis.New("octavo", "test", chassis.Flags{
		TLS: chassis.TLS{Dir: f.certificates["octavo"], IdentityPrefix: certs.DefaultIdentityPrefix}, LogLevel: "error", LogFormat: "text",
	}, io.Discard)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if err := app.Close(); err != nil {
			f.t.Error(err)
		}
	})
	dial := func(service string) grpc.ClientConnInterface {
		conn, err := app.DialOnce(service, f.names.target(service, f.port[service]))
		if err != nil {
			f.t.Fatal(err)
		}
		return conn
	}
	catalog := catalogv1.NewCatalogServiceClient(dial("catalog"))
	readers := readersv1.NewReadersServiceClient(dial("readers"))
	recommendations := recommendationsv1.NewRecommendationsServiceClient(dial("recommendations"))
	stale = new(atomic.Int64)
	for _, path := range []string{"/", "/book/3", "/search?q=dune", "/api/v1/recommendations", "/api/v1/books/5"} {
		calls = append(calls, load.Call{Name: path, Weight: 12, Do: f.page(path)})
	}
	return append(calls,
		load.Call{Name: "search", Weight: 20, Do: func(ctx context.Context) error {
			_, err := catalog.SearchBooks(ctx, &catalogv1.SearchBooksRequest{Query: "night"})
			return err
		}},
		load.Call{Name: "click", Weight: 20, Do: func(ctx context.Context) error {
			view := &readersv1.Interaction{Id: rand.Text(), ReaderId: 1 + mathrand.Int32N(500), BookId: 1 + mathrand.Int32N(200), Kind: readersv1.InteractionKind_INTERACTION_KIND_VIEW}
			recorded, err := readers.RecordInteractions(ctx, &readersv1.RecordInteractionsRequest{Interactions: []*readersv1.Interaction{view}})
			if err != nil {
				return err
			}
			answer, err := recommendations.Recommend(ctx, &recommendationsv1.RecommendRequest{ReaderId: view.GetReaderId(), MinPosition: recorded.GetPosition()})
			if answer.GetStale() {
				stale.Add(1)
			}
			return err
		}},
	), stale
}

// page gets a page as browsers do, each connection from one of the storefronts
// there are. An answer of the API fails when a service is missing.
func (f *fleet) page(path string) func(context.Context) error {
	transport := &http.Transport{MaxIdleConnsPerHost: 100, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		f.mu.Lock()
		there := slices.Clone(f.replicas["marketplace"])
		f.mu.Unlock()
		one := there[mathrand.IntN(len(there))]
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(one.addr.String(), f.port["marketplace"]))
	}}
	f.t.Cleanup(transport.CloseIdleConnections)
	client := http.Client{Transport: transport}
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+hostOf("marketplace")+path, nil)
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
			return fmt.Errorf("%s: %s", path, response.Status)
		}
		return nil
	}
}
