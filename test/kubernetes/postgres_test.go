package kubernetes

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/octavo-books/octavo/test/kubernetes/cluster"
)

// postgres is a PostgreSQL beside the cluster: Debian's, on the address of the
// first node.
type postgres struct {
	cluster   *cluster.Cluster
	bin, data string
}

// url is that of the one database there is.
func (p *postgres) url() string {
	return fmt.Sprintf("postgres://octavo:secret@%s:5432/octavo?sslmode=disable", cluster.NodeIP(1))
}

// startPostgres makes a server whose files are in dir, which is gone with the
// cluster.
func startPostgres(t *testing.T, c *cluster.Cluster, dir string) *postgres {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(found) == 0 {
		t.Fatal("PostgreSQL's programs are missing: apt-get install postgresql (test/kubernetes/setup does)")
	}
	p := &postgres{cluster: c, bin: found[len(found)-1], data: filepath.Join(dir, "data")}
	account, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(account.Uid)
	gid, _ := strconv.Atoi(account.Gid)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	p.run(t, "initdb", "-D", p.data, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	settings := "\nhost all all 10.0.0.0/8 scram-sha-256\n"
	file, err := os.OpenFile(filepath.Join(p.data, "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(settings); err != nil {
		t.Fatal(err)
	}
	p.start(t)
	p.sql(t, "CREATE ROLE octavo LOGIN PASSWORD 'secret'; ", "CREATE DATABASE octavo OWNER octavo")
	return p
}

// command is one of PostgreSQL's own, run as its user in the first node.
func (p *postgres) command(t *testing.T, program string, args ...string) *exec.Cmd {
	return p.cluster.In(t.Context(), 1, append([]string{
		"setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", filepath.Join(p.bin, program),
	}, args...)...)
}

func (p *postgres) run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := p.command(t, program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (p *postgres) start(t *testing.T) {
	t.Helper()
	p.run(t, "pg_ctl", "-D", p.data, "-l", filepath.Join(filepath.Dir(p.data), "log"), "-w", "start",
		"-o", fmt.Sprintf("-c listen_addresses=%s -c unix_socket_directories=%s -c max_connections=200", cluster.NodeIP(1), filepath.Dir(p.data)))
}

func (p *postgres) stop(t *testing.T) {
	t.Helper()
	p.run(t, "pg_ctl", "-D", p.data, "-m", "fast", "-w", "stop")
}

// sql runs statements as superuser, each by itself.
func (p *postgres) sql(t *testing.T, statements ...string) {
	t.Helper()
	args := []string{"-h", filepath.Dir(p.data), "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-qAt"}
	for _, statement := range statements {
		args = append(args, "-c", statement)
	}
	p.run(t, "psql", args...)
}
