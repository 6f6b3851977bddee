package tracing

import (
	"context"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

func TestParse(t *testing.T) {
	const trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for _, test := range []struct {
		name, parent   string
		valid, sampled bool
	}{
		{"sampled", "00-" + trace + "-" + span + "-01", true, true},
		{"not sampled", "00-" + trace + "-" + span + "-00", true, false},
		{"random flag too", "00-" + trace + "-" + span + "-03", true, true},
		{"a later version", "cc-" + trace + "-" + span + "-01-what the future will be like", true, true},
		{"a later version of the same length", "cc-" + trace + "-" + span + "-01", true, true},
		{"nothing", "", false, false},
		{"version 0 is no longer", "00-" + trace + "-" + span + "-01-", false, false},
		{"a later version goes on with a dash", "cc-" + trace + "-" + span + "-01.", false, false},
		{"version ff", "ff-" + trace + "-" + span + "-01", false, false},
		{"upper case", "00-" + strings.ToUpper(trace) + "-" + span + "-01", false, false},
		{"no hexadecimal", "00-" + trace[:31] + "g-" + span + "-01", false, false},
		{"no trace", "00-" + strings.Repeat("0", 32) + "-" + span + "-01", false, false},
		{"no span", "00-" + trace + "-" + strings.Repeat("0", 16) + "-01", false, false},
		{"no dashes", "00." + trace + "." + span + ".01", false, false},
		{"too short", "00-" + trace + "-" + span + "-0", false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Parse(test.parent, "vendor=1")
			if valid := c != (Context{}); valid != test.valid || c.Sampled != test.sampled {
				t.Fatalf("got %+v", c)
			}
			if test.valid && (c.Trace.String() != trace || c.Span.String() != span || c.State != "vendor=1") {
				t.Errorf("got %+v", c)
			}
		})
	}
	if c := Parse("00-"+trace+"-"+span+"-01", strings.Repeat("x", maxState+1)); c.State != "" || c.Span.String() != span {
		t.Errorf("an endless tracestate is not left out: %+v", c)
	}
}

// FuzzParse: what is accepted is what OpenTelemetry accepts, and is sent on as
// it came.
func FuzzParse(f *testing.F) {
	f.Add("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	f.Add("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-x")
	f.Fuzz(func(t *testing.T, parent string) {
		c := Parse(parent, "")
		theirs := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{ParentHeader: parent}))
		if theirs.IsValid() && (c.Trace != TraceID(theirs.TraceID()) || c.Span != SpanID(theirs.SpanID()) || c.Sampled != theirs.IsSampled()) {
			t.Errorf("%q is %+v, OpenTelemetry has %+v", parent, c, theirs)
		}
		if c == (Context{}) {
			return
		}
		if again := Parse(c.Parent(), ""); again != c {
			t.Errorf("%q is %+v and then %+v", parent, c, again)
		}
	})
}
