// Package tracing records the spans of the requests a process handles and
// exports those worth looking at to an OpenTelemetry collector, by OTLP.
//
// A span costs two random numbers and no allocation of its own as long as it is
// not exported. What is exported is decided twice: at the beginning of a trace
// for a share of all (head sampling; the decision travels with the calls), and
// at the end of a request for whatever failed or was slow, with all that this
// process did for it. It never delays a request: what the collector does not
// take in time is dropped and counted. It reads no environment and installs
// nothing global.
package tracing

import (
	"encoding/binary"
	"math"
	"sync"
	"time"
)

// Tracer makes spans. The zero value makes ids that calls and logs can carry,
// and exports nothing.
type Tracer struct {
	exporter  *exporter
	threshold uint64 // traces whose id is below are sampled
	slow      time.Duration
}

// Kind is which side of which protocol a span describes.
type Kind uint8

// The kinds there are.
const (
	GRPCServer Kind = iota
	GRPCClient
	HTTPServer
)

// maxHeld is how many spans a request holds until it is known whether they are
// exported.
const maxHeld = 64

// record is what is exported of a span.
type record struct {
	Context
	Details
	parent SpanID
	kind   Kind
	name   string
	began  time.Time
	took   time.Duration
}

// Details are what is known about a request when it is over.
type Details struct {
	// Code is the gRPC code or the HTTP status.
	Code int
	// Failed is whether the request is worth exporting for how it ended.
	Failed bool
	// Endless is whether it says nothing that the request took long, as with a
	// stream that lasts as long as its client wants.
	Endless bool
	// Message is the error, empty for none.
	Message   string
	RequestID string
	// Peer is the address called or the client's.
	Peer string
	// Method, Route and Path are of HTTP.
	Method, Route, Path string
}

// Span is one request that is being handled, or one call that is being made on
// its behalf. It must not be copied once it began.
type Span struct {
	record
	tracer *Tracer
	root   *Span // of this process

	mu   sync.Mutex
	keep bool     // this process's part of the trace is exported
	over bool     // ended
	held []record // of calls that ended before it was known
	lost int      // how many more there were
}

// Start begins a span that has no parent in this process. Without a remote
// parent it begins a trace, and decides whether that is sampled.
func (t *Tracer) Start(s *Span, kind Kind, name string, remote Context, began time.Time) {
	s.tracer, s.root, s.kind, s.name, s.began = t, s, kind, name, began
	if remote.Trace == (TraceID{}) {
		s.Trace = newTraceID()
		s.Sampled = t.exporter != nil && sampled(s.Trace, t.threshold)
	} else {
		s.Context, s.parent = remote, remote.Span
	}
	s.Span = newSpanID()
}

// StartChild begins a span of what s causes; s may have ended.
func (s *Span) StartChild(child *Span, kind Kind, name string, began time.Time) {
	child.tracer, child.root, child.kind, child.name, child.began = s.tracer, s.root, kind, name, began
	child.Context, child.parent = s.Context, s.Span
	child.Span = newSpanID()
}

// sampled is OpenTelemetry's TraceIdRatioBased: whoever samples at the same
// ratio comes to the same result for a trace.
func sampled(id TraceID, threshold uint64) bool {
	return binary.BigEndian.Uint64(id[8:])>>1 < threshold
}

// threshold is the limit of ids for a ratio from 0 to 1.
func threshold(ratio float64) uint64 {
	return uint64(min(max(ratio, 0), 1) * (math.MaxInt64 + 1))
}

func put(into []byte, n uint64) { binary.BigEndian.PutUint64(into, n) }

// Kept is whether a span that ended like this would be exported: its trace is
// sampled, or something in it has failed or was slow.
func (s *Span) Kept(took time.Duration, failed, endless bool) bool {
	if s.tracer.exporter == nil {
		return false
	}
	if s.Sampled || s.tracer.notable(took, failed, endless) {
		return true
	}
	s.root.mu.Lock()
	defer s.root.mu.Unlock()
	return s.root.keep
}

func (t *Tracer) notable(took time.Duration, failed, endless bool) bool {
	return failed || took >= t.slow && !endless
}

// End is called once, when the request is over. It does not wait for anything.
func (s *Span) End(took time.Duration, d Details) {
	if s.tracer.exporter == nil {
		return
	}
	s.took, s.Details = took, d
	root := s.root
	root.mu.Lock()
	defer root.mu.Unlock()
	if s == root {
		root.over = true
	}
	keep := s.Sampled || s.tracer.notable(took, d.Failed, d.Endless)
	switch {
	case keep || root.keep:
		root.keep = true
		s.tracer.exporter.add(append(root.held, s.record), root.lost)
		root.held, root.lost = nil, 0
	case root.over:
		root.held = nil
	case len(root.held) < maxHeld:
		root.held = append(root.held, s.record)
	default:
		root.lost++
	}
}
