package chassis

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/octavo-books/octavo/chassis/tracing"
)

func TestTextLog(t *testing.T) {
	var out bytes.Buffer
	log, _, err := newLogger("test", Flags{LogFormat: "text", LogLevel: "info"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	span := &tracing.Span{}
	span.Trace, span.Span = tracing.TraceID{15: 1}, tracing.SpanID{7: 2}
	ctx := &requestContext{context.Background(), "0123456789abcdef", span}
	for _, test := range []struct {
		name string
		log  func()
		want string // after the time
	}{
		{"plain", func() { log.Info("ready", "server", "catalog", "books", 25) }, "INFO  ready server=catalog books=25\n"},
		{"below the level", func() { log.Debug("hidden") }, ""},
		{"with the ids of request, trace and span", func() { log.WarnContext(ctx, "slow") }, "WARN  slow request_id=0123456789abcdef trace_id=00000000000000000000000000000001 span_id=0000000000000002\n"},
		{"words are quoted", func() { log.Error("failed", "error", errors.New("no such book")) }, `ERROR failed error="no such book"` + "\n"},
		{"empty is visible", func() { log.Info("x", "title", "") }, `INFO  x title=""` + "\n"},
		{"groups and With", func() {
			log.With("a", 1).WithGroup("g").With("b", 2).Info("x", slog.Group("h", "c", 3))
		}, "INFO  x a=1 g.b=2 g.h.c=3\n"},
		{"no second record by a line break", func() { log.Info("one\nINFO two", "title", "a\x1b[2Jb") }, `INFO  one\nINFO two title=a\x1b[2Jb` + "\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out.Reset()
			test.log()
			_, got, _ := strings.Cut(out.String(), " ")
			if got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

func TestColour(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(&textHandler{out: &lockedWriter{w: &out}, level: slog.LevelInfo, colour: true})
	log.Error("failed", "k", "v")
	if !strings.Contains(out.String(), red+"ERROR"+reset+" failed "+faint+"k="+reset+"v\n") {
		t.Errorf("got %q", out.String())
	}
}

func TestLogFlags(t *testing.T) {
	for _, test := range []struct {
		name  string
		flags Flags
		want  string // of the error; empty for none
	}{
		{"zero", Flags{}, ""},
		{"all", Flags{LogLevel: "warn", LogFormat: "json"}, ""},
		{"level", Flags{LogLevel: "loud"}, `log level "loud" is none of debug, info, warn, error`},
		{"format", Flags{LogFormat: "xml"}, `log format "xml" is none of auto, text, json`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := newLogger("test", test.flags, &bytes.Buffer{})
			if got := errorText(err); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestAutoIsJSONWhereThereIsNoTerminal(t *testing.T) {
	var out bytes.Buffer
	log, _, err := newLogger("test", Flags{LogFormat: "auto"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	log.Info("hello")
	if !strings.HasPrefix(out.String(), `{"time":`) {
		t.Errorf("got %q", out.String())
	}
}
