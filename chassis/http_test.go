package chassis_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/octavo-books/octavo/chassis"
)

// servePages starts an HTTP server of the chassis and returns its address and a
// client that keeps no connections.
func servePages(t *testing.T, p *process, h http.Handler) (string, *http.Client) {
	t.Helper()
	addr, err := p.HTTP("http", "127.0.0.1:0", h)
	if err != nil {
		t.Fatal(err)
	}
	p.start()
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return "http://" + addr.String(), &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

func TestHTTPOutcome(t *testing.T) {
	mux := http.NewServeMux()
	var handled string
	mux.HandleFunc("GET /books/{id}", func(w http.ResponseWriter, r *http.Request) {
		handled = chassis.RequestID(r.Context())
		fmt.Fprint(w, "a book")
	})
	mux.HandleFunc("GET /panic", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "9999")
		panic(errors.New("password is hunter2"))
	})
	mux.HandleFunc("GET /half", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Repeat("half a page", 1000))
		panic("boom")
	})
	mux.HandleFunc("GET /down", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "later", http.StatusServiceUnavailable)
	})
	for _, test := range []struct {
		path   string
		broken bool // the answer is cut off
		status int
		body   string
		level  string
		logged string
		metric string
	}{
		{path: "/books/7", status: 200, body: "a book", level: "DEBUG", metric: `http_server_handled_total{code="2xx",method="GET",route="GET /books/{id}"} 1`},
		{path: "/books/", status: 404, body: "404 page not found\n", level: "DEBUG", metric: `http_server_handled_total{code="4xx",method="GET",route=""} 1`},
		{path: "/panic", status: 500, body: "internal error, request id " + requestID + "\n", level: "ERROR", logged: "panic: password is hunter2", metric: `http_server_handled_total{code="5xx",method="GET",route="GET /panic"} 1`},
		{path: "/half", broken: true, status: 500, level: "ERROR", logged: "panic: boom", metric: `http_server_handled_total{code="5xx",method="GET",route="GET /half"} 1`},
		{path: "/down", status: 503, body: "later\n", level: "WARN", metric: `http_server_handled_total{code="5xx",method="GET",route="GET /down"} 1`},
	} {
		t.Run(test.path, func(t *testing.T) {
			p := newProcess(t)
			url, client := servePages(t, p, mux)
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+test.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("X-Request-Id", requestID)
			response, err := client.Do(request)
			if err == nil {
				defer response.Body.Close()
				var body []byte
				body, err = io.ReadAll(response.Body)
				if !test.broken && (response.StatusCode != test.status || string(body) != test.body) {
					t.Errorf("got %d %q, want %d %q", response.StatusCode, body, test.status, test.body)
				}
				if got := response.Header.Get("X-Request-Id"); got != requestID {
					t.Errorf("the answer has request id %q", got)
				}
			}
			if (err != nil) != test.broken {
				t.Errorf("reading the answer: %v", err)
			}
			var records []map[string]any
			eventually(t, "a record in the log", 30*time.Second, func() bool {
				records = p.log.records(t, "request")
				return len(records) > 0
			})
			if len(records) != 1 {
				t.Fatalf("%d records, want 1", len(records))
			}
			record := records[0]
			if record["level"] != test.level || record["request_id"] != requestID || record["path"] != test.path || record["status"] != float64(test.status) {
				t.Errorf("the record is %v", record)
			}
			if text, _ := record["error"].(string); text != test.logged {
				t.Errorf("the record has error=%q, want %q", text, test.logged)
			}
			eventually(t, test.metric, 30*time.Second, func() bool { return p.hasMetric(test.metric) && p.hasMetric("http_server_in_flight 0") })
		})
	}
	if handled != requestID {
		t.Errorf("the handler saw request id %q", handled)
	}
}

func TestHTTPMetricsKeepOutWhatClientsMakeUp(t *testing.T) {
	p := newProcess(t)
	url, client := servePages(t, p, http.NotFoundHandler())
	for i := range 20 {
		request, err := http.NewRequestWithContext(t.Context(), fmt.Sprintf("METHOD%d", i), fmt.Sprintf("%s/%d", url, i), nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	line := `http_server_handled_total{code="4xx",method="other",route=""} 20`
	eventually(t, line, 30*time.Second, func() bool { return p.hasMetric(line) })
}

func TestHTTPLimits(t *testing.T) {
	t.Parallel()
	p := newProcess(t)
	url, client := servePages(t, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
		fmt.Fprint(w, n)
	}))
	t.Run("headers", func(t *testing.T) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Large", strings.Repeat("x", 64<<10))
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("got %d", response.StatusCode)
		}
	})
	t.Run("body", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(make([]byte, 16<<20+1)))
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("got %d", response.StatusCode)
		}
	})
	t.Run("a client that never finishes its headers is let go", func(t *testing.T) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nX-Slow: "); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(conn); err != nil {
			t.Errorf("the connection is still open: %v", err)
		}
	})
}

// TestFlush: a handler can stream through the middleware.
func TestFlush(t *testing.T) {
	p := newProcess(t)
	release := make(chan struct{})
	url, client := servePages(t, p, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "first")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-release
	}))
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	first := make([]byte, 5)
	if _, err := io.ReadFull(response.Body, first); err != nil || string(first) != "first" {
		t.Errorf("got %q, %v", first, err)
	}
	close(release)
}
