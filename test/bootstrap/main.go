// Command bootstrap measures how long recommendations need to take in a log
// from its start, and the most memory that is resident meanwhile, with the
// programs as they are built and a model in use. It shows progress.
//
//	go run ./test/bootstrap                                     # 10 M interactions, from a database of the readers service
//	go run ./test/bootstrap -postgres -interactions 1000000     # the same of 1 M in a PostgreSQL that it starts for itself, and the size of its tables
//	go run ./test/bootstrap -interactions 50000000 -generated   # 1 M readers with 50 books, from a feed that is made as it is read
//
// It needs Linux, which says what a process used.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/internal/modelstore"
	"github.com/octavo-books/octavo/internal/postgrestest"
	"github.com/octavo-books/octavo/internal/readers"
	readerspostgres "github.com/octavo-books/octavo/internal/readers/postgres"
	"github.com/octavo-books/octavo/internal/readers/sqlite"
	"github.com/octavo-books/octavo/internal/recommender"
)

func main() {
	w := world{}
	flag.Int64Var(&w.interactions, "interactions", 10_000_000, "length of the log, 50 for each reader")
	books := flag.Int("books", 100_000, "books of the catalogue")
	generated := flag.Bool("generated", false, "leave the readers service out: the feed is made as it is read")
	postgres := flag.Bool("postgres", false, "keep the log in PostgreSQL")
	flag.Parse()
	w.books, w.block = int32(*books), 100
	if *generated {
		w.block = w.interactions / each
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, w, *generated, *postgres); err != nil {
		fmt.Fprintln(os.Stderr, "bootstrap:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w world, generated, postgres bool) (err error) {
	folder, err := os.MkdirTemp("", "octavo-bootstrap-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	build := exec.CommandContext(ctx, "go", "build", "-o", folder, "./cmd/readers", "./cmd/recommendations")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build the programs (from the root of the repository): %w", err)
	}
	modelSize, err := train(ctx, w, filepath.Join(folder, "models"))
	if err != nil {
		return err
	}

	app, err := chassis.New("bootstrap", "", chassis.Flags{LogLevel: "error"}, os.Stderr)
	if err != nil {
		return err
	}
	catalogAddr, err := app.GRPC("catalog", "127.0.0.1:0", nil, catalog{world: w}.Register)
	if err != nil {
		return errors.Join(err, app.Close())
	}
	readersAddr, err := app.GRPC("readers", "127.0.0.1:0", nil, log{world: w}.Register)
	if err != nil {
		return errors.Join(err, app.Close())
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- app.Run(running) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()

	from := readersAddr.String()
	if !generated {
		setting, database := "--db", filepath.Join(folder, "readers.db")
		if postgres {
			server, err := postgrestest.Run()
			if err != nil {
				return err
			}
			defer server.Close()
			url, err := server.NewDatabase()
			if err != nil {
				return err
			}
			setting, database = "--database-url-file", filepath.Join(folder, "url")
			if err := os.WriteFile(database, []byte(url), 0o600); err != nil {
				return err
			}
			if err := fill(ctx, w, func() (store, error) { return readerspostgres.Open(ctx, url) }); err != nil {
				return err
			}
			if err := sizes(ctx, w, url); err != nil {
				return err
			}
		} else if err := fill(ctx, w, func() (store, error) { return sqlite.Open(ctx, database) }); err != nil {
			return err
		}
		served, err := start(ctx, folder, "readers", setting, database)
		if err != nil {
			return err
		}
		defer served.stop("readers")
		if err := served.wait(ctx, nil); err != nil {
			return err
		}
		from = served.addr
	}
	began := time.Now()
	follower, err := start(ctx, folder, "recommendations", "--catalog-addr", catalogAddr.String(), "--readers-addr", from,
		"--models-dir", filepath.Join(folder, "models"))
	if err != nil {
		return err
	}
	defer follower.stop("recommendations")
	if err := follower.wait(ctx, func(metrics []byte) {
		position := metric(metrics, `octavo_feed_position{feed="log"}`)
		fmt.Fprintf(os.Stderr, "%6.1f s  %d of %d taken in, %.0f MB resident\n", time.Since(began).Seconds(), int64(position), w.interactions,
			metric(metrics, "process_resident_memory_bytes")/1e6)
	}); err != nil {
		return err
	}
	took := time.Since(began)
	fmt.Printf("%d interactions of %d readers with %d books, model %.0f MB: ready after %.1f s, %.0f a second, %.1f bytes of feed for each\n",
		w.interactions, w.readers(), w.books, float64(modelSize)/1e6, took.Seconds(), float64(w.interactions)/took.Seconds(), w.bytes())
	return nil
}

// train publishes a model of all books, learnt from some of the readers with
// given parameters. It returns its size.
func train(ctx context.Context, w world, folder string) (int64, error) {
	some := world{interactions: min(w.interactions, 40_000*each), books: w.books, block: 100}
	events := make([]recommender.Event, 0, some.interactions)
	for position := range some.interactions {
		events = append(events, some.at(position+1))
	}
	books := make([]recommender.Book, w.books)
	for i := range books {
		books[i] = recommender.Book{ID: int32(i) + 1, Category: uint8((i+1)/circle%32 + 1)}
	}
	model, err := recommender.Train(ctx, recommender.NewDataset(events, books), recommender.Options{
		Position: 1, Seed: 1, Parameters: &recommender.Parameters{
			BookExponent: 0.4, OwnExponent: 0.4, ReaderExponent: 0.4, Smoothing: 3, Sharpness: 1.2, Prior: 0.01, PriorExponent: 1, Stars: 1,
		},
	})
	if err != nil {
		return 0, err
	}
	models, err := modelstore.Open(folder)
	if err != nil {
		return 0, err
	}
	if _, err := models.Publish(ctx, model.Save); err != nil {
		return 0, err
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.safetensors"))
	if err != nil || len(files) != 1 {
		return 0, fmt.Errorf("look for the model: %v, %w", files, err)
	}
	info, err := os.Stat(files[0])
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

type store interface {
	readers.Store
	Close() error
}

// fill makes a database of the readers service.
func fill(ctx context.Context, w world, open func() (store, error)) (err error) {
	store, err := open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	began, said := time.Now(), time.Now()
	for first := int64(0); first < w.readers(); first += 5000 {
		var batch []readers.Reader
		for id := first + 1; id <= min(first+5000, w.readers()); id++ {
			batch = append(batch, readers.Reader{ID: int32(id), Origin: readers.Simulated, Source: "bootstrap", SourceID: fmt.Sprint(id)})
		}
		if _, _, err := store.Import(ctx, batch); err != nil {
			return err
		}
	}
	for position := int64(0); position < w.interactions; {
		var batch []readers.Interaction
		for range min(5000, w.interactions-position) {
			position++
			e := w.at(position)
			// With an id, as the storefront gives one.
			batch = append(batch, readers.Interaction{ClientID: rand.Text(), Reader: e.Reader, Book: e.Book, Kind: readers.Kind(e.Kind), OccurredAt: time.Unix(e.Time, 0)})
		}
		if _, _, err := store.Record(ctx, batch); err != nil {
			return err
		}
		if time.Since(said) > 5*time.Second {
			said = time.Now()
			fmt.Fprintf(os.Stderr, "%6.1f s  %d of %d written\n", time.Since(began).Seconds(), position, w.interactions)
		}
	}
	return nil
}

// sizes prints what the tables take with their indexes, in all and for each
// interaction.
func sizes(ctx context.Context, w world, url string) (err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	rows, err := conn.Query(ctx, `SELECT relname, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class
		WHERE relnamespace = 'readers'::regnamespace AND relkind = 'r' AND pg_total_relation_size(oid) > 1000000 ORDER BY relname`)
	if err != nil {
		return err
	}
	var name string
	var table, indexes, all int64
	_, err = pgx.ForEachRow(rows, []any{&name, &table, &indexes}, func() error {
		all += table + indexes
		fmt.Printf("%s: %.0f MB, and %.0f MB of indexes\n", name, float64(table)/1e6, float64(indexes)/1e6)
		return nil
	})
	fmt.Printf("in all: %.1f bytes an interaction\n", float64(all)/float64(w.interactions))
	return err
}

// program is a service under measurement.
type program struct {
	command     *exec.Cmd
	addr, admin string
}

func start(ctx context.Context, folder, name string, args ...string) (*program, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p := &program{exec.CommandContext(ctx, filepath.Join(folder, name), append([]string{"--addr", addr, "--admin-addr", admin, "--log-level", "warn"}, args...)...), addr, admin}
	p.command.Stdout, p.command.Stderr = os.Stderr, os.Stderr
	p.command.Cancel = func() error { return p.command.Process.Signal(syscall.SIGTERM) }
	return p, p.command.Start()
}

// wait waits until the program is ready, and shows its metrics every second.
func (p *program) wait(ctx context.Context, show func(metrics []byte)) error {
	said := time.Now()
	for {
		if code, _, err := p.get(ctx, "/readyz"); err == nil && code == http.StatusOK {
			return nil
		}
		if show != nil && time.Since(said) >= time.Second {
			said = time.Now()
			if _, metrics, err := p.get(ctx, "/metrics"); err == nil {
				show(metrics)
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (p *program) get(ctx context.Context, path string) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+path, nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

// stop ends the program and tells the most memory it had.
func (p *program) stop(name string) {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	if err := p.command.Wait(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	}
	if usage, ok := p.command.ProcessState.SysUsage().(*syscall.Rusage); ok {
		fmt.Printf("%s: at most %.0f MB resident, %.1f s of CPU\n", name, float64(usage.Maxrss)*1024/1e6,
			(p.command.ProcessState.UserTime() + p.command.ProcessState.SystemTime()).Seconds())
	}
}

func metric(metrics []byte, name string) float64 {
	for line := range bytes.Lines(metrics) {
		var value float64
		if rest, ok := bytes.CutPrefix(line, []byte(name+" ")); ok {
			if n, _ := fmt.Sscan(string(rest), &value); n == 1 {
				return value
			}
		}
	}
	return 0
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
