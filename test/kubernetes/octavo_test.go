package kubernetes

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/octavo-books/octavo/chassis/chassistest"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	"github.com/octavo-books/octavo/test/kubernetes/cluster"
)

const (
	namespace = "octavo"
	shopHost  = "marketplace.octavo.svc.cluster.local"
)

// services in the order in which they depend on one another.
var services = []string{"catalog", "readers", "recommendations", "marketplace"}

// shop is Octavo on the cluster.
type shop struct {
	*cluster.Cluster
	dir       string // for files of the test, which nodes see too
	authority *chassistest.Authority
	database  *postgres
	bucket    *bucket
	operator  string // folder with the certificate of identity octavo
}

// TestOctavo brings the production overlay up and holds it up to what happens to
// a shop, in this order.
func TestOctavo(t *testing.T) {
	s := open(t)
	t.Run("pages and recommendations are served", s.serves)
	t.Run("rolling updates", s.rollsOut)
	t.Run("scaling recommendations", s.scales)
	t.Run("a new model", s.learns)
	t.Run("certificates are replaced", s.rotates)
	t.Run("PostgreSQL restarts", s.losesDatabase)
	t.Run("a pod is killed", s.losesPods)
	t.Run("a bad image and a bad setting", s.rollsBack)
	t.Run("training in parts", s.sharesTraining)
	t.Run("network policies", s.closed)
	t.Run("the autoscaler", s.autoscales)
	t.Run("backup and restore", s.restores)
	t.Run("a node loses power", s.losesNode)
}

// open installs Octavo as docs/operations/install.md says, with the demo library
// and a first model.
func open(t *testing.T) *shop {
	t.Helper()
	s := &shop{authority: chassistest.NewAuthority(t)}
	began := time.Now()
	s.Cluster, s.dir = startCluster(t, 2)
	figure(t, "cluster of two nodes up", "%.1f s", time.Since(began).Seconds())

	s.database = startPostgres(t, s.Cluster, filepath.Join(s.dir, "postgres"))
	s.bucket = startBucket(t, s.Cluster, filepath.Join(s.dir, "bucket"), s.authority)
	key := make([]byte, 32)
	rand.Read(key)
	began = time.Now()
	s.install(t, base64.StdEncoding.EncodeToString(key))
	s.ready(t, "catalog", "readers", "marketplace")
	figure(t, "overlay applied, catalog, readers and marketplace ready", "%.1f s", time.Since(began).Seconds())

	began = time.Now()
	s.run(t, s.octavo("import", "demo", "--tls-dir="+s.operator,
		"--catalog-addr=dns:///catalog.octavo.svc.cluster.local:50052", "--readers-addr=dns:///readers.octavo.svc.cluster.local:50053")...)
	figure(t, "demo library imported", "%.1f s", time.Since(began).Seconds())
	began = time.Now()
	s.train(t, "first", "trainer")
	figure(t, "first model trained by a job of the CronJob", "%.1f s", time.Since(began).Seconds())
	began = time.Now()
	s.ready(t, services...)
	figure(t, "recommendations ready after it", "%.1f s", time.Since(began).Seconds())
	return s
}

// install makes the namespace with its secrets, of which the key for sessions is
// in base64, and applies the overlay.
func (s *shop) install(t *testing.T, sessionKey string) {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(sessionKey)
	if err != nil {
		t.Fatal(err)
	}
	s.kubectl(t, "create", "namespace", namespace)
	s.operator = filepath.Join(s.dir, "operator")
	if err := os.MkdirAll(s.operator, 0o755); err != nil {
		t.Fatal(err)
	}
	s.certify(t, s.authority.Bundle())
	s.secret(t, "octavo-session", map[string][]byte{"session.key": key})
	s.secret(t, "trainer-bucket", s.bucket.credentials)
	s.secret(t, "recommendations-bucket", s.bucket.credentials)
	s.secret(t, "octavo-database", map[string][]byte{"url": []byte(s.database.url())})
	overlay, err := filepath.Abs("overlay")
	if err != nil {
		t.Fatal(err)
	}
	s.kubectl(t, "apply", "--validate=strict", "-k", overlay)
}

// startCluster starts a cluster of so many nodes with the images, or attaches to that of -cluster
// and makes it as if new.
func startCluster(t *testing.T, nodes int) (c *cluster.Cluster, dir string) {
	t.Helper()
	packed, err := filepath.Glob(filepath.Join(repository, "bin", "images", "*.tar"))
	if err != nil || len(packed) == 0 {
		t.Fatalf("there are no images in bin/images: make images packs them (%v)", err)
	}
	if *attach != "" {
		c, err := cluster.Attach(*attach)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range packed {
			if err := c.Import(t.Context(), file); err != nil {
				t.Fatal(err)
			}
		}
		reset(t, c)
		return c, *attach
	}
	// Not the test's own folder, into which nobody else may look: PostgreSQL has a
	// user of its own.
	parent, err := os.MkdirTemp(*scratchIn, "octavo-kubernetes-")
	if err == nil {
		err = os.Chmod(parent, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(parent); err != nil {
			t.Error(err)
		}
	})
	scratch := filepath.Join(parent, "cluster")
	c, err = cluster.Start(t.Context(), cluster.Config{Programs: programs, Scratch: scratch, Nodes: nodes, Images: slices.Concat(images, packed), Logs: logs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			explain(t, c)
		}
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c, scratch
}

// reset removes what an earlier run has left in a cluster that stays up.
func reset(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			explain(t, c)
		}
	})
	if out, err := c.Kubectl(t.Context(), "", "delete", "namespace/"+namespace, "--ignore-not-found", "--timeout=120s"); err != nil {
		t.Fatal(out, err)
	}
	// An end of PostgreSQL that is not asked for is the end of the test.
	_ = c.In(t.Context(), 1, "sh", "-c", "pkill -QUIT -x postgres; sleep 1; pkill -KILL -x versitygw; rm -rf postgres bucket").Run()
}

// explain shows what the cluster thinks when a test has failed.
func explain(t *testing.T, c *cluster.Cluster) {
	for _, args := range [][]string{
		{"get", "pods,jobs", "-A", "-o", "wide"},
		{"-n", namespace, "get", "events", "--sort-by=.lastTimestamp"},
	} {
		out, err := c.Kubectl(context.Background(), "", args...)
		t.Log(out, err)
	}
}

// kubectl runs kubectl in Octavo's namespace.
func (s *shop) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return s.kubectlWith(t, "", args...)
}

func (s *shop) kubectlWith(t *testing.T, input string, args ...string) string {
	t.Helper()
	out, err := s.Kubectl(t.Context(), input, append([]string{"-n", namespace}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// get reads objects of the cluster.
func (s *shop) get(t *testing.T, into any, args ...string) {
	t.Helper()
	if err := json.Unmarshal([]byte(s.kubectl(t, append([]string{"get", "-o", "json"}, args...)...)), into); err != nil {
		t.Fatal(err)
	}
}

// run runs a command in the first node.
func (s *shop) run(t *testing.T, command ...string) {
	t.Helper()
	out, err := s.In(t.Context(), 1, command...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(command, " "), err, out)
	}
}

// octavo is the operator's program, as it runs in the first node.
func (s *shop) octavo(args ...string) []string {
	return append([]string{filepath.Join(programs, "octavo")}, args...)
}

// secret makes a secret, or replaces it.
func (s *shop) secret(t *testing.T, name string, data map[string][]byte) {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": name}, "data": data,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.kubectlWith(t, string(text), "apply", "-f", "-")
}

// certify makes the certificates that cert-manager would, of the shop's
// authority, and puts them into the secrets together with the authorities to
// trust.
func (s *shop) certify(t *testing.T, trusted []byte) {
	t.Helper()
	for _, identity := range append([]string{"trainer"}, services...) {
		f := s.authority.Issue(certificate(identity))
		s.secret(t, identity+"-tls", map[string][]byte{"tls.crt": f.Certificate, "tls.key": f.Key, "ca.crt": trusted})
	}
	own := s.authority.Issue(certificate("octavo"))
	own.Authority = trusted
	own.Write(t, s.operator)
}

func certificate(identity string) chassistest.Certificate {
	return chassistest.Certificate{
		Identity: identity,
		Names:    []string{identity, identity + ".octavo", identity + ".octavo.svc", identity + ".octavo.svc.cluster.local", "localhost"},
		NotAfter: time.Now().Add(12 * time.Hour),
	}
}

// ready waits until all pods of the services are, and old ones are gone.
func (s *shop) ready(t *testing.T, services ...string) {
	t.Helper()
	for _, service := range services {
		s.kubectl(t, "rollout", "status", "deployment/"+service, "--timeout=180s")
	}
}

// train runs a job of a CronJob to its end.
func (s *shop) train(t *testing.T, name, cronJob string) {
	t.Helper()
	s.kubectl(t, "create", "job", name, "--from=cronjob/"+cronJob)
	s.finished(t, name)
}

// finished waits for the end of a job, which must be a good one.
func (s *shop) finished(t *testing.T, job string) {
	t.Helper()
	var status struct {
		Spec   struct{ Completions int }
		Status struct{ Succeeded, Failed int }
	}
	s.eventually(t, 5*time.Minute, "the job "+job, func() error {
		s.get(t, &status, "job", job)
		if status.Status.Failed > 0 {
			t.Fatalf("the job %s failed: %s", job, s.kubectl(t, "logs", "--tail=20", "job/"+job))
		}
		if status.Status.Succeeded < max(1, status.Spec.Completions) {
			return errors.New("it has not ended")
		}
		return nil
	})
}

// eventually tries until it succeeds.
func (s *shop) eventually(t *testing.T, limit time.Duration, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s, waited for %v: %v", what, limit, err)
		}
		<-ticker.C
	}
}

// pod is what is needed of one.
type pod struct {
	Metadata struct{ Name string }
	Status   struct {
		PodIP      string
		Conditions []struct{ Type, Status string }
	}
}

func (p pod) ready() bool {
	for _, c := range p.Status.Conditions {
		if c.Type == "Ready" {
			return c.Status == "True"
		}
	}
	return false
}

// pods are those of a service that are not about to end.
func (s *shop) pods(t *testing.T, service string) []pod {
	t.Helper()
	var list struct {
		Items []struct {
			pod
			Metadata struct{ Name, DeletionTimestamp string }
		}
	}
	s.get(t, &list, "pods", "-l", "app.kubernetes.io/name="+service)
	var pods []pod
	for _, item := range list.Items {
		if item.Metadata.DeletionTimestamp == "" {
			item.pod.Metadata.Name = item.Metadata.Name
			pods = append(pods, item.pod)
		}
	}
	return pods
}

// gone waits until no pod is about to end any more.
func (s *shop) gone(t *testing.T) {
	t.Helper()
	s.eventually(t, 90*time.Second, "old pods to end", func() error {
		var list struct {
			Items []struct {
				Metadata struct{ Name, DeletionTimestamp string }
			}
		}
		s.get(t, &list, "pods")
		for _, item := range list.Items {
			if item.Metadata.DeletionTimestamp != "" {
				return fmt.Errorf("%s has not ended", item.Metadata.Name)
			}
		}
		return nil
	})
}

// page fetches a page of the storefront through its Service.
func (s *shop) page(path string) (string, error) {
	client := http.Client{Transport: &http.Transport{DialContext: s.Dial, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	response, err := client.Get("http://" + shopHost + path)
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

// identify is how a client of the services proves who it is, and whom it expects.
func (s *shop) identify(t *testing.T, identity, server string) *tls.Config {
	t.Helper()
	files := s.authority.Issue(certificate(identity))
	own, err := tls.X509KeyPair(files.Certificate, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(files.Authority)
	return &tls.Config{Certificates: []tls.Certificate{own}, RootCAs: trusted, ServerName: server}
}

// recommendations is a client of one pod of that service, over mutual TLS.
func (s *shop) recommendations(t *testing.T, p pod) recommendationsv1.RecommendationsServiceClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+net.JoinHostPort(p.Status.PodIP, "50051"),
		grpc.WithTransportCredentials(credentials.NewTLS(s.identify(t, "marketplace", "recommendations"))),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return s.Dial(ctx, "tcp", address) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return recommendationsv1.NewRecommendationsServiceClient(conn)
}

// metric is the sum of the series of a metric of a pod whose labels have all of
// these in them.
func (s *shop) metric(t *testing.T, service string, p pod, name string, labels ...string) float64 {
	t.Helper()
	client := http.Client{
		Transport: &http.Transport{DialContext: s.Dial, TLSClientConfig: s.identify(t, "prometheus", service), DisableKeepAlives: true},
		Timeout:   10 * time.Second,
	}
	response, err := client.Get("https://" + net.JoinHostPort(p.Status.PodIP, "9090") + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	sum := 0.0
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		line := lines.Text()
		if !strings.HasPrefix(line, name+"{") || slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(line, l) }) {
			continue
		}
		value, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += value
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return sum
}

func (s *shop) serves(t *testing.T) {
	for _, service := range services {
		nodes := s.kubectl(t, "get", "pods", "-l", "app.kubernetes.io/name="+service, "-o", "jsonpath={.items[*].spec.nodeName}")
		if nodes != "node1 node2" && nodes != "node2 node1" {
			t.Errorf("the pods of %s are on %s, want one on each node", service, nodes)
		}
	}
	home, err := s.page("/")
	if err != nil || !strings.Contains(home, "</html>") {
		t.Fatalf("the first page: %v: %.200s", err, home)
	}
	for _, p := range s.pods(t, "recommendations") {
		answer, err := s.recommendations(t, p).Recommend(t.Context(), &recommendationsv1.RecommendRequest{ReaderId: 7, MaxResults: 10, MaxReasons: 3})
		if err != nil {
			t.Fatalf("a recommendation of %s: %v", p.Metadata.Name, err)
		}
		if n := len(answer.GetRecommendations()); n != 10 {
			t.Errorf("%s recommends %d books, want 10", p.Metadata.Name, n)
		}
	}
	figure(t, "a page through the Service, a recommendation by gRPC over mutual TLS from each replica", "served")
}

// build builds the operator's program, from what the images are made of.
func buildOctavo(ctx context.Context) error {
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(programs, "octavo"), "./cmd/octavo")
	command.Dir = repository
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build octavo: %w: %s", err, out)
	}
	return nil
}
