package marketplace

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

// processTime is the CPU time this process has used, which a busy machine does
// not stretch the way it stretches the clock.
func processTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkHome is a page of four personal rows, all calls to the (fake)
// services over real gRPC included; both sides run in this process.
func BenchmarkHome(b *testing.B) {
	for _, encoding := range []string{"identity", "gzip"} {
		b.Run(encoding, func(b *testing.B) {
			handler, err := New(library().config(b))
			if err != nil {
				b.Fatal(err)
			}
			cookie := ""
			for _, form := range [][2]string{{"/reader", "reader=17"}, {"/book/4/rate", "rating=4"}} {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, form[0], strings.NewReader(form[1]))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Cookie", cookie)
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				cookie, _, _ = strings.Cut(w.Header().Get("Set-Cookie"), ";")
			}
			b.ReportAllocs()
			before := processTime(b)
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/", nil)
				r.Header.Set("Cookie", cookie)
				r.Header.Set("Accept-Encoding", encoding)
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				if w.Code != http.StatusOK || w.Body.Len() < 5000 {
					b.Fatalf("status %d, %d bytes", w.Code, w.Body.Len())
				}
			}
			b.ReportMetric(float64((processTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// BenchmarkCompression is the compression of that page, and of the same by the
// standard library.
func BenchmarkCompression(b *testing.B) {
	handler, err := New(library().config(b))
	if err != nil {
		b.Fatal(err)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/", nil))
	page := w.Body.Bytes()
	type writer interface {
		io.WriteCloser
		Reset(io.Writer)
	}
	standard, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		b.Fatal(err)
	}
	for name, z := range map[string]writer{"used": zippers.Get().(writer), "standard": standard} {
		b.Run(name, func(b *testing.B) {
			var out bytes.Buffer
			b.SetBytes(int64(len(page)))
			for b.Loop() {
				out.Reset()
				z.Reset(&out)
				_, _ = z.Write(page)
				_ = z.Close()
			}
			b.ReportMetric(float64(out.Len()), "B")
		})
	}
}
