package program

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/chassis/certs"
)

// Checked is a service that can say whether it would start.
type Checked interface {
	// Check tries what Add would need. It changes nothing.
	Check(r *Report)
}

// Report is what has been tried without starting anything.
type Report struct {
	Flags chassis.Flags // of the program

	lines        []string
	tried, wrong int
}

// Check prints the settings in use with where each comes from, tries everything
// they name, and fails if something is wrong. Nothing is started or changed.
func Check(out io.Writer, k *kong.Context, flags chassis.Flags, check func(*Report)) error {
	if err := printSettings(out, k); err != nil {
		return err
	}
	r := &Report{Flags: flags}
	if flags.Dir != "" {
		folder, err := flags.Certificates()
		r.certificates("--tls-dir", folder, err)
	} else if flags.AdminTLS {
		r.Tried("--admin-tls", "", errors.New("--admin-tls needs the certificate of --tls-dir"))
	}
	if flags.AdminAddr != "" {
		r.Tried("--admin-addr", flags.AdminAddr+" can be listened on", flags.TryAdmin())
	}
	if flags.OTLPHeadersFile != "" {
		r.Tried("--otlp-headers-file", "can be read", flags.TryTelemetry())
	}
	check(r)
	fmt.Fprintf(out, "\n%s\n", strings.Join(r.lines, "\n"))
	if r.wrong > 0 {
		return fmt.Errorf("%d of %d things that were tried are wrong: it would not start", r.wrong, r.tried)
	}
	return nil
}

// Tried adds what came of trying a setting.
func (r *Report) Tried(flag, good string, err error) {
	r.tried++
	if err != nil {
		r.wrong++
		r.lines = append(r.lines, fmt.Sprintf("wrong  %s: %v", flag, err))
		return
	}
	r.lines = append(r.lines, fmt.Sprintf("good   %s: %s", flag, good))
}

// GRPC tries the address of a gRPC server.
func (r *Report) GRPC(flag, name, addr string) {
	r.Tried(flag, addr+" can be listened on", r.Flags.TryAddress(name, addr, r.Flags.Dir != ""))
}

// HTTP tries the address of the storefront, and its certificate when dir has
// one.
func (r *Report) HTTP(flag, addr, dir string) {
	r.Tried(flag, addr+" can be listened on", r.Flags.TryAddress("http", addr, dir != ""))
	if dir != "" {
		folder, err := certs.Open(certs.Config{Dir: dir, Public: true})
		r.certificates("--http-tls-dir", folder, err)
	}
}

// Peer looks at the address of another service, which may be down just now.
func (r *Report) Peer(flag, addr string) {
	target := addr
	if _, endpoint, ok := strings.Cut(addr, ":///"); ok {
		target = endpoint
	}
	_, _, err := net.SplitHostPort(target)
	r.Tried(flag, addr+" is an address", err)
}

// File tries a file that is made when missing, in a folder that must be there.
// look may look closer at one that is there.
func (r *Report) File(flag, path string, look func() error) {
	r.writable(flag, path, filepath.Dir(path), look)
}

// Folder tries a folder that is made when missing, with those above it. look may
// look closer at one that is there.
func (r *Report) Folder(flag, path string, look func() error) {
	above := filepath.Dir(path)
	for {
		if _, err := os.Stat(above); err == nil || above == filepath.Dir(above) {
			break
		}
		above = filepath.Dir(above)
	}
	r.writable(flag, path, above, look)
}

func (r *Report) writable(flag, path, above string, look func() error) {
	_, err := os.Stat(path)
	switch {
	case err == nil:
		if err = writable(path); err == nil && look != nil {
			err = look()
		}
		r.Tried(flag, path+" is there", err)
	case errors.Is(err, fs.ErrNotExist):
		r.Tried(flag, path+" will be made", writable(above))
	default:
		r.Tried(flag, "", err)
	}
}

func writable(path string) error {
	if err := unix.Access(path, unix.R_OK|unix.W_OK); err != nil {
		return fmt.Errorf("this user may not read and write %s: %w", path, err)
	}
	return nil
}

// SQLite looks whether a file is a database.
func SQLite(path string) func() error {
	return func() error {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		header := make([]byte, 16)
		switch n, err := io.ReadFull(file, header); {
		case n == 0 && errors.Is(err, io.EOF):
			return nil // an empty file is an empty database
		case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("read %s: %w", path, err)
		case string(header) != "SQLite format 3\x00":
			return fmt.Errorf("%s is no SQLite database", path)
		}
		return nil
	}
}

func (r *Report) certificates(flag string, folder *certs.Folder, err error) {
	if err != nil {
		r.Tried(flag, "", err)
		return
	}
	leaf := folder.Leaf()
	names := leaf.DNSNames
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	about := "the key goes with the certificate, which is for " + strings.Join(names, ", ")
	if folder.Identity() != "" {
		about += ", has the identity " + folder.Identity() + " and the authority behind it"
	}
	r.Tried(flag, fmt.Sprintf("%s, and ends on %s, in %d days", about, leaf.NotAfter.Format(time.DateTime), int(time.Until(leaf.NotAfter).Hours()/24)), nil)
}

// printSettings prints every flag of the command, by groups.
func printSettings(out io.Writer, k *kong.Context) error {
	given := map[*kong.Flag]bool{}
	for _, p := range k.Path {
		if p.Flag != nil && !p.Resolved {
			given[p.Flag] = true
		}
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for _, flag := range k.Flags() {
		if flag.Hidden || flag.Name == "help" || flag.Name == "check-config" {
			continue
		}
		source := "default"
		for _, env := range flag.Envs {
			if _, set := os.LookupEnv(env); set {
				source = env
			}
		}
		if given[flag] {
			source = "flag"
		}
		fmt.Fprintf(w, "--%s\t%s\t%s\n", flag.Name, shown(k.FlagValue(flag)), source)
	}
	return w.Flush()
}

// shown is a value without the password that a URL may have in it. Other secrets
// are in files, and never in a value.
func shown(value any) string {
	text := fmt.Sprint(value)
	if u, err := url.Parse(text); err == nil && u.User != nil {
		return u.Redacted()
	}
	if text == "" {
		return "(none)"
	}
	return text
}

// CheckFlag is the flag of programs without commands.
type CheckFlag struct {
	CheckConfig bool `help:"Print the settings with where each comes from, try all that they name, and end; with 0 if it would start."`
}

func (s *server) check(k *kong.Context) error {
	return Check(os.Stdout, k, s.Flags, func(r *Report) {
		if c, ok := s.Service.(Checked); ok {
			c.Check(r)
		}
	})
}
