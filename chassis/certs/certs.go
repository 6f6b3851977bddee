// Package certs holds the certificate of a process and the authority it trusts,
// read from a folder and read again when the files change, and makes of them
// the two ends of a TLS connection.
//
// It never makes a certificate, and it decides about nobody: it says who is at
// the other end.
package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/credentials"
)

// The files of a folder have the names they have in a Kubernetes secret of type
// kubernetes.io/tls, which is what cert-manager writes.
const (
	CertificateFile = "tls.crt" // the certificate, then intermediate ones
	KeyFile         = "tls.key"
	AuthorityFile   = "ca.crt" // one certificate or several, such as the old one and the new
)

// DefaultIdentityPrefix is what the URI of an identity begins with.
const DefaultIdentityPrefix = "spiffe://octavo/"

// pollInterval is how often the files are read. Reading them is so cheap, and
// the ways in which files get replaced (a link that is swapped, a rename, a
// network disk) so many, that asking beats being told.
const pollInterval = 5 * time.Second

// Config says where the files are and what they are for.
type Config struct {
	Dir string
	// Public is for a server that anybody may reach, such as a storefront: there
	// is no ca.crt, and nobody is asked who they are.
	Public bool
	// IdentityPrefix is what the URI of an identity begins with;
	// DefaultIdentityPrefix when empty. Not for Public.
	IdentityPrefix string
	// PollInterval is how often the files are read; 5 s when 0.
	PollInterval time.Duration
	// Log may be nil.
	Log *slog.Logger
}

// Folder is the certificate that a process has at the moment.
type Folder struct {
	config  Config
	current atomic.Pointer[pair]

	reloading sync.Mutex
	refused   string // why the files cannot be used, as last said
	warned    *pair  // the last one of which it was said that it ends soon

	notAfter    prometheus.GaugeFunc
	authorities prometheus.GaugeFunc
	reloads     *prometheus.CounterVec
	failures    prometheus.Counter
}

// content is what is in the files.
type content struct{ certificate, key, authority []byte }

func (c content) equal(o content) bool {
	return bytes.Equal(c.certificate, o.certificate) && bytes.Equal(c.key, o.key) && bytes.Equal(c.authority, o.authority)
}

// pair is a certificate with its key and the authority that goes with it.
type pair struct {
	content  content
	leaf     *x509.Certificate
	identity string
	roots    *x509.CertPool // nil for Public
	trusted  int            // how many authorities roots has
	server   *tls.Config
	client   *tls.Config

	serverCredentials, clientCredentials credentials.TransportCredentials
}

// Open reads the folder. Its errors say which file is wrong, how, and what is
// expected there.
func Open(c Config) (*Folder, error) {
	if c.IdentityPrefix == "" {
		c.IdentityPrefix = DefaultIdentityPrefix
	}
	if c.PollInterval <= 0 {
		c.PollInterval = pollInterval
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	f := &Folder{config: c}
	labels := prometheus.Labels{"dir": c.Dir}
	f.notAfter = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tls_certificate_not_after_timestamp_seconds", ConstLabels: labels,
		Help: "When the certificate in use ends, in seconds since 1970.",
	}, func() float64 { return float64(f.NotAfter().Unix()) })
	f.authorities = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "tls_trusted_authorities", ConstLabels: labels,
		Help: "How many authorities ca.crt has: 1, or 2 while one is replaced by another; 0 where nobody is asked for a certificate.",
	}, func() float64 { return float64(f.current.Load().trusted) })
	f.reloads = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tls_reloads_total", ConstLabels: labels,
		Help: "Changes of the certificate's files, by result: used, or refused because something is wrong with them.",
	}, []string{"result"})
	f.failures = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "tls_handshake_failures_total", ConstLabels: labels,
		Help: "Connections to gRPC servers that did not come about, because of the client's certificate or of what it speaks.",
	})
	// A counter that is there before it counts can be alerted on.
	f.reloads.WithLabelValues("used")
	f.reloads.WithLabelValues("refused")

	read, err := f.read()
	if err != nil {
		return nil, err
	}
	p, err := f.parse(read)
	if err != nil {
		return nil, err
	}
	f.current.Store(p)
	return f, nil
}

// Identity is who the process is to others; empty for Public.
func (f *Folder) Identity() string { return f.current.Load().identity }

// NotAfter is when the certificate in use ends.
func (f *Folder) NotAfter() time.Time { return f.current.Load().leaf.NotAfter }

// Leaf is the certificate in use.
func (f *Folder) Leaf() *x509.Certificate { return f.current.Load().leaf }

// Describe is for Prometheus.
func (f *Folder) Describe(into chan<- *prometheus.Desc) {
	f.notAfter.Describe(into)
	f.authorities.Describe(into)
	f.reloads.Describe(into)
	f.failures.Describe(into)
}

// Collect is for Prometheus.
func (f *Folder) Collect(into chan<- prometheus.Metric) {
	f.notAfter.Collect(into)
	f.authorities.Collect(into)
	f.reloads.Collect(into)
	f.failures.Collect(into)
}

// Follow takes up changed files until ctx ends. Files with which something is
// wrong are logged and counted, and what was there before serves on.
func (f *Folder) Follow(ctx context.Context) error {
	ticker := time.NewTicker(f.config.PollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			f.poll()
		}
	}
}

// Reload reads the files now. Connections that are open stay as they are; new
// ones use what was read.
func (f *Folder) Reload() error {
	f.reloading.Lock()
	defer f.reloading.Unlock()
	read, err := f.read()
	if err != nil {
		return err
	}
	return f.use(read)
}

// poll reads the files, and once more when they cannot be used: they may have
// been replaced between one and the next.
func (f *Folder) poll() {
	err := f.Reload()
	if err != nil {
		err = f.Reload()
	}
	if err == nil {
		f.refused = ""
		f.warnOfTheEnd()
		return
	}
	if err.Error() == f.refused {
		return // said before
	}
	f.refused = err.Error()
	f.reloads.WithLabelValues("refused").Inc()
	f.config.Log.Error("the new certificate cannot be used; the one before serves on", "dir", f.config.Dir, "error", err, "ends", f.NotAfter())
}

// use makes new connections with what was read, if it is new and good.
func (f *Folder) use(read content) error {
	if read.equal(f.current.Load().content) {
		return nil
	}
	p, err := f.parse(read)
	if err != nil {
		return err
	}
	f.current.Store(p)
	f.reloads.WithLabelValues("used").Inc()
	f.config.Log.Info("took up a new certificate", "dir", f.config.Dir, "serial", p.leaf.SerialNumber.Text(16), "ends", p.leaf.NotAfter)
	return nil
}

// warnOfTheEnd says once for each certificate that nobody has renewed it when
// a tenth of its time is left.
func (f *Folder) warnOfTheEnd() {
	p := f.current.Load()
	left, whole := time.Until(p.leaf.NotAfter), p.leaf.NotAfter.Sub(p.leaf.NotBefore)
	if f.warned == p || left > whole/10 {
		return
	}
	f.warned = p
	f.config.Log.Warn("the certificate ends soon and has not been renewed: put a new one in its place", "dir", f.config.Dir, "ends", p.leaf.NotAfter)
}

func (f *Folder) read() (content, error) {
	var c content
	var err error
	if c.certificate, err = f.readFile(CertificateFile); err != nil {
		return c, err
	}
	if c.key, err = f.readFile(KeyFile); err != nil {
		return c, err
	}
	if !f.config.Public {
		c.authority, err = f.readFile(AuthorityFile)
	}
	return c, err
}

func (f *Folder) readFile(name string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(f.config.Dir, name))
	if err == nil {
		return text, nil
	}
	needed := CertificateFile + ", " + KeyFile + " and " + AuthorityFile
	if f.config.Public {
		needed = CertificateFile + " and " + KeyFile
	}
	advice := "let this user read it"
	if errors.Is(err, fs.ErrNotExist) {
		advice = "the folder needs " + needed
	}
	return nil, fmt.Errorf("read certificates: %w; %s", err, advice)
}

// parse checks what can be checked before anybody connects: that key and
// certificate belong together, that the authority vouches for the certificate,
// that now is within its time, and that it names an identity.
func (f *Folder) parse(c content) (*pair, error) {
	name := func(file string) string { return filepath.Join(f.config.Dir, file) }
	if _, err := certificatesIn(c.certificate); err != nil {
		return nil, fmt.Errorf("read %s: %w", name(CertificateFile), err)
	}
	own, err := tls.X509KeyPair(c.certificate, c.key)
	if err != nil {
		return nil, fmt.Errorf("the key in %s does not go with the certificate in %s: %w", name(KeyFile), CertificateFile, err)
	}
	p := &pair{content: c, leaf: own.Leaf}
	if now := time.Now(); now.After(p.leaf.NotAfter) || now.Before(p.leaf.NotBefore) {
		return nil, fmt.Errorf("the certificate in %s is valid from %s to %s, which is not now: renew it, or set the clock",
			name(CertificateFile), p.leaf.NotBefore.Format(time.RFC3339), p.leaf.NotAfter.Format(time.RFC3339))
	}
	p.server = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}}
	if f.config.Public {
		p.server.MinVersion = tls.VersionTLS12 // browsers are not ours
		return p, nil
	}

	authority, err := certificatesIn(c.authority)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name(AuthorityFile), err)
	}
	p.roots, p.trusted = x509.NewCertPool(), len(authority)
	for _, root := range authority {
		p.roots.AddCert(root)
	}
	intermediates := x509.NewCertPool()
	for _, der := range own.Certificate[1:] {
		if between, err := x509.ParseCertificate(der); err == nil {
			intermediates.AddCert(between)
		}
	}
	if _, err := p.leaf.Verify(x509.VerifyOptions{Roots: p.roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return nil, fmt.Errorf("the authority in %s does not vouch for the certificate in %s: %w", name(AuthorityFile), CertificateFile, err)
	}
	if p.identity, err = identityOf(p.leaf, f.config.IdentityPrefix); err != nil {
		return nil, fmt.Errorf("the certificate in %s has no identity: %w", name(CertificateFile), err)
	}
	// No certificate at all is left to whoever decides about each call, so that a
	// probe can ask for health. A session that is resumed would be one whose
	// certificate an authority that is no longer trusted has signed.
	p.server.ClientAuth, p.server.ClientCAs, p.server.SessionTicketsDisabled = tls.VerifyClientCertIfGiven, p.roots, true
	p.client = &tls.Config{
		MinVersion: tls.VersionTLS13,
		RootCAs:    p.roots,
		// Also to a server that does not ask for this authority: its refusal says
		// more than that of a call without a certificate.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil },
	}
	p.serverCredentials, p.clientCredentials = credentials.NewTLS(p.server), credentials.NewTLS(p.client)
	return p, nil
}

// certificatesIn are all certificates in PEM, at least one, and nothing else.
func certificatesIn(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("there is a %s in it, where a certificate in PEM is expected", block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, certificate)
	}
	if len(all) == 0 {
		return nil, errors.New("there is no certificate in PEM in it")
	}
	return all, nil
}
