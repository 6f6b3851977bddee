package main

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/chassis/overload"
	"github.com/octavo-books/octavo/cmd/internal/program"
	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	"github.com/octavo-books/octavo/internal/load"
)

// longestLoad bounds a run: load that somebody has forgotten is an attack.
const longestLoad = time.Hour

type loadCommand struct {
	RecommendationsAddr []string           `env:"OCTAVO_RECOMMENDATIONS_ADDR" default:"127.0.0.1:50051" group:"addresses" help:"Addresses for recommend and similar; several take turns (${env})."`
	CatalogAddr         []string           `env:"OCTAVO_CATALOG_ADDR" default:"127.0.0.1:50052" group:"addresses" help:"Addresses for search (${env})."`
	ReadersAddr         []string           `env:"OCTAVO_READERS_ADDR" default:"127.0.0.1:50053" group:"addresses" help:"Addresses for record (${env})."`
	HTTPAddr            []string           `name:"http-addr" env:"OCTAVO_HTTP_ADDR" default:"127.0.0.1:8080" group:"addresses" help:"Addresses for page (${env})."`
	Rate                []float64          `default:"100" help:"Calls a second. Several, such as 100,200,400, are steps one after the other."`
	Duration            time.Duration      `default:"10s" help:"How long each step lasts. All together at most an hour."`
	Mix                 map[string]float64 `default:"recommend=1" help:"Which calls, and how often each compared with the others: recommend, similar, search, page, record. record writes to the log."`
	Readers             span               `default:"1-1000" help:"Ids of the readers to ask for, at random."`
	Books               span               `default:"1-1000" help:"Ids of the books to ask for, at random."`
	Search              []string           `default:"night,dune,history,love" help:"What to search for, at random."`
	Path                []string           `default:"/" help:"Paths of the pages, at random."`
	Priority            string             `enum:"interactive,background," default:"" help:"interactive or background; left out, each method's own."`
	Connections         int                `default:"4" help:"gRPC connections to each address."`
	Timeout             time.Duration      `default:"2s" help:"Deadline of a call."`
	MaxInFlight         int                `default:"10000" help:"How many calls may be in progress. Those beyond it are not sent and counted as unsent."`
	Seed                uint64             `default:"1" help:"Chooses the calls and the pauses between them."`
	AllowRemote         bool               `help:"Send load to other machines. You must be allowed to."`
	Format              string             `enum:"table,json" default:"table" help:"table or json."`
	Plot                string             `type:"path" placeholder:"FILE" help:"Draw the run, second by second, as SVG."`

	chassis.TLS `embed:""`
}

func (*loadCommand) Help() string {
	return "Sends calls at a rate that does not depend on the answers, as many people would, and " +
		"measures each from the moment it was meant to be sent. No call is repeated: every failure is counted, by its kind."
}

// span is a range of ids.
type span struct{ low, high int32 }

// UnmarshalText reads "low-high", or one id.
func (s *span) UnmarshalText(text []byte) error {
	low, high, isRange := strings.Cut(string(text), "-")
	if !isRange {
		high = low
	}
	a, errLow := strconv.ParseInt(low, 10, 32)
	b, errHigh := strconv.ParseInt(high, 10, 32)
	if errLow != nil || errHigh != nil || a < 0 || b < a || b == 1<<31-1 {
		return fmt.Errorf("%q is no range of ids: want LOW-HIGH, such as 1-1000", text)
	}
	s.low, s.high = int32(a), int32(b)
	return nil
}

func (s span) pick() int32 { return s.low + rand.Int32N(s.high-s.low+1) }

// Validate refuses what would not be load but a mistake. It is called by kong.
func (c *loadCommand) Validate() error {
	if len(c.Mix) == 0 || len(c.Rate) == 0 {
		return errors.New("--mix and --rate must name something to send")
	}
	for _, rate := range c.Rate {
		if !(rate > 0 && rate <= 1e6) {
			return fmt.Errorf("--rate=%g: want more than 0, and at most a million", rate)
		}
	}
	for name, weight := range c.Mix {
		if !slices.Contains([]string{"recommend", "similar", "search", "page", "record"}, name) {
			return fmt.Errorf("--mix: there is no call %q; there are recommend, similar, search, page and record", name)
		}
		if !(weight > 0) {
			return fmt.Errorf("--mix: %s=%g: want more than 0", name, weight)
		}
	}
	if c.Duration <= 0 || c.Duration > longestLoad/time.Duration(len(c.Rate)) {
		return fmt.Errorf("--duration=%v for %d steps: want more than 0, and at most %v in all", c.Duration, len(c.Rate), longestLoad)
	}
	if c.Connections < 1 || c.Connections > 1000 || c.MaxInFlight < 1 || c.Timeout <= 0 || c.Timeout > time.Minute {
		return errors.New("want --connections from 1 to 1000, --max-in-flight from 1, and --timeout up to a minute")
	}
	if len(c.Search) == 0 || len(c.Path) == 0 {
		return errors.New("--search and --path must not be empty")
	}
	if c.AllowRemote {
		return nil
	}
	for name, addrs := range c.targets() {
		for _, addr := range addrs {
			if !onLoopback(addr) {
				return fmt.Errorf("--%s-addr=%s is not on this machine; with --allow-remote you say that you may send load there", name, addr)
			}
		}
	}
	return nil
}

// targets are the addresses that the mix sends to.
func (c *loadCommand) targets() map[string][]string {
	targets := map[string][]string{}
	for call := range c.Mix {
		switch call {
		case "search":
			targets["catalog"] = c.CatalogAddr
		case "record":
			targets["readers"] = c.ReadersAddr
		case "page":
			targets["http"] = c.HTTPAddr
		default:
			targets["recommendations"] = c.RecommendationsAddr
		}
	}
	return targets
}

func onLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// Run is called by kong.
func (c *loadCommand) Run(ctx context.Context) error {
	result, err := c.measure(ctx)
	if err != nil {
		return err
	}
	return c.write(result)
}

// measure sends the load, as a job: in an hour certificates may change, and only
// an app that runs takes them up.
func (c *loadCommand) measure(ctx context.Context) (*load.Result, error) {
	app, err := chassis.New("octavo", program.Version(), chassis.Flags{
		TLS: c.TLS, LogLevel: "error", LogFormat: "auto",
		ShutdownTimeout: c.Timeout + time.Second, // the calls in progress are counted too
	}, os.Stderr)
	if err != nil {
		return nil, err
	}
	calls, err := c.calls(app)
	if err != nil {
		return nil, errors.Join(err, app.Close())
	}
	config := load.Config{Calls: calls, MaxInFlight: c.MaxInFlight, Timeout: c.Timeout, Seed: c.Seed}
	for _, rate := range c.Rate {
		config.Steps = append(config.Steps, load.Step{Rate: rate, Duration: c.Duration})
	}
	if p, ok := overload.ParsePriority(c.Priority); ok {
		ctx = overload.WithPriority(ctx, p)
	}
	var result *load.Result
	err = program.Job(ctx, app, func(ctx context.Context) error {
		var err error
		result, err = load.Run(ctx, config)
		return err
	})
	return result, err
}

// write writes what was measured, also by a run that was interrupted.
func (c *loadCommand) write(result *load.Result) error {
	write := result.WriteTable
	if c.Format == "json" {
		write = result.WriteJSON
	}
	if err := write(os.Stdout); err != nil {
		return err
	}
	if c.Plot != "" {
		file, err := os.Create(c.Plot)
		if err != nil {
			return fmt.Errorf("draw the run: %w", err)
		}
		if err := errors.Join(result.WritePlot(file), file.Close()); err != nil {
			return err
		}
	}
	if total := result.Total(); total.By[load.OK] == 0 {
		return fmt.Errorf("none of %d calls succeeded", total.Sent)
	}
	return nil
}

// calls are those of the mix, in the order of their names.
func (c *loadCommand) calls(app *chassis.App) ([]load.Call, error) {
	conns := map[string]*inTurn{}
	for name, addrs := range c.targets() {
		if name == "http" {
			continue
		}
		turns := &inTurn{}
		for _, addr := range addrs {
			for range c.Connections {
				conn, err := app.DialOnce(name, addr)
				if err != nil {
					return nil, err
				}
				turns.conns = append(turns.conns, conn)
			}
		}
		conns[name] = turns
	}
	var calls []load.Call
	for name, weight := range c.Mix {
		calls = append(calls, load.Call{Name: name, Weight: weight, Do: c.call(app, name, conns)})
	}
	slices.SortFunc(calls, func(a, b load.Call) int { return strings.Compare(a.Name, b.Name) })
	return calls, nil
}

// inTurn are connections that take turns.
type inTurn struct {
	conns []grpc.ClientConnInterface
	next  atomic.Uint64
}

func (t *inTurn) pick() grpc.ClientConnInterface {
	return t.conns[t.next.Add(1)%uint64(len(t.conns))]
}

func (c *loadCommand) call(app *chassis.App, name string, conns map[string]*inTurn) func(context.Context) error {
	switch name {
	case "recommend":
		return func(ctx context.Context) error {
			_, err := recommendationsv1.NewRecommendationsServiceClient(conns["recommendations"].pick()).Recommend(ctx,
				&recommendationsv1.RecommendRequest{ReaderId: c.Readers.pick(), MaxResults: 10, MaxReasons: 3})
			return err
		}
	case "similar":
		return func(ctx context.Context) error {
			_, err := recommendationsv1.NewRecommendationsServiceClient(conns["recommendations"].pick()).SimilarBooks(ctx,
				&recommendationsv1.SimilarBooksRequest{BookId: c.Books.pick(), MaxResults: 10})
			return err
		}
	case "search":
		return func(ctx context.Context) error {
			_, err := catalogv1.NewCatalogServiceClient(conns["catalog"].pick()).SearchBooks(ctx,
				&catalogv1.SearchBooksRequest{Query: c.Search[rand.IntN(len(c.Search))]})
			return err
		}
	case "record":
		return func(ctx context.Context) error {
			_, err := readersv1.NewReadersServiceClient(conns["readers"].pick()).RecordInteractions(ctx,
				&readersv1.RecordInteractionsRequest{Interactions: []*readersv1.Interaction{{
					Id: cryptorand.Text(), ReaderId: c.Readers.pick(), BookId: c.Books.pick(), Kind: readersv1.InteractionKind_INTERACTION_KIND_VIEW,
				}}})
			return err
		}
	default:
		return c.page(app)
	}
}

// page gets pages as a browser does that keeps its connection.
func (c *loadCommand) page(app *chassis.App) func(context.Context) error {
	transport := &http.Transport{MaxIdleConnsPerHost: 1000, MaxConnsPerHost: 1000}
	app.OnClose("connections for pages", func() error { transport.CloseIdleConnections(); return nil })
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var next atomic.Uint64
	return func(ctx context.Context) error {
		url := "http://" + c.HTTPAddr[next.Add(1)%uint64(len(c.HTTPAddr))] + c.Path[rand.IntN(len(c.Path))]
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return fault.Wrap(fault.Invalid, err, "no address: %s", url)
		}
		if c.Priority == overload.Background.String() {
			request.Header.Set("Sec-Purpose", "prefetch")
		}
		response, err := client.Do(request)
		if err != nil {
			return pageError(ctx, err)
		}
		defer response.Body.Close()
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			return pageError(ctx, err)
		}
		switch {
		case response.StatusCode < http.StatusBadRequest:
			return nil
		case response.StatusCode == http.StatusServiceUnavailable:
			return fault.New(fault.Unavailable, "%s", response.Status)
		case response.StatusCode == http.StatusTooManyRequests:
			return fault.New(fault.Exhausted, "%s", response.Status)
		case response.StatusCode == http.StatusNotFound:
			return fault.New(fault.NotFound, "%s", response.Status)
		case response.StatusCode == http.StatusGatewayTimeout:
			return fault.New(fault.DeadlineExceeded, "%s", response.Status)
		case response.StatusCode < http.StatusInternalServerError:
			return fault.New(fault.Invalid, "%s", response.Status)
		default:
			return errors.New(response.Status)
		}
	}
}

// pageError is why no answer came.
func pageError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fault.Wrap(fault.Unavailable, err, "no answer")
}
