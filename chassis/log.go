package chassis

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/term"
)

// newLogger makes the process's log and the variable that holds its level.
func newLogger(name string, f Flags, w io.Writer) (*slog.Logger, *slog.LevelVar, error) {
	level := new(slog.LevelVar)
	if f.LogLevel != "" {
		if err := level.UnmarshalText([]byte(f.LogLevel)); err != nil {
			return nil, nil, fmt.Errorf("log level %q is none of debug, info, warn, error", f.LogLevel)
		}
	}
	terminal := false
	if file, ok := w.(*os.File); ok {
		terminal = term.IsTerminal(int(file.Fd()))
	}
	var handler slog.Handler
	switch format := f.LogFormat; {
	case format == "json" || (format == "auto" || format == "") && !terminal:
		handler = slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}).
			WithAttrs([]slog.Attr{slog.String("program", name)})
	case format == "text" || format == "auto" || format == "":
		handler = &textHandler{out: &lockedWriter{w: w}, level: level, colour: terminal && f.NoColor == ""}
	default:
		return nil, nil, fmt.Errorf("log format %q is none of auto, text, json", format)
	}
	return slog.New(requestHandler{handler}), level, nil
}

// requestHandler adds the ids of the request, its trace and its span to every
// record that is logged with the context of a request.
type requestHandler struct{ slog.Handler }

func (h requestHandler) Handle(ctx context.Context, r slog.Record) error {
	if request, ok := ctx.Value(requestValue{}).(*requestContext); ok {
		r = r.Clone()
		r.AddAttrs(
			slog.String("request_id", request.id),
			slog.String("trace_id", request.span.Trace.String()),
			slog.String("span_id", request.span.Span.String()),
		)
	}
	return h.Handler.Handle(ctx, r)
}

func (h requestHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return requestHandler{h.Handler.WithAttrs(attrs)}
}

func (h requestHandler) WithGroup(name string) slog.Handler {
	return requestHandler{h.Handler.WithGroup(name)}
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// textHandler writes records for people: time, level, message, then the
// attributes as key=value.
type textHandler struct {
	out    *lockedWriter
	level  slog.Leveler
	colour bool
	prefix string // of keys: the open groups
	attrs  []byte // of With, ready to write
}

func (h *textHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

func (h *textHandler) Handle(_ context.Context, r slog.Record) error {
	var b bytes.Buffer
	if !r.Time.IsZero() {
		h.paint(&b, faint, r.Time.Format("15:04:05.000"))
		b.WriteByte(' ')
	}
	h.paint(&b, levelColour(r.Level), fmt.Sprintf("%-5s", r.Level))
	b.WriteByte(' ')
	b.WriteString(printable(r.Message))
	b.Write(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		h.attr(&b, h.prefix, a)
		return true
	})
	b.WriteByte('\n')
	_, err := h.out.Write(b.Bytes())
	return err
}

func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	b := bytes.NewBuffer(bytes.Clone(h.attrs))
	for _, a := range attrs {
		h.attr(b, h.prefix, a)
	}
	with := *h
	with.attrs = b.Bytes()
	return &with
}

func (h *textHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	with := *h
	with.prefix += name + "."
	return &with
}

func (h *textHandler) attr(b *bytes.Buffer, prefix string, a slog.Attr) {
	value := a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return
	}
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range value.Group() {
			h.attr(b, prefix, member)
		}
		return
	}
	b.WriteByte(' ')
	h.paint(b, faint, printable(prefix+a.Key)+"=")
	text := value.String()
	if value.Kind() == slog.KindTime {
		text = value.Time().Format(time.RFC3339)
	}
	if text == "" || strings.ContainsAny(text, " \"=") {
		text = strconv.Quote(text)
	}
	b.WriteString(printable(text))
}

const (
	faint  = "\x1b[2m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	green  = "\x1b[32m"
	reset  = "\x1b[0m"
)

func levelColour(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return red
	case level >= slog.LevelWarn:
		return yellow
	case level >= slog.LevelInfo:
		return green
	default:
		return faint
	}
}

func (h *textHandler) paint(b *bytes.Buffer, colour, text string) {
	if !h.colour {
		b.WriteString(text)
		return
	}
	b.WriteString(colour)
	b.WriteString(text)
	b.WriteString(reset)
}

// printable escapes what could forge a second record or command a terminal.
func printable(text string) string {
	for _, r := range text {
		if !unicode.IsPrint(r) {
			quoted := strconv.Quote(text)
			return quoted[1 : len(quoted)-1]
		}
	}
	return text
}
