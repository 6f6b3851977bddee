package endtoend

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
