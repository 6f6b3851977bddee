package chassis

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/octavo-books/octavo/fault"
)

// adminWriteTimeout leaves room for a CPU profile of some minutes.
const adminWriteTimeout = 5 * time.Minute

const adminIndex = `%s %s

/metrics           Prometheus metrics
/healthz           liveness: 200 while the process runs
/readyz            readiness: 200, or 503 with the reasons
/debug/build       what this program was built from
/debug/log-level   GET the level; PUT debug, info, warn or error
/debug/pprof/      profiles
`

// newAdmin listens on the port for operators. It shows profiles. Without TLS it
// asks nobody who they are: it belongs on loopback or a closed network.
func (a *App) newAdmin(addr string) (*httpServer, error) {
	listener, err := a.flags.listenAdmin(addr)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, adminIndex, a.name, a.version)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.registry, promhttp.HandlerOpts{Registry: a.registry, EnableOpenMetrics: true}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "alive")
	})
	mux.HandleFunc("GET /readyz", a.serveReadiness)
	mux.HandleFunc("GET /debug/build", a.serveBuild)
	mux.HandleFunc("GET /debug/log-level", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, a.level.Level())
	})
	mux.HandleFunc("PUT /debug/log-level", a.setLogLevel)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)

	s := a.newHTTPServer("admin", listener, nil)
	s.server.WriteTimeout = adminWriteTimeout
	s.server.Handler = mux
	if a.flags.AdminTLS {
		s.useTLS(a.certs)
		s.server.Handler = a.forOperators(mux)
	}
	return s, nil
}

// refuse answers a request for a page of the admin port. Its requests are not
// logged, so that an id would name nothing.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	fault.Respond(w, r, err, "", nil)
}

// serveReadiness answers probes, which want the reasons and nothing else.
func (a *App) serveReadiness(w http.ResponseWriter, _ *http.Request) {
	if err := a.readiness.failure(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

func (a *App) serveBuild(w http.ResponseWriter, _ *http.Request) {
	build := map[string]any{"program": a.name, "version": a.version}
	if info, ok := debug.ReadBuildInfo(); ok {
		settings := map[string]string{}
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
		build["go"], build["module"], build["settings"] = info.GoVersion, info.Main.Path, settings
	}
	w.Header().Set("Content-Type", "application/json")
	// The client went away; there is nobody to tell.
	_ = json.NewEncoder(w).Encode(build)
}

func (a *App) setLogLevel(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 16))
	if err == nil {
		err = a.level.UnmarshalText(text)
	}
	if err != nil {
		refuse(w, r, fault.NewInvalid("level", "must be one of debug, info, warn, error"))
		return
	}
	fmt.Fprintln(w, a.level.Level())
}
