package chassistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/octavo-books/octavo/chassis/certs"
)

// Authority issues certificates that live as long as the test.
type Authority struct {
	t           testing.TB
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// Certificate says what is in a certificate. The zero value is good for an hour,
// for servers on loopback and for clients, and has no identity.
type Certificate struct {
	Identity  string   // who it is for, after certs.DefaultIdentityPrefix
	URIs      []string // more of them, or others
	Names     []string // host names and addresses; localhost, 127.0.0.1 and ::1 when empty
	NotBefore time.Time
	NotAfter  time.Time
}

// Files are a certificate, its key and its authority, in PEM.
type Files struct{ Certificate, Key, Authority []byte }

// NewAuthority makes an authority.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "authority of " + t.Name()},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	a := &Authority{t: t, key: newKey(t)}
	a.certificate = sign(t, template, template, a.key, a.key)
	return a
}

// Bundle is the authority's own certificate, and those of others, in PEM.
func (a *Authority) Bundle(others ...*Authority) []byte {
	bundle := encode("CERTIFICATE", a.certificate.Raw)
	for _, o := range others {
		bundle = append(bundle, o.Bundle()...)
	}
	return bundle
}

// Issue makes a certificate that the authority vouches for.
func (a *Authority) Issue(c Certificate) Files {
	a.t.Helper()
	key := newKey(a.t)
	leaf := sign(a.t, c.template(a.t), a.certificate, key, a.key)
	return a.files(leaf, key)
}

// SelfSigned makes a certificate that nobody else vouches for, with the
// authority's own beside it.
func (a *Authority) SelfSigned(c Certificate) Files {
	a.t.Helper()
	key, template := newKey(a.t), c.template(a.t)
	return a.files(sign(a.t, template, template, key, key), key)
}

func (a *Authority) files(leaf *x509.Certificate, key *ecdsa.PrivateKey) Files {
	a.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return Files{Certificate: encode("CERTIFICATE", leaf.Raw), Key: encode("PRIVATE KEY", der), Authority: a.Bundle()}
}

func (c Certificate) template(t testing.TB) *x509.Certificate {
	t.Helper()
	if c.Names == nil {
		c.Names = []string{"localhost", "127.0.0.1", "::1"}
	}
	if c.NotBefore.IsZero() {
		c.NotBefore = time.Now().Add(-time.Minute)
	}
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		NotBefore:    c.NotBefore,
		NotAfter:     c.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if c.Identity != "" {
		c.URIs = append(c.URIs, certs.DefaultIdentityPrefix+c.Identity)
	}
	for _, text := range c.URIs {
		uri, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = append(template.URIs, uri)
	}
	for _, name := range c.Names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return template
}

// Write writes the files into a folder, under the names of package certs.
func (f Files) Write(t testing.TB, dir string) {
	t.Helper()
	for name, text := range map[string][]byte{
		certs.CertificateFile: f.Certificate, certs.KeyFile: f.Key, certs.AuthorityFile: f.Authority,
	} {
		if text == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Dir is a folder of the test with these files.
func (f Files) Dir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	f.Write(t, dir)
	return dir
}

// Secret is a folder as Kubernetes mounts one: its files are links through a
// link that is swapped when they change.
type Secret struct {
	Path string
	t    testing.TB
}

// NewSecret makes a secret with these files.
func NewSecret(t testing.TB, f Files) *Secret {
	t.Helper()
	s := &Secret{Path: t.TempDir(), t: t}
	s.Put(f)
	return s
}

// Put replaces all files at once.
func (s *Secret) Put(f Files) {
	s.t.Helper()
	version, err := os.MkdirTemp(s.Path, "..version-")
	if err != nil {
		s.t.Fatal(err)
	}
	f.Write(s.t, version)
	swapped := filepath.Join(s.Path, "..data_tmp")
	check := func(err error) {
		s.t.Helper()
		if err != nil && !errors.Is(err, fs.ErrExist) {
			s.t.Fatal(err)
		}
	}
	check(os.Symlink(filepath.Base(version), swapped))
	check(os.Rename(swapped, filepath.Join(s.Path, "..data")))
	for _, name := range []string{certs.CertificateFile, certs.KeyFile, certs.AuthorityFile} {
		check(os.Symlink(filepath.Join("..data", name), filepath.Join(s.Path, name)))
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// serial is a number of 127 random bits: no two certificates share one.
func serial() *big.Int {
	var bytes [16]byte
	rand.Read(bytes[:])
	bytes[0] &= 0x7f
	return new(big.Int).SetBytes(bytes[:])
}

func sign(t testing.TB, template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
