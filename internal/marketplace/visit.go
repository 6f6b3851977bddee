package marketplace

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/a-h/templ"
	"github.com/klauspost/compress/gzip"

	"github.com/octavo-books/octavo/fault"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/marketplace/session"
	"github.com/octavo-books/octavo/internal/marketplace/view"
)

const (
	cookieName   = "octavo_session"   // what the visit is about, signed
	tokenName    = "octavo_account"   // the token of who signed in
	maxToken     = 100                // bytes
	cookieMaxAge = 180 * 24 * 60 * 60 // seconds
	maxForm      = 8 << 10            // bytes
	// catchUp is after how long every service surely knows a click.
	catchUp = 5 * time.Minute
)

// visit is one request for a page.
type visit struct {
	shop    *shop
	w       http.ResponseWriter
	r       *http.Request
	session session.Session
	saved   string             // the session as it came
	account *readersv1.Account // of who signed in, nil for everybody else
	token   string             // of the account's session
	// tokenChanged says that the browser has another token than this.
	tokenChanged bool
	unsure       bool // whose the token is; the cookies stay as they are
	notices      []string
	lacks        atomic.Bool // a service
}

// page turns a function that returns errors into a handler. It is the one
// place where errors become pages.
func (s *shop) page(kind string, show func(*visit) error) http.Handler {
	whole, degraded := s.metrics.count(kind)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{shop: s, w: w, r: r}
		v.recall()
		if v.unsure && r.Method != http.MethodGet && r.Method != http.MethodHead {
			v.fail(fault.New(fault.Unavailable, "A part of the shop does not answer just now, so nothing was changed. Please try again in a moment."))
		} else if err := show(v); err != nil {
			v.fail(err)
		}
		if v.lacks.Load() {
			degraded.Inc()
		} else {
			whole.Inc()
		}
	})
}

// ask is a context for calls that a page can do without.
func (v *visit) ask() (context.Context, context.CancelFunc) {
	return context.WithTimeout(v.r.Context(), v.shop.Patience)
}

// write is a context for a change that the visitor asked for.
func (v *visit) write() (context.Context, context.CancelFunc) {
	return context.WithTimeout(v.r.Context(), writePatience)
}

// missing records that a page has to do without a service. It may be called
// from several goroutines.
func (v *visit) missing(service string, err error) {
	log := v.shop.Log.With("service", service, "path", v.r.URL.Path, "error", err)
	if v.r.Context().Err() != nil {
		log.DebugContext(v.r.Context(), "page without a service") // the visitor went away
		return
	}
	v.lacks.Store(true)
	v.shop.metrics.without.WithLabelValues(service).Inc()
	if pages, tell := v.shop.outages.tell(service, time.Now()); tell {
		log.WarnContext(v.r.Context(), "page without a service", "pages", pages)
	} else {
		log.DebugContext(v.r.Context(), "page without a service")
	}
}

func (v *visit) notice(text string) {
	if !slices.Contains(v.notices, text) {
		v.notices = append(v.notices, text)
	}
}

// frame is what the page has around its content.
func (v *visit) frame(title, description string) view.Frame {
	return view.Frame{
		Title:       title,
		Description: description,
		Stylesheet:  v.shop.assets.stylesheet,
		Icon:        v.shop.assets.icon,
		Reader:      v.readerName(),
		Account:     v.account.GetName(),
		Demo:        v.shop.demoKnownOpen(),
		Path:        v.r.URL.Path,
		Categories:  v.shop.categories.all,
		Notices:     v.notices,
		Version:     v.shop.Version,
	}
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

var zippers = sync.Pool{New: func() any {
	// Speed over size: pages are sent once, and another level costs twice the
	// time for a seventh of the bytes. The library takes less than half the time
	// of compress/gzip for the same bytes (BenchmarkCompression).
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	return z
}}

// show sends a page.
func (v *visit) show(status int, page templ.Component) error {
	body := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(body)
	body.Reset()
	if err := page.Render(v.r.Context(), body); err != nil {
		return err
	}
	v.saveSession()
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	// Each page is about its visitor and about this moment: going back must
	// ask again, or an old form would be sent a second time.
	h.Set("Cache-Control", "private, no-store")
	h.Add("Vary", "Accept-Encoding, Cookie")
	out := body
	if acceptsGzip(v.r) {
		out = buffers.Get().(*bytes.Buffer)
		defer buffers.Put(out)
		out.Reset()
		z := zippers.Get().(*gzip.Writer)
		defer zippers.Put(z)
		z.Reset(out)
		// Writing to memory does not fail.
		_, _ = z.Write(body.Bytes())
		_ = z.Close()
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(out.Len()))
	v.w.WriteHeader(status)
	_, _ = v.w.Write(out.Bytes()) // the visitor may have gone
	return nil
}

func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, quality, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(name, "gzip") {
			q := strings.TrimPrefix(strings.TrimSpace(quality), "q=")
			weight, err := strconv.ParseFloat(q, 64)
			return err != nil || weight > 0
		}
	}
	return false
}

// redirect answers a form with the address of the page to see next.
func (v *visit) redirect(path string) error {
	v.saveSession()
	v.w.Header().Set("Cache-Control", "private, no-store")
	http.Redirect(v.w, v.r, path, http.StatusSeeOther)
	return nil
}

func (v *visit) saveSession() {
	if v.unsure {
		return
	}
	if v.tokenChanged {
		v.tokenChanged = false
		v.setCookie(tokenName, v.token, cookieMaxAge)
	}
	value := v.shop.sessions.Encode(v.session)
	if value == v.saved || v.saved == "" && v.session.Reader == 0 && len(v.session.Recent) == 0 {
		return
	}
	v.saved = value
	v.setCookie(cookieName, value, cookieMaxAge)
}

// setCookie has the browser keep a value for an age in seconds, or forget it
// when it is empty.
func (v *visit) setCookie(name, value string, age int) {
	if value == "" {
		age = -1
	}
	http.SetCookie(v.w, &http.Cookie{
		Name:     v.cookie(name),
		Value:    value,
		Path:     "/",
		MaxAge:   age,
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
		Secure:   v.secure(),
	})
}

// cookie is the full name of a cookie. Over TLS it has the prefix that keeps
// other hosts of the domain from setting it (ASVS 5.0, 3.3.3).
func (v *visit) cookie(name string) string {
	if v.secure() {
		return "__Host-" + name
	}
	return name
}

// secure is whether the visitor came over TLS. A proxy that ends TLS says so;
// who lies about it only loses the own cookie.
func (v *visit) secure() bool {
	return v.r.TLS != nil || v.r.Header.Get("X-Forwarded-Proto") == "https"
}

// fail answers with an error, in plain words and with the way out. What is not
// meant for visitors goes to the log.
func (v *visit) fail(err error) {
	problem := fault.Respond(v.w, v.r, inWords(err), v.w.Header().Get("X-Request-Id"), func(p fault.Problem) error {
		page := view.Problem{Status: p.Status, Heading: p.Title, Text: p.Detail}
		switch p.Kind {
		case fault.Invalid:
			page.Heading = "That did not make sense"
		case fault.Internal:
			page.Text = "The fault is the shop's, not yours. It has been noted; please try again in a moment."
			page.Request = p.RequestID
		}
		page.Frame = v.frame(page.Heading, "")
		return v.show(p.Status, view.ProblemPage(page))
	})
	v.shop.logProblem(v.r, problem, err)
}

func (s *shop) logProblem(r *http.Request, problem fault.Problem, err error) {
	level := slog.LevelInfo
	switch {
	case problem.Status == http.StatusServiceUnavailable || problem.Status == http.StatusGatewayTimeout:
		level = slog.LevelDebug
		if _, tell := s.outages.tell("problem", time.Now()); tell {
			level = slog.LevelWarn
		}
	case problem.Status >= http.StatusInternalServerError:
		level = slog.LevelError
	}
	s.Log.Log(r.Context(), level, "problem", "method", r.Method, "path", r.URL.Path, "status", problem.Status, "error", err)
}

// inWords gives what another service answered the words of the shop. Errors
// that have their own keep them.
func inWords(err error) error {
	if own := new(fault.Error); errors.As(err, &own) && !own.Answered() {
		return err
	}
	switch kind := fault.KindOf(err); kind {
	case fault.NotFound:
		return fault.Wrap(kind, err, "There is nothing to show here.")
	case fault.Exhausted:
		return fault.Wrap(kind, err, "The shop is very busy. Please try again in a moment.")
	case fault.TooLarge:
		return fault.Wrap(kind, err, "What was sent is larger than the shop takes. Send less at once.")
	case fault.Unavailable, fault.DeadlineExceeded, fault.Unimplemented:
		return fault.Wrap(kind, err, "A part of the shop does not answer just now. Nothing is lost; please try again in a moment.")
	default:
		return err
	}
}

// form reads a posted form.
func (v *visit) form() error {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
	err := v.r.ParseForm()
	if err != nil && fault.KindOf(err) == fault.TooLarge {
		return err
	}
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "The form could not be read. Open the page again and try once more.")
	}
	return nil
}
