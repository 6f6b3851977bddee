package chassis

import (
	"errors"

	"github.com/octavo-books/octavo/chassis/certs"
)

// TryAddress says why a server of this name could not listen on addr with these
// settings, after listening there for a moment. secure is whether it has TLS.
func (f Flags) TryAddress(name, addr string, secure bool) error {
	listener, err := f.listen(name, addr, secure)
	if err != nil {
		return err
	}
	return listener.Close()
}

// TryAdmin is TryAddress for the admin port.
func (f Flags) TryAdmin() error {
	listener, err := f.listenAdmin(f.AdminAddr)
	if err != nil {
		return err
	}
	return listener.Close()
}

// TryTelemetry says why traces could not be exported with these settings. It
// does not connect.
func (f Flags) TryTelemetry() error {
	_, err := readHeaders(f.OTLPHeadersFile)
	return err
}

// Certificates reads those between services, which there must be some of.
func (f Flags) Certificates() (*certs.Folder, error) {
	if f.Dir == "" {
		return nil, errors.New("there are no certificates without --tls-dir")
	}
	return certs.Open(certs.Config{Dir: f.Dir, IdentityPrefix: f.IdentityPrefix})
}
