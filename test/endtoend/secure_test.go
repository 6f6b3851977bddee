package endtoend

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/octavo-books/octavo/chassis/chassistest"
	"github.com/octavo-books/octavo/internal/nettest"
	"github.com/octavo-books/octavo/internal/waittest"
)

// TestTheShopOverMutualTLS is the shop in separate processes, each with a
// certificate of its own.
func TestTheShopOverMutualTLS(t *testing.T) {
	authority := chassistest.NewAuthority(t)
	certificates := func(identity string) string {
		return authority.Issue(chassistest.Certificate{Identity: identity}).Dir(t)
	}
	s := startSeparate(t, func(program string) []string { return []string{"--tls-dir", certificates(program)} })
	v := newVisitor(t, s.url)
	waittest.Until(t, "the shop answers", firstStart, func() bool {
		page, err := v.try("/")
		return err == nil && page.status == http.StatusOK
	})
	v.becomeDemoReader()
	waittest.Until(t, "the first page is personal", firstStart, func() bool { return v.get("/").personal() })

	command := func(program string, args ...string) (string, error) {
		c := exec.Command(filepath.Join(binaries, program), args...)
		c.Env = environment()
		out, err := c.CombinedOutput()
		return string(out), err
	}
	trainer := []string{"--catalog-addr", s.catalog, "--readers-addr", s.readers, "--models-dir", s.models, "--admin-addr", "", "--tls-dir"}
	if out, err := command("trainer", append(trainer, certificates("trainer"))...); err != nil {
		t.Errorf("the trainer: %v\n%s", err, out)
	}
	if out, err := command("trainer", append(trainer, certificates("client"))...); err == nil || !strings.Contains(out, "client may not call") {
		t.Errorf("a trainer with the certificate of a client ended with %v:\n%s", err, out)
	}
	ask := []string{"recommend", "--user", "1", "--addr", s.recommendationsArgs[1]}
	if out, err := command("octavo", append(ask, "--tls-dir", certificates("octavo"))...); err != nil || !strings.Contains(out, "BECAUSE OF") {
		t.Errorf("octavo recommend: %v\n%s", err, out)
	}
	if out, err := command("octavo", ask...); err == nil || !strings.Contains(out, "--tls-dir") {
		t.Errorf("octavo recommend without a certificate ended with %v:\n%s", err, out)
	}
}

// TestSecretsStayOutOfTheLog: of a start and some requests, with everything
// logged.
func TestSecretsStayOutOfTheLog(t *testing.T) {
	authority := chassistest.NewAuthority(t)
	files := authority.Issue(chassistest.Certificate{Identity: "octavo"})
	folder, headers := demoFolder(t), filepath.Join(t.TempDir(), "headers")
	const token = "hush-4f1e9c77"
	if err := os.WriteFile(headers, []byte("Authorization: Bearer "+token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, at := serveProcess(t, folder, "--log-level", "debug", "--tls-dir", files.Dir(t),
		"--otlp-headers-file", headers, "--otlp-endpoint", "http://"+nettest.FreeAddress(t), "--trace-sample", "1")
	v := newVisitor(t, "http://"+at.HTTP)
	v.becomeDemoReader()
	v.get("/")

	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/log-level", "/debug/build", "/readyz"} {
		if page := v.get(path); page.status != http.StatusNotFound {
			t.Errorf("the storefront answers %s with %d, want 404: it is for operators", path, page.status)
		}
	}

	key, err := os.ReadFile(filepath.Join(folder, "session.key"))
	if err != nil {
		t.Fatal(err)
	}
	log := p.output.String()
	if !strings.Contains(log, "/octavo.recommendations.v1.RecommendationsService/") {
		t.Fatalf("the log does not have the requests:\n%s", p.output.tail(20))
	}
	secrets := map[string]string{
		"the session key":           string(key),
		"the session key in hex":    hex.EncodeToString(key),
		"the session key in base64": base64.StdEncoding.EncodeToString(key),
		"the session key as bytes":  fmt.Sprintf("%d", key),
		"the collector's token":     token,
	}
	for i, line := range bytes.Split(bytes.TrimSpace(files.Key), []byte("\n")) {
		if !bytes.HasPrefix(line, []byte("-----")) {
			secrets[fmt.Sprintf("line %d of the private key", i)] = string(line)
		}
	}
	for what, secret := range secrets {
		if strings.Contains(log, secret) {
			t.Errorf("%s is in the log", what)
		}
	}
}
