// Command scale shows how time and memory grow with the number of readers and
// books: it makes shops of several sizes, trains on each, serves each, and
// prints a table. Every step runs in a process of its own, whose peak of
// resident memory is what is reported.
//
//	go run ./test/scale                 # up to 1,000,000 readers and 100,000 books
//	go run ./test/scale -largest 100000 # for the impatient
//
// It needs Linux, whose /proc says what a process used.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"

	"github.com/octavo-books/octavo/chassis"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	"github.com/octavo-books/octavo/internal/modelstore"
	"github.com/octavo-books/octavo/internal/recommendations"
	"github.com/octavo-books/octavo/internal/recommender"
	"github.com/octavo-books/octavo/internal/resident"
)

const (
	each      = 50   // books a reader has read
	questions = 5000 // asked of a server, one after the other
)

// trained and served are what the two steps tell.
type trained struct {
	Generate, Dataset, Train, Save float64 // seconds
	FileMB, PeakMB                 float64
}

type served struct {
	Ready          float64 // seconds until all of both feeds was taken in
	P50, P99       float64 // milliseconds of a call over loopback
	HeapMB, PeakMB float64
}

func main() {
	largest := flag.Int("largest", 1_000_000, "readers of the largest shop; each smaller one has a tenth, with a tenth of the books")
	step := flag.String("step", "", "used by the program itself")
	readers := flag.Int("readers", 0, "used by the program itself")
	folder := flag.String("folder", "", "used by the program itself")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *step, *largest, *readers, *folder); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, step string, largest, readers int, folder string) error {
	w := newWorld(readers, max(readers/10, 500), each)
	switch step {
	case "train":
		return tell(train(ctx, w, folder))
	case "serve":
		return tell(serve(ctx, w, folder))
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "readers\tbooks\tinteractions\ttrain s\tof it dataset s\tpeak MB\tmodel MB\tready s\tp50 ms\tp99 ms\theap MB\tpeak MB\t")
	for readers := max(largest/100, 1000); readers <= largest; readers *= 10 {
		folder, err := os.MkdirTemp("", "scale")
		if err != nil {
			return err
		}
		var t trained
		var s served
		err = errors.Join(child(ctx, "train", readers, folder, &t), child(ctx, "serve", readers, folder, &s))
		if err = errors.Join(err, os.RemoveAll(folder)); err != nil {
			return fmt.Errorf("%d readers: %w", readers, err)
		}
		fmt.Fprintf(out, "%d\t%d\t%d\t%.1f\t%.1f\t%.0f\t%.0f\t%.1f\t%.2f\t%.2f\t%.0f\t%.0f\t\n", readers, max(readers/10, 500), readers*each,
			t.Dataset+t.Train, t.Dataset, t.PeakMB, t.FileMB, s.Ready, s.P50, s.P99, s.HeapMB, s.PeakMB)
		fmt.Fprintf(os.Stderr, "%d readers: done\n", readers)
	}
	fmt.Println("train: choosing parameters and training, on", runtime.NumCPU(), "cores; ready: taking in both feeds; p50, p99: Recommend over gRPC, one call at a time")
	return out.Flush()
}

func tell(v any, err error) error {
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(v)
}

// child runs a step in a process of its own.
func child(ctx context.Context, step string, readers int, folder string, result any) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, program, "-step", step, "-readers", strconv.Itoa(readers), "-folder", folder)
	command.Stderr = os.Stderr
	printed, err := command.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	return json.Unmarshal(printed, result)
}

func train(ctx context.Context, w world, folder string) (trained, error) {
	var t trained
	lap := stopwatch()
	events := w.events()
	t.Generate = lap()
	dataset := recommender.NewDataset(events, w.catalogue())
	t.Dataset = lap()
	model, err := recommender.Train(ctx, dataset, recommender.Options{Position: int64(w.readers * w.each), Seed: 1})
	if err != nil {
		return t, err
	}
	t.Train = lap()
	if err := model.Check(); err != nil {
		return t, err
	}
	models, err := modelstore.Open(folder)
	if err != nil {
		return t, err
	}
	if _, err := models.Publish(ctx, model.Save); err != nil {
		return t, err
	}
	t.Save = lap()
	files, err := filepath.Glob(filepath.Join(folder, "*.safetensors"))
	if err != nil || len(files) != 1 {
		return t, fmt.Errorf("look for the model: %v, %w", files, err)
	}
	info, err := os.Stat(files[0])
	if err != nil {
		return t, err
	}
	t.FileMB = float64(info.Size()) / 1e6
	t.PeakMB, err = peakMB()
	return t, err
}

func serve(ctx context.Context, w world, folder string) (served, error) {
	var s served
	models, err := modelstore.Open(folder)
	if err != nil {
		return s, err
	}
	app, err := chassis.New("scale", "", chassis.Flags{LogLevel: "error"}, os.Stderr)
	if err != nil {
		return s, err
	}
	server := recommendations.New(recommendations.Config{
		Catalog: catalogFeed{world: w}, Readers: readersFeed{world: w}, Models: models, Log: slog.New(slog.DiscardHandler),
	})
	app.Go("recommendations", server.Run)
	at, err := app.GRPC("recommendations", "127.0.0.1:0", server.Ready, server.Register)
	if err != nil {
		return s, errors.Join(err, app.Close())
	}
	conn, err := app.Dial("recommendations", at.String())
	if err != nil {
		return s, errors.Join(err, app.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	app.Go("questions", func(ctx context.Context) error {
		defer cancel()
		lap := stopwatch()
		if err := app.WaitReady(ctx); err != nil {
			return err
		}
		s.Ready = lap()
		if err := ask(ctx, conn, w, &s); err != nil {
			return err
		}
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		s.HeapMB = float64(m.HeapAlloc) / 1e6
		var err error
		s.PeakMB, err = peakMB()
		return err
	})
	err = app.Run(ctx)
	return s, err
}

// ask puts a personal question for many readers, one after the other.
func ask(ctx context.Context, conn *grpc.ClientConn, w world, s *served) error {
	client := recommendationsv1.NewRecommendationsServiceClient(conn)
	var took []time.Duration
	for n := range questions {
		reader := int32(n*(w.readers/min(questions, w.readers))%w.readers) + 1
		start := time.Now()
		answer, err := client.Recommend(ctx, &recommendationsv1.RecommendRequest{ReaderId: reader, MaxReasons: 3})
		if err != nil {
			return err
		}
		took = append(took, time.Since(start))
		if answer.GetModelVersion() == "" || answer.GetHistorySize() != int32(w.each) || len(answer.GetRecommendations()) != 10 {
			return fmt.Errorf("reader %d got %d books by model %q from a history of %d", reader, len(answer.GetRecommendations()), answer.GetModelVersion(), answer.GetHistorySize())
		}
	}
	slices.Sort(took)
	s.P50 = took[len(took)/2].Seconds() * 1000
	s.P99 = took[len(took)*99/100].Seconds() * 1000
	return nil
}

func stopwatch() func() float64 {
	last := time.Now()
	return func() float64 {
		now := time.Now()
		defer func() { last = now }()
		return now.Sub(last).Seconds()
	}
}

// peakMB is the most memory this process has had resident.
func peakMB() (float64, error) {
	peak, ok := resident.Peak()
	if !ok {
		return 0, errors.New("the system does not tell the most memory that was used")
	}
	return float64(peak) / 1e6, nil
}
