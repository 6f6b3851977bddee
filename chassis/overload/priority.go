package overload

import "context"

// Priority says who waits for an answer.
type Priority uint8

// The priorities, most important first.
const (
	Interactive Priority = iota // somebody looks at an unfinished page
	Background                  // a batch, an import, a prefetch: it can come again later
	priorities
)

// MetadataKey is the key of gRPC metadata that carries the priority of the
// request at the root of a chain of calls from hop to hop. Its values are
// the names of the priorities.
const MetadataKey = "x-priority"

// String is the priority's name on the wire and in metrics.
func (p Priority) String() string {
	if p == Background {
		return "background"
	}
	return "interactive"
}

// ParsePriority finds a priority by its name.
func ParsePriority(name string) (Priority, bool) {
	switch name {
	case "interactive":
		return Interactive, true
	case "background":
		return Background, true
	default:
		return Interactive, false
	}
}

type priorityKey struct{}

// WithPriority gives everything done in a context a priority. It is for the
// roots of chains of calls: a page, a job.
func WithPriority(ctx context.Context, p Priority) context.Context {
	return context.WithValue(ctx, priorityKey{}, p)
}

// PriorityOf is what WithPriority gave, if anything.
func PriorityOf(ctx context.Context) (Priority, bool) {
	p, ok := ctx.Value(priorityKey{}).(Priority)
	return p, ok
}
