// Command bench measures what a recommendation costs the server: the CPU time
// of its process for each request, beside that of grpc-go as it comes with a
// handler that does nothing but return ten books. Octavo is the very program
// that runs in production. Both run as processes of their own under the same
// load, in turns of a second, and what counts is the median turn: neither the
// load generator, nor the machine's speed, nor what else runs on it for a while
// is in the ratio.
//
// It is measured without what the service keeps of readers' rankings, and with
// it when every reader has asked before and done nothing since; what a shop sees
// lies between, by the share that octavo_kept_rankings_total tells.
//
//	go run ./test/bench
//	go run ./test/bench -history 40      # histories of 40 books on the average, ten to seventy
//	go run ./test/bench -new 500         # with books that the model does not know
//	go run ./test/bench -profiles DIR    # and a CPU profile of Octavo for each row
//
// It needs Linux, whose /proc says what a process used.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
	"github.com/octavo-books/octavo/internal/recommender"
)

const (
	connections = 4
	inFlight    = 16 // on each connection
	turn        = time.Second
)

// settings are what the servers and the load have in common.
type settings struct {
	books, readers, history int
	newBooks                int           // that the model does not know, besides the others
	duration                time.Duration // of each row, in turns
	profiles                string        // folder for CPU profiles; empty for none
}

// row is one kind of server under one kind of request.
type row struct {
	name string
	bare bool // the server to compare with
	avid bool // readers with longer histories
	kept bool // the server keeps rankings, and every reader has asked before
	call func(ctx context.Context, conn *grpc.ClientConn, reader int32) (books int, err error)
}

var (
	ofAll       = callV1(&recommendationsv1.RecommendRequest{MaxResults: 10})
	withReasons = callV1(&recommendationsv1.RecommendRequest{MaxResults: 10, MaxReasons: 3, Category: benchCategory})
)

var rows = []row{
	{name: "grpc-go as it comes, empty handler", bare: true, call: callFirst},
	{name: "Octavo, personal, 10 of all categories", call: ofAll},
	{name: "Octavo, first contract, 10 of a category", call: callFirst},
	{name: "Octavo, 10 of a category, 3 reasons each", call: withReasons},
	{name: "readers come back, personal, 10 of all categories", kept: true, call: ofAll},
	{name: "readers come back, first contract, 10 of a category", kept: true, call: callFirst},
	{name: "readers come back, 10 of a category, 3 reasons each", kept: true, call: withReasons},
	{name: "long histories, personal, 10 of all categories", avid: true, call: ofAll},
	{name: "long histories, 10 of a category, 3 reasons each", avid: true, call: withReasons},
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		exit(serveBare())
	}
	var s settings
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.IntVar(&s.books, "books", 25_000, "books of the model")
	flags.IntVar(&s.readers, "readers", 70_000, "readers that the model learns from")
	flags.IntVar(&s.history, "history", 0, "books in a history, on the average; 0 for as many as in a real data set")
	flags.IntVar(&s.newBooks, "new", 0, "books besides that the model does not know")
	flags.DurationVar(&s.duration, "duration", 10*time.Second, "how long each row is measured")
	flags.StringVar(&s.profiles, "profiles", "", "folder to write CPU profiles of Octavo to")
	_ = flags.Parse(os.Args[1:])
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	exit(run(ctx, s))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(ctx context.Context, s settings) error {
	dir, err := os.MkdirTemp("", "octavo-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	began := time.Now()
	model, err := publishModel(ctx, s, filepath.Join(dir, "models"))
	if err != nil {
		return fmt.Errorf("make the model: %w", err)
	}
	program, err := buildOctavo(ctx, dir)
	if err != nil {
		return err
	}
	feeds, err := serveFeeds(ctx, s)
	if err != nil {
		return err
	}
	bare, err := startBare(ctx)
	if err != nil {
		return err
	}
	defer bare.stop()
	octavo, err := startOctavo(ctx, program, dir, feeds, "--kept-rankings-mib", "0")
	if err != nil {
		return err
	}
	defer octavo.stop()
	keeping, err := startOctavo(ctx, program, dir, feeds)
	if err != nil {
		return err
	}
	defer keeping.stop()
	for _, r := range rows {
		if r.bare || r.avid {
			continue
		}
		server := octavo
		if r.kept {
			server = keeping
		}
		if err := askAll(ctx, server.addr, s, r); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	describe(os.Stdout, s, model, time.Since(began))

	turns := make([][]measurement, len(rows))
	for round := range 1 + max(1, int(s.duration/turn)) {
		for i, r := range rows {
			server := octavo
			switch {
			case r.bare:
				server = bare
			case r.kept:
				server = keeping
			}
			m, err := measure(ctx, s, r, server)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			if round > 0 { // the first warms up
				turns[i] = append(turns[i], m)
			}
		}
	}
	printTable(os.Stdout, turns)
	if s.profiles == "" {
		return nil
	}
	for i, r := range rows {
		if r.bare {
			continue
		}
		server := octavo
		if r.kept {
			server = keeping
		}
		server.profile(ctx, filepath.Join(s.profiles, fmt.Sprintf("row%d.pprof", i+1)), s.duration)
		if _, err := load(ctx, server.addr, s, r, s.duration); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		if err := <-server.profiled; err != nil {
			return fmt.Errorf("profile %s: %w", r.name, err)
		}
	}
	return nil
}

func describe(out io.Writer, s settings, model recommender.Info, took time.Duration) {
	fmt.Fprintf(out, "%d books, %d new ones, %d readers with %.1f books each on the average; long histories: %d readers with %d\n",
		s.books, s.newBooks, s.readers, float64(model.Interactions)/float64(s.readers), avidReaders, avidHistory)
	fmt.Fprintf(out, "model of neighbours, regression and factors made in %.1f s; validation NDCG %.4f, neighbours alone %.4f, regression %.4f, factors %.4f, popularity %.4f\n",
		took.Seconds(), model.Metrics["validation_ndcg"], model.Metrics["validation_cooccurrence_ndcg"],
		model.Metrics["validation_regression_ndcg"], model.Metrics["validation_factors_ndcg"], model.Metrics["validation_popularity_ndcg"])
	fmt.Fprintf(out, "%d connections, %d calls in flight on each, %v a row\n\n", connections, inFlight, s.duration)
}

// measurement is what one turn came to: microseconds, per second, milliseconds,
// and the share of rankings that had been kept.
type measurement struct{ cpu, rate, p50, p99, kept float64 }

// printTable prints the medians of the rows' turns. A ratio is the median of
// those of the rounds: to the turn of the first row in the same round.
func printTable(out io.Writer, turns [][]measurement) {
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "server CPU\tratio\trequests/s\tp50\tp99\tkept\t")
	for i, r := range rows {
		median := func(of func(round int) float64) float64 {
			all := make([]float64, len(turns[i]))
			for round := range all {
				all[round] = of(round)
			}
			slices.Sort(all)
			return all[len(all)/2]
		}
		fmt.Fprintf(w, "%.1f µs\t%.2f\t%.0f\t%.2f ms\t%.2f ms\t%.0f %%\t  %s\n",
			median(func(round int) float64 { return turns[i][round].cpu }),
			median(func(round int) float64 { return turns[i][round].cpu / turns[0][round].cpu }),
			median(func(round int) float64 { return turns[i][round].rate }),
			median(func(round int) float64 { return turns[i][round].p50 }),
			median(func(round int) float64 { return turns[i][round].p99 }),
			median(func(round int) float64 { return 100 * turns[i][round].kept }),
			r.name)
	}
	_ = w.Flush() // the terminal's errors have nobody to be told to
}

func measure(ctx context.Context, s settings, r row, server *process) (measurement, error) {
	before, err := server.cpu()
	if err != nil {
		return measurement{}, err
	}
	hits, misses, err := server.kept(ctx)
	if err != nil {
		return measurement{}, err
	}
	start := time.Now()
	took, err := load(ctx, server.addr, s, r, turn)
	if err != nil {
		return measurement{}, err
	}
	elapsed := time.Since(start)
	after, err := server.cpu()
	if err != nil {
		return measurement{}, err
	}
	hitsAfter, missesAfter, err := server.kept(ctx)
	if err != nil {
		return measurement{}, err
	}
	slices.Sort(took)
	at := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000 }
	return measurement{
		cpu:  float64((after - before).Microseconds()) / float64(len(took)),
		rate: float64(len(took)) / elapsed.Seconds(),
		p50:  at(0.5),
		p99:  at(0.99),
		kept: (hitsAfter - hits) / max(1, hitsAfter-hits+missesAfter-misses),
	}, nil
}

// askAll has every reader ask once, so that what can be kept is, and the limit on
// load knows how long a call takes.
func askAll(ctx context.Context, addr string, s settings, r row) error {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inFlight)
	for reader := range s.readers {
		g.Go(func() error {
			_, err := r.call(ctx, conn, int32(reader+1))
			return err
		})
	}
	return g.Wait()
}

// load calls for a time and returns how long each call took.
func load(ctx context.Context, addr string, s settings, r row, duration time.Duration) ([]time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		mu     sync.Mutex
		all    []time.Duration
		failed error
		wg     sync.WaitGroup
		// refused are not measured, and few.
		refused atomic.Int64
	)
	readers, first := s.readers, 1
	if r.avid {
		readers, first = avidReaders, 1+s.readers
	}
	end := time.Now().Add(duration)
	for c := range connections {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		for i := range inFlight {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(uint64(c), uint64(i)))
				var took []time.Duration
				var err error
				for start := time.Now(); err == nil && start.Before(end); {
					var books int
					books, err = r.call(ctx, conn, int32(first+random.IntN(readers)))
					if status.Code(err) == codes.ResourceExhausted {
						err = nil
						refused.Add(1)
						start = time.Now()
						continue // a server on a busy machine takes less at once
					}
					if err == nil && books != 10 {
						err = fmt.Errorf("an answer of %d books instead of 10", books)
					}
					now := time.Now()
					took = append(took, now.Sub(start))
					start = now
				}
				mu.Lock()
				defer mu.Unlock()
				all = append(all, took...)
				if err != nil && failed == nil {
					failed = err
					cancel()
				}
			})
		}
	}
	wg.Wait()
	if n := refused.Load(); failed == nil && n > int64(len(all)/100) {
		failed = fmt.Errorf("%d calls were refused and %d answered: the machine is too busy to measure", n, len(all))
	}
	return all, failed
}

// callFirst asks by the first contract, whose unset category is a real one.
func callFirst(ctx context.Context, conn *grpc.ClientConn, reader int32) (int, error) {
	response, err := recommendationspb.NewRecommendationsClient(conn).Recommend(ctx,
		&recommendationspb.RecommendationRequest{UserId: reader, Category: benchCategory - 1, MaxResults: 10})
	return len(response.GetRecommendations()), err
}

// callV1 asks what a request asks, for any reader.
func callV1(like *recommendationsv1.RecommendRequest) func(context.Context, *grpc.ClientConn, int32) (int, error) {
	return func(ctx context.Context, conn *grpc.ClientConn, reader int32) (int, error) {
		response, err := recommendationsv1.NewRecommendationsServiceClient(conn).Recommend(ctx, &recommendationsv1.RecommendRequest{
			ReaderId: reader, MaxResults: like.GetMaxResults(), MaxReasons: like.GetMaxReasons(), Category: like.GetCategory(),
		})
		return len(response.GetRecommendations()), err
	}
}
