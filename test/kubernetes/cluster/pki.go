package cluster

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificate is one of the cluster's own, with its key.
type certificate struct {
	x509 *x509.Certificate
	key  *ecdsa.PrivateKey
}

// names are the host names and addresses a server has.
type names []string

// issue makes a certificate that the authority vouches for; its own when the
// authority is nil. Servers have names, clients have none.
func issue(authority *certificate, subject pkix.Name, server names) (*certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    time.Now().Add(-time.Minute),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if len(server) > 0 {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	for _, name := range server {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	parent, signer := template, key
	if authority == nil {
		template.IsCA, template.BasicConstraintsValid = true, true
		template.KeyUsage |= x509.KeyUsageCertSign
		template.ExtKeyUsage = nil
	} else {
		parent, signer = authority.x509, authority.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	return &certificate{parsed, key}, err
}

func (c *certificate) pem() (cert, key []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(crypto.PrivateKey(c.key))
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.x509.Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// writePKI makes all certificates of a cluster, and a kubeconfig for each of its
// clients.
func writePKI(dir string, nodes int) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	write := func(name string, authority *certificate, subject pkix.Name, server ...string) (*certificate, error) {
		c, err := issue(authority, subject, server)
		if err != nil {
			return nil, fmt.Errorf("make the certificate %s: %w", name, err)
		}
		cert, key, err := c.pem()
		return c, errors.Join(err,
			os.WriteFile(filepath.Join(dir, name+".crt"), cert, 0o600),
			os.WriteFile(filepath.Join(dir, name+".key"), key, 0o600))
	}
	ca, err := write("ca", nil, pkix.Name{CommonName: "cluster"})
	if err != nil {
		return err
	}
	proxies, err := write("front-proxy-ca", nil, pkix.Name{CommonName: "front proxies"})
	if err != nil {
		return err
	}
	tokens, err := write("tokens", nil, pkix.Name{CommonName: "service accounts"})
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(tokens.key.Public())
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "tokens.pub"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600); err != nil {
		return err
	}
	type entry struct {
		name      string
		authority *certificate
		subject   pkix.Name
		server    names
		config    bool // whether it has a kubeconfig
	}
	entries := []entry{
		{"apiserver", ca, pkix.Name{CommonName: "kube-apiserver"}, names{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost", "127.0.0.1", firstServiceIP, nodeIP(1)}, false},
		{"apiserver-kubelet-client", ca, pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: []string{"system:masters"}}, nil, false},
		{"front-proxy-client", proxies, pkix.Name{CommonName: "front-proxy-client"}, nil, false},
		{"admin", ca, pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}}, nil, true},
		{"kube-controller-manager", ca, pkix.Name{CommonName: "system:kube-controller-manager"}, nil, true},
		{"kube-scheduler", ca, pkix.Name{CommonName: "system:kube-scheduler"}, nil, true},
		{"kube-proxy", ca, pkix.Name{CommonName: "system:kube-proxy"}, nil, true},
	}
	for n := 1; n <= nodes; n++ {
		subject := pkix.Name{CommonName: "system:node:" + nodeName(n), Organization: []string{"system:nodes"}}
		entries = append(entries,
			entry{nodeName(n), ca, subject, nil, true},
			entry{nodeName(n) + "-serving", ca, subject, names{nodeName(n), nodeIP(n)}, false})
	}
	for _, e := range entries {
		c, err := write(e.name, e.authority, e.subject, e.server...)
		if err != nil {
			return err
		}
		if e.config {
			if err := writeKubeconfig(filepath.Join(dir, e.name+".kubeconfig"), ca, c); err != nil {
				return err
			}
		}
	}
	return nil
}

func writeKubeconfig(file string, ca, client *certificate) error {
	authority, _, err := ca.pem()
	if err != nil {
		return err
	}
	cert, key, err := client.pem()
	if err != nil {
		return err
	}
	type object = map[string]any
	text, err := json.Marshal(object{
		"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"contexts": []object{{"name": "c", "context": object{"cluster": "c", "user": "u"}}},
		"clusters": []object{{"name": "c", "cluster": object{"server": "https://" + nodeIP(1) + ":6443", "certificate-authority-data": authority}}},
		"users":    []object{{"name": "u", "user": object{"client-certificate-data": cert, "client-key-data": key}}},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}
