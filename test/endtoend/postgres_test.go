package endtoend

import (
	"context"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/nettest"
	"github.com/octavo-books/octavo/internal/postgrestest"
	"github.com/octavo-books/octavo/internal/waittest"
)

// The same product on PostgreSQL: a first start ends with the same library,
// readers and model as on SQLite, what a reader does is there after a restart,
// and the URL of the database is not told to anybody.
func TestOnPostgreSQL(t *testing.T) {
	const secret = "hunter2"
	onSQLite := model(t, serve(t, demoFolder(t)))

	// The test's server believes everybody; a password does no harm.
	database := strings.Replace(postgrestest.Database(t), "postgres@", "postgres:"+secret+"@", 1)
	file := filepath.Join(t.TempDir(), "database-url")
	if err := os.WriteFile(file, []byte(database+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "data")
	start := func() (*process, addresses) {
		t.Helper()
		written := filepath.Join(t.TempDir(), "addresses.json")
		p := start(t, "octavo", "serve", "--data-dir", folder, "--addresses-file", written, "--log-level", "debug",
			"--catalog-database-url-file", file, "--readers-database-url-file", file,
			"--http-addr", "127.0.0.1:0", "--recommendations-addr", "127.0.0.1:0", "--catalog-addr", "127.0.0.1:0",
			"--readers-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0")
		var at addresses
		waittest.Until(t, "octavo is ready", firstStart, func() bool {
			content, err := os.ReadFile(written)
			return err == nil && json.Unmarshal(content, &at) == nil
		})
		return p, at
	}
	p, at := start()
	got := model(t, at)
	if got.GetInteractions() != onSQLite.GetInteractions() || got.GetModelVersion() != onSQLite.GetModelVersion() {
		t.Errorf("the model is %s of %d interactions, want %s of %d as on SQLite",
			got.GetModelVersion(), got.GetInteractions(), onSQLite.GetModelVersion(), onSQLite.GetInteractions())
	}
	v := newVisitor(t, "http://"+at.HTTP)
	v.becomeDemoReader()
	book := v.get("/").books()[0]
	v.post(book+"/rate", url.Values{"rating": {"5"}})
	if page := v.get(book); !strings.Contains(page.body, "5 of 5") {
		t.Error("the page of a book that was just rated does not show the rating")
	}
	p.stop(t)
	if strings.Contains(p.output.String(), secret) {
		t.Error("the log tells the password of the database")
	}

	_, at = start()
	again := v.in(t)
	again.shop = "http://" + at.HTTP
	if page := again.get(book); !strings.Contains(page.body, "5 of 5") {
		t.Error("the rating is gone after a restart")
	}
	for _, name := range []string{"catalog.db", "readers.db"} {
		if _, err := os.Stat(filepath.Join(folder, name)); err == nil {
			t.Errorf("%s was made in the data folder", name)
		}
	}
}

// A program is stopped while the network to its database takes everything and
// answers nothing, in the middle of a follower's query, of a query that its caller
// has given up, and of a commit: it ends as soon as ever.
func TestStoppedBehindASilentNetwork(t *testing.T) {
	for name, service := range map[string]struct {
		call   func(context.Context, grpc.ClientConnInterface) error
		follow func(context.Context, grpc.ClientConnInterface) (grpc.ClientStream, error)
	}{
		"readers": {
			func(ctx context.Context, conn grpc.ClientConnInterface) error {
				_, err := readersv1.NewReadersServiceClient(conn).CreateReader(ctx, &readersv1.CreateReaderRequest{})
				return err
			},
			func(ctx context.Context, conn grpc.ClientConnInterface) (grpc.ClientStream, error) {
				return readersv1.NewReadersServiceClient(conn).WatchInteractions(ctx, &readersv1.WatchInteractionsRequest{})
			},
		},
		"catalog": {
			func(ctx context.Context, conn grpc.ClientConnInterface) error {
				_, err := catalogv1.NewCatalogServiceClient(conn).BatchGetBooks(ctx, &catalogv1.BatchGetBooksRequest{Ids: []int32{1}})
				return err
			},
			func(ctx context.Context, conn grpc.ClientConnInterface) (grpc.ClientStream, error) {
				return catalogv1.NewCatalogServiceClient(conn).WatchBooks(ctx, &catalogv1.WatchBooksRequest{AfterPosition: 1, AfterCheck: 1})
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			database, err := url.Parse(postgrestest.Database(t))
			if err != nil {
				t.Fatal(err)
			}
			way := nettest.Start(t, database.Host)
			database.Host = way.Addr
			file := filepath.Join(t.TempDir(), "database-url")
			if err := os.WriteFile(file, []byte(database.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			address := nettest.FreeAddress(t)
			p := start(t, name, "--addr", address, "--database-url-file", file, "--admin-addr", "")
			conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			call := func(within time.Duration) error {
				ctx, cancel := context.WithTimeout(t.Context(), within)
				defer cancel()
				return service.call(ctx, conn)
			}
			waittest.Until(t, name+" answers", firstStart, func() bool { return call(time.Second) == nil })

			way.Silence()
			followed, err := service.follow(t.Context(), conn)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if code := status.Code(call(300 * time.Millisecond)); code != codes.DeadlineExceeded && code != codes.Unavailable {
					t.Errorf("a call is answered with %v through a network that is silent", code)
				}
			}
			p.stop(t)
			if err := followed.RecvMsg(new(readersv1.WatchInteractionsResponse)); status.Code(err) != codes.Unavailable {
				t.Errorf("the follower is told %v, want UNAVAILABLE", err)
			}
		})
	}
}
