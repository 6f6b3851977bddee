package modelstore_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/buckettest"
	"github.com/octavo-books/octavo/internal/modelstore"
	"github.com/octavo-books/octavo/internal/modelstore/storetest"
)

func TestABucketOfModels(t *testing.T) {
	server := buckettest.Start(t)
	storetest.TestModels(t, func(t *testing.T, name string) storetest.Models { return server.Open(t, name) })
}

func TestABucketOfParts(t *testing.T) {
	server := buckettest.Start(t)
	storetest.TestParts(t, func(t *testing.T, name string) storetest.Parts { return server.Open(t, name).Parts() })
}

// between is a proxy before the server that can be told to misbehave.
type between struct {
	*httptest.Server
	asked atomic.Int64 // requests
	fault atomic.Pointer[func(w http.ResponseWriter, r *http.Request, pass http.Handler)]
}

func stand(t *testing.T, server *buckettest.Server, secure bool) *between {
	t.Helper()
	target, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	pass := &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
		Transport:    transport,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	b := &between{}
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.asked.Add(1)
		if f := b.fault.Load(); f != nil {
			(*f)(w, r, pass)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	b.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if secure {
		b.StartTLS()
	} else {
		b.Start()
	}
	t.Cleanup(func() {
		b.CloseClientConnections()
		b.Close()
		transport.CloseIdleConnections()
	})
	return b
}

func (b *between) misbehave(f func(w http.ResponseWriter, r *http.Request, pass http.Handler)) {
	b.fault.Store(&f)
}
func (b *between) behave() { b.fault.Store(nil) }

// cut lets an answer through up to a number of bytes of its body and then breaks
// the connection, or does something to the bytes.
type cut struct {
	http.ResponseWriter
	left   int
	change func([]byte)
}

func (c *cut) Write(p []byte) (int, error) {
	if c.change != nil {
		p = bytes.Clone(p)
		c.change(p)
		return c.ResponseWriter.Write(p)
	}
	if len(p) > c.left {
		_, _ = c.ResponseWriter.Write(p[:c.left])
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= len(p)
	return c.ResponseWriter.Write(p)
}

func isModel(r *http.Request) bool { return strings.Contains(r.URL.Path, "/model-") }

func denied(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	w.WriteHeader(http.StatusForbidden)
	_, _ = io.WriteString(w, `<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
}

// TestWhatGoesWrongOnTheWay: whatever happens to a download, the model before
// serves, and no file that is not whole is ever given to anybody.
func TestWhatGoesWrongOnTheWay(t *testing.T) {
	server := buckettest.Start(t)
	big := strings.Repeat("a model of some size ", 20_000)
	for name, test := range map[string]struct {
		misbehave func(w http.ResponseWriter, r *http.Request, pass http.Handler)
		kind      fault.Kind
		want      string
	}{
		"a download that is cut": {func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if isModel(r) && r.Method == http.MethodGet {
				w = &cut{ResponseWriter: w, left: 100_000}
			}
			pass.ServeHTTP(w, r)
		}, fault.Unavailable, "cut off after 1"},
		"a flipped bit": {func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if isModel(r) && r.Method == http.MethodGet {
				w = &cut{ResponseWriter: w, change: func(p []byte) { p[0] ^= 1 }}
			}
			pass.ServeHTTP(w, r)
		}, fault.Conflict, "SHA-256"},
		"a model that stalls": {func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if isModel(r) && r.Method == http.MethodGet {
				w.Header().Set("Content-Length", "420000")
				w.Header().Set("ETag", r.Header.Get("If-Match"))
				w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
				_, _ = w.Write(make([]byte, 1000))
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
				return
			}
			pass.ServeHTTP(w, r)
		}, fault.Unavailable, "nothing came or went"},
		"403": {denied, fault.Denied, "refuses these credentials"},
		"403 for the model alone": {func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if isModel(r) {
				denied(w, r, pass)
				return
			}
			pass.ServeHTTP(w, r)
		}, fault.Denied, "refuses these credentials"},
		"a model that is not there": {func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if isModel(r) {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			pass.ServeHTTP(w, r)
		}, fault.Conflict, "which is not there"},
		"no bucket": {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `<?xml version="1.0"?><Error><Code>NoSuchBucket</Code><Message>x</Message></Error>`)
		}, fault.Invalid, "there is no bucket"},
		"garbage in CURRENT": {func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if strings.HasSuffix(r.URL.Path, "/CURRENT") {
				w = &cut{ResponseWriter: w, change: func(p []byte) { clear(p) }}
			}
			pass.ServeHTTP(w, r)
		}, fault.Conflict, "CURRENT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := stand(t, server, false)
			place := strings.ReplaceAll(name, " ", "-")
			author := server.Open(t, place)
			config := server.Config(t, place)
			registry := prometheus.NewPedanticRegistry()
			config.Endpoint, config.Stall, config.Metrics = proxy.URL, 200*time.Millisecond, registry
			reader, err := modelstore.OpenBucket(config)
			if err != nil {
				t.Fatal(err)
			}
			old := storetest.Publish(t, author, "old")
			storetest.Current(t, reader)
			next := storetest.Publish(t, author, big)
			proxy.misbehave(test.misbehave)
			_, _, err = reader.Current(t.Context())
			if fault.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Current: %v (%v), want %v with %q", err, fault.KindOf(err), test.kind, test.want)
			}
			if name, path, err := reader.Last(); name != old || err != nil {
				t.Errorf("Last: %s, %v, want %s", name, err, old)
			} else if content, err := os.ReadFile(path); string(content) != "old" {
				t.Errorf("its file has %q, %v", content, err)
			}
			onlyWhole(t, config.Cache, "old", big)
			proxy.behave()
			if name, content := storetest.Current(t, reader); name != next || content != big {
				t.Errorf("afterwards current is %s with %d bytes, want %s", name, len(content), next)
			}
			want := map[string]float64{"octavo_model_downloads_total": 2, "octavo_model_download_bytes_total": float64(len("old") + len(big)), "octavo_model_bucket_failures_total": 1}
			if got := counted(t, registry); !maps.Equal(got, want) {
				t.Errorf("counted %v, want %v", got, want)
			}
		})
	}
}

// counted is what the counters of a registry say.
func counted(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		values[f.GetName()] = f.GetMetric()[0].GetCounter().GetValue()
	}
	return values
}

// onlyWhole checks that all files of a cache have one of the contents given.
func onlyWhole(t *testing.T, cache string, contents ...string) {
	t.Helper()
	err := filepath.WalkDir(cache, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "LAST" {
			return err
		}
		content, err := os.ReadFile(path)
		if !slices.Contains(contents, string(content)) {
			t.Errorf("%s has %d bytes that are no whole model", path, len(content))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestWhatPassesIsTriedAgain, within one request.
func TestWhatPassesIsTriedAgain(t *testing.T) {
	server := buckettest.Start(t)
	for name, misbehave := range map[string]func(w http.ResponseWriter, r *http.Request, pass http.Handler){
		"503": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.WriteHeader(http.StatusServiceUnavailable)
		},
		"500": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.WriteHeader(http.StatusInternalServerError)
		},
		"a broken connection": func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) },
		"an upload that is cut": func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
			_, _ = io.CopyN(io.Discard, r.Body, 10)
			panic(http.ErrAbortHandler)
		},
		"an answer that is lost": func(_ http.ResponseWriter, r *http.Request, pass http.Handler) {
			pass.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := stand(t, server, false)
			config := server.Config(t, strings.ReplaceAll(name, " ", "-"))
			config.Endpoint = proxy.URL
			store, err := modelstore.OpenBucket(config)
			if err != nil {
				t.Fatal(err)
			}
			storetest.Publish(t, store, "old")
			var once sync.Map
			proxy.misbehave(func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
				if _, again := once.LoadOrStore(r.Method+r.URL.Path, true); !again {
					misbehave(w, r, pass)
					return
				}
				pass.ServeHTTP(w, r)
			})
			name := storetest.Publish(t, store, "new")
			if got, content := storetest.Current(t, store); name != "model-000002.safetensors" || got != name || content != "new" {
				t.Errorf("published %s, current is %s with %q", name, got, content)
			}
			if names := storetest.List(t, store); len(names) != 2 {
				t.Errorf("the models are %v", names)
			}
		})
	}
}

// TestAFailedPublicationChangesNothing: a server that takes no more, and one that
// takes models but not CURRENT.
func TestAFailedPublicationChangesNothing(t *testing.T) {
	server := buckettest.Start(t)
	proxy := stand(t, server, false)
	config := server.Config(t, "models")
	config.Endpoint, config.Stall = proxy.URL, 200*time.Millisecond
	store, err := modelstore.OpenBucket(config)
	if err != nil {
		t.Fatal(err)
	}
	old := storetest.Publish(t, store, "old")
	for name, test := range map[string]struct {
		misbehave func(w http.ResponseWriter, r *http.Request, pass http.Handler)
		want      string
	}{
		"no rights to write": {func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if r.Method == http.MethodPut {
				denied(w, r, pass)
				return
			}
			pass.ServeHTTP(w, r)
		}, "refuses these credentials"},
		"no rights to make it current": {func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/CURRENT") {
				denied(w, r, pass)
				return
			}
			pass.ServeHTTP(w, r)
		}, "refuses these credentials"},
		"no conditional writes": {func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if r.Method == http.MethodPut {
				w.WriteHeader(http.StatusNotImplemented)
				return
			}
			pass.ServeHTTP(w, r)
		}, "conditional writes"},
	} {
		proxy.misbehave(test.misbehave)
		_, err := store.Publish(t.Context(), func(path string) error { return os.WriteFile(path, []byte("new"), 0o600) })
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), buckettest.SecretAccessKey) {
			t.Errorf("%s: %v, want an error with %q", name, err, test.want)
		}
		proxy.behave()
		if got, content := storetest.Current(t, store); got != old || content != "old" {
			t.Errorf("%s: current is %s with %q", name, got, content)
		}
	}
	if left, err := filepath.Glob(filepath.Join(config.Cache, "new-*")); len(left) > 0 || err != nil {
		t.Errorf("left in the cache: %v, %v", left, err)
	}
	if next := storetest.Publish(t, store, "next"); next != "model-000003.safetensors" {
		t.Errorf("published %s, after one that was put and never made current", next)
	}
}

// TestAPollCostsOneSmallRequest as long as nothing changes.
func TestAPollCostsOneSmallRequest(t *testing.T) {
	server := buckettest.Start(t)
	proxy := stand(t, server, false)
	config := server.Config(t, "models")
	config.Endpoint = proxy.URL
	store, err := modelstore.OpenBucket(config)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Publish(t, store, "one")
	storetest.Current(t, store)
	before := proxy.asked.Load()
	proxy.misbehave(func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		answer := httptest.NewRecorder()
		pass.ServeHTTP(answer, r)
		if answer.Code != http.StatusNotModified || answer.Body.Len() > 0 {
			t.Errorf("%s %s: %d with %d bytes", r.Method, r.URL.Path, answer.Code, answer.Body.Len())
		}
		w.WriteHeader(answer.Code)
	})
	for range 5 {
		storetest.Current(t, store)
	}
	if asked := proxy.asked.Load() - before; asked != 5 {
		t.Errorf("five polls asked %d times", asked)
	}
}

// TestTheCacheStandsIn for a bucket that is away, in this process and in the
// next, unless it is damaged.
func TestTheCacheStandsIn(t *testing.T) {
	server := buckettest.Start(t)
	author := server.Open(t, "models")
	name := storetest.Publish(t, author, "the model")
	config := server.Config(t, "models")
	reader, err := modelstore.OpenBucket(config)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Current(t, reader)
	server.Kill()
	for what, open := range map[string]func() (*modelstore.Bucket, error){
		"the same process": func() (*modelstore.Bucket, error) { return reader, nil },
		"another process":  func() (*modelstore.Bucket, error) { return modelstore.OpenBucket(config) },
	} {
		store, err := open()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if _, _, err := store.Current(ctx); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%s: Current: %v", what, err)
		}
		cancel()
		got, path, err := store.Last()
		if content, _ := os.ReadFile(path); got != name || string(content) != "the model" || err != nil {
			t.Errorf("%s: Last: %s with %q, %v", what, got, content, err)
		}
	}
	_, path, err := reader.Last()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("the modem"), 0o600); err != nil {
		t.Fatal(err)
	}
	next, err := modelstore.OpenBucket(config)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := next.Last(); !errors.Is(err, modelstore.ErrNone) {
		t.Errorf("a damaged file of the cache: %s, %v", got, err)
	}
	server.Up()
	if got, content := storetest.Current(t, next); got != name || content != "the model" {
		t.Errorf("when the bucket is back: %s with %q", got, content)
	}
}

func TestTheCacheKeepsTwoModels(t *testing.T) {
	server := buckettest.Start(t)
	config := server.Config(t, "models")
	store, err := modelstore.OpenBucket(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"one", "two", "three", "four"} {
		storetest.Publish(t, store, content)
		storetest.Current(t, store)
	}
	files, err := filepath.Glob(filepath.Join(config.Cache, "model-*"))
	if err != nil || len(files) != 2 {
		t.Errorf("in the cache: %v, %v", files, err)
	}
	// One who cleans up does no harm.
	if err := os.RemoveAll(config.Cache); err != nil {
		t.Fatal(err)
	}
	if _, content := storetest.Current(t, store); content != "four" {
		t.Errorf("after the cache was emptied: %q", content)
	}
}

// TestTheServerIsKilledAtWork, again and again, while one publishes and another
// reads: what is published is whole and stays, and nobody reads half of it.
func TestTheServerIsKilledAtWork(t *testing.T) {
	server := buckettest.Start(t)
	author, reader := server.Open(t, "models"), server.Open(t, "models")
	storetest.Publish(t, author, string(wholeModel()))
	done := make(chan struct{})
	var wg sync.WaitGroup
	var published, read int
	wg.Go(func() {
		for !closed(done) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			name, err := author.Publish(ctx, func(path string) error { return os.WriteFile(path, wholeModel(), 0o600) })
			cancel()
			if err != nil {
				t.Errorf("Publish: %v", err)
				return
			}
			if current, _, err := author.Current(t.Context()); err == nil && current < name {
				t.Errorf("current is %s after %s was published", current, name)
			}
			published++
		}
	})
	wg.Go(func() {
		for !closed(done) {
			_, path, err := reader.Current(t.Context())
			if fault.KindOf(err) == fault.Unavailable {
				continue
			}
			if err != nil {
				t.Errorf("Current: %v", err)
				return
			}
			if content, err := os.ReadFile(path); !bytes.Equal(content, wholeModel()) {
				t.Errorf("%s has %d bytes, %v", path, len(content), err)
			}
			read++
		}
	})
	for round := range 4 {
		<-time.After(time.Duration(100+30*round) * time.Millisecond)
		server.Kill()
		server.Up()
	}
	close(done)
	wg.Wait()
	if published < 2 || read < 2 {
		t.Errorf("%d publications and %d reads", published, read)
	}
	names := storetest.List(t, author)
	if name, _ := storetest.Current(t, server.Open(t, "models")); name != names[len(names)-1] {
		t.Errorf("current is %s of %v", name, names)
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestCredentialsAndTheAuthorityAreReadAgain when they change.
func TestCredentialsAndTheAuthorityAreReadAgain(t *testing.T) {
	server := buckettest.Start(t)
	proxy := stand(t, server, true)
	right := modelstore.Credentials{
		AccessKeyID: buckettest.AccessKeyID, SecretAccessKey: buckettest.SecretAccessKey,
		Authority: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: proxy.Certificate().Raw}),
	}
	var now atomic.Pointer[modelstore.Credentials]
	now.Store(&right)
	config := server.Config(t, "models")
	config.Endpoint = proxy.URL
	config.Credentials = func() (modelstore.Credentials, error) { return *now.Load(), nil }
	store, err := modelstore.OpenBucket(config)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Publish(t, store, "one")
	for name, test := range map[string]struct {
		change func(c *modelstore.Credentials)
		want   string
	}{
		"a wrong key":       {func(c *modelstore.Credentials) { c.SecretAccessKey = "old" }, "refuses these credentials"},
		"an unknown user":   {func(c *modelstore.Credentials) { c.AccessKeyID = "nobody" }, "refuses these credentials"},
		"another authority": {func(c *modelstore.Credentials) { c.Authority = nil }, "certificate"},
		"no certificate":    {func(c *modelstore.Credentials) { c.Authority = []byte("ca") }, "no certificate"},
	} {
		wrong := right
		test.change(&wrong)
		now.Store(&wrong)
		proxy.CloseClientConnections()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, _, err := store.Current(ctx)
		cancel()
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		now.Store(&right)
		if _, content := storetest.Current(t, store); content != "one" {
			t.Errorf("%s, then the right one: %q", name, content)
		}
	}
}

func TestOpenBucketRefusesWhatMakesNoSense(t *testing.T) {
	for name, c := range map[string]modelstore.BucketConfig{
		"no bucket":     {URL: "s3://", Endpoint: "https://localhost"},
		"no URL":        {URL: "models", Endpoint: "https://localhost"},
		"a password":    {URL: "s3://user:password@bucket", Endpoint: "https://localhost"},
		"no endpoint":   {URL: "s3://bucket"},
		"only a host":   {URL: "s3://bucket", Endpoint: "localhost:9000"},
		"a path":        {URL: "s3://bucket", Endpoint: "https://localhost/bucket"},
		"an addressing": {URL: "s3://bucket", Endpoint: "https://localhost", Addressing: "virtual"},
	} {
		if _, err := modelstore.OpenBucket(c); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
