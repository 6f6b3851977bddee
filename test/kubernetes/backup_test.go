package kubernetes

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// visitor is a browser, as far as cookies go.
type visitor struct {
	client http.Client
}

func (s *shop) visitor(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{http.Client{Transport: &http.Transport{DialContext: s.Dial, DisableKeepAlives: true}, Jar: jar, Timeout: 10 * time.Second}}
}

// get fetches a page, or sends a form when there are values, and follows where
// it leads.
func (v *visitor) get(path string, form url.Values) (string, error) {
	send := func() (*http.Response, error) { return v.client.Get("http://" + shopHost + path) }
	if form != nil {
		send = func() (*http.Response, error) { return v.client.PostForm("http://"+shopHost+path, form) }
	}
	response, err := send()
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return string(body), err
}

// restores backs up, loses everything, restores into an empty namespace as
// docs/operations/backup.md says, and compares.
func (s *shop) restores(t *testing.T) {
	must := func(page string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatalf("%v: %.300s", err, page)
		}
		return page
	}
	// Somebody with an account and a shelf, and somebody with a shelf alone.
	member, guest := s.visitor(t), s.visitor(t)
	must(member.get("/sign-up", url.Values{"name": {"ada"}, "password": {"a password for a test"}}))
	for _, v := range []*visitor{member, guest} {
		must(v.get("/book/3", nil))
		must(v.get("/book/3/shelf", url.Values{"shelf": {"want"}}))
	}
	shelves := []string{main(must(member.get("/me", nil))), main(must(guest.get("/me", nil)))}

	began := time.Now()
	backup := filepath.Join(filepath.Dir(s.database.data), "octavo.dump")
	s.database.run(t, "pg_dump", "-h", filepath.Dir(s.database.data), "--format=custom", "--file="+backup, "octavo")
	session := s.kubectl(t, "get", "secret", "octavo-session", "-o", "jsonpath={.data.session\\.key}")
	took := time.Since(began)
	before := s.contents(t)

	s.kubectl(t, "delete", "namespace", namespace, "--timeout=120s")
	s.database.sql(t, "DROP DATABASE octavo WITH (FORCE)", "CREATE DATABASE octavo OWNER octavo")
	if err := os.RemoveAll(filepath.Join(s.bucket.folder, "models")); err != nil {
		t.Fatal(err)
	}

	began = time.Now()
	s.database.run(t, "pg_restore", "-h", filepath.Dir(s.database.data), "--exit-on-error", "--dbname=octavo", backup)
	if after := s.contents(t); after != before {
		t.Errorf("the restored database differs: %s", difference(before, after))
	}
	s.install(t, session)
	s.ready(t, "catalog", "readers", "marketplace")
	if after := s.contents(t); after != before {
		t.Errorf("the services have changed the restored database: %s", difference(before, after))
	}
	s.train(t, "restored", "trainer") // which tells the catalogue how popular books are
	s.ready(t, services...)
	restored := time.Since(began)

	for i, v := range []*visitor{member, guest} {
		if now := main(must(v.get("/me", nil))); now != shelves[i] {
			t.Errorf("with the cookies from before, /me is\n%s\nwant\n%s", now, shelves[i])
		}
	}
	again := s.visitor(t)
	must(again.get("/sign-in", url.Values{"name": {"ada"}, "password": {"a password for a test"}}))
	if now := main(must(again.get("/me", nil))); now != shelves[0] {
		t.Errorf("after signing in again, /me is\n%s\nwant\n%s", now, shelves[0])
	}
	figure(t, "backed up, all lost, restored into an empty namespace", "backup %.1f s, restored and serving %.0f s; all %d lines of its dump equal, visitors still signed in", took.Seconds(), restored.Seconds(), strings.Count(before, "\n"))
}

// main is what a page says, without what differs from one answer to the next.
func main(page string) string {
	_, rest, _ := strings.Cut(page, "<main")
	body, _, _ := strings.Cut(rest, "</main>")
	return body
}

// contents are all rows of the database, in an order of their own: that in which
// they are stored may change.
func (s *shop) contents(t *testing.T) string {
	t.Helper()
	rows := strings.Split(s.database.run(t, "pg_dump", "-h", filepath.Dir(s.database.data), "--data-only", "octavo"), "\n")
	slices.Sort(rows)
	rows = slices.DeleteFunc(rows, func(row string) bool {
		// What keeps psql from running commands is different each time.
		return strings.HasPrefix(row, `\restrict`) || strings.HasPrefix(row, `\unrestrict`)
	})
	return strings.Join(rows, "\n")
}

// difference is the first line that differs.
func difference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d is %q, want %q", i, b[i], a[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(b), len(a))
}
