// Package fault is the one model of what can go wrong between a user and a
// service. Every error that is meant to be told to somebody has a Kind; a Kind
// has one gRPC code, one HTTP status and one reason that programs can rely on,
// and they are named here and nowhere else. An error crosses gRPC as a status
// with rich details, out of which FromStatus makes the same error again, and
// goes to HTTP clients as a page or as problem details.
//
// It never logs and never decides what to do about an error.
package fault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Kind says whose fault it is and whether trying again can help.
type Kind int

// The kinds. An error that has none is Internal.
const (
	Internal         Kind = iota // a bug or a broken machine; the text stays in the log
	Invalid                      // the request is wrong, whatever the state
	NotFound                     // what the request names does not exist
	Conflict                     // the request does not fit the present state
	Unauthenticated              // nobody has signed in
	Denied                       // somebody has, who may not do this
	Exhausted                    // too much or too often; trying again later can help
	TooLarge                     // more than is ever taken at once
	Unavailable                  // a part is down for now; trying again can help
	DeadlineExceeded             // it took longer than the caller allowed
	Canceled                     // the caller went away
	Unimplemented                // there is no such method
)

// kinds is in the order of the constants. Of two kinds with one code, the first
// is what a status without a reason means.
var kinds = [...]struct {
	name   string
	code   codes.Code
	http   int
	reason string
	title  string
}{
	Internal:         {"internal", codes.Internal, http.StatusInternalServerError, "INTERNAL", "Something broke"},
	Invalid:          {"invalid", codes.InvalidArgument, http.StatusBadRequest, "INVALID", "The request is wrong"},
	NotFound:         {"not found", codes.NotFound, http.StatusNotFound, "NOT_FOUND", "Not found"},
	Conflict:         {"conflict", codes.FailedPrecondition, http.StatusConflict, "CONFLICT", "The request does not fit the present state"},
	Unauthenticated:  {"unauthenticated", codes.Unauthenticated, http.StatusUnauthorized, "UNAUTHENTICATED", "Not signed in"},
	Denied:           {"denied", codes.PermissionDenied, http.StatusForbidden, "DENIED", "Not allowed"},
	Exhausted:        {"exhausted", codes.ResourceExhausted, http.StatusTooManyRequests, "EXHAUSTED", "Too much at once"},
	TooLarge:         {"too large", codes.ResourceExhausted, http.StatusRequestEntityTooLarge, "TOO_LARGE", "Too large"},
	Unavailable:      {"unavailable", codes.Unavailable, http.StatusServiceUnavailable, "UNAVAILABLE", "Just a moment"},
	DeadlineExceeded: {"deadline exceeded", codes.DeadlineExceeded, http.StatusGatewayTimeout, "DEADLINE_EXCEEDED", "It took too long"},
	Canceled:         {"canceled", codes.Canceled, 499, "CANCELED", "The request was given up"},
	Unimplemented:    {"unimplemented", codes.Unimplemented, http.StatusNotImplemented, "UNIMPLEMENTED", "There is no such method"},
}

// Kinds are all kinds, in the order of the constants.
func Kinds() []Kind {
	all := make([]Kind, len(kinds))
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// String is the kind in lower-case words.
func (k Kind) String() string { return kinds[k].name }

// Code is the gRPC code of the kind.
func (k Kind) Code() codes.Code { return kinds[k].code }

// HTTPStatus is the HTTP status of the kind.
func (k Kind) HTTPStatus() int { return kinds[k].http }

// Reason is the kind's name in the details of a status, for programs. It never
// changes.
func (k Kind) Reason() string { return kinds[k].reason }

// Title is what the kind is called before people.
func (k Kind) Title() string { return kinds[k].title }

// Error is an error whose Message may be shown to whoever asked.
type Error struct {
	Kind       Kind
	Message    string        // plain words, with the way out where there is one
	Fields     []Violation   // the fields at fault, for Invalid; may be empty
	RetryAfter time.Duration // the earliest time to try again; 0 when nobody knows
	RequestID  string        // of the call that failed, in an answer of another service
	Cause      error         // for the log only; may be nil

	// answer is what another service sent, in an error made by FromStatus.
	answer *status.Status
}

// Violation is one field of a request and what is wrong with it.
type Violation struct {
	Field   string // its path in the request, such as books[3].title
	Message string // plain words
	Rule    string // the rule of the contract that was broken, for programs; may be empty
}

// Error is the message, then the cause. Of another service's answer it is the
// text of the status.
func (e *Error) Error() string {
	if e.answer != nil {
		return e.answer.Err().Error()
	}
	text := e.text()
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// text is the message with the fields it is about.
func (e *Error) text() string {
	if e.Message != "" && len(e.Fields) != 1 {
		return e.Message
	}
	var parts []string
	for _, v := range e.Fields {
		text := v.Message
		if v.Field != "" {
			text = v.Field + ": " + text
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Answered is whether the error is what another service answered. Its text is
// then about a request of ours, and not for our own caller.
func (e *Error) Answered() bool { return e.answer != nil }

// New makes an error of a kind. The formatted text is shown to users.
func New(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// NewInvalid makes an Invalid error that names the field at fault.
func NewInvalid(field, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	return &Error{Kind: Invalid, Message: text, Fields: []Violation{{Field: field, Message: text}}}
}

// Wrap gives a cause a kind and a text for users; the cause is for the log.
func Wrap(kind Kind, cause error, format string, args ...any) error {
	return &Error{Kind: kind, Cause: cause, Message: fmt.Sprintf(format, args...)}
}

// KindOf finds the kind of any error: one of this package, a gRPC status from
// another service, a context's end, or a request's body that is too large.
// Everything else is Internal.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return DeadlineExceeded
	}
	if errors.Is(err, context.Canceled) {
		return Canceled
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return TooLarge
	}
	if s, ok := status.FromError(err); ok {
		return kindOfCode(s.Code())
	}
	return Internal
}

func kindOfCode(code codes.Code) Kind {
	for k := range kinds {
		if kinds[k].code == code {
			return Kind(k)
		}
	}
	return Internal
}

// Message is the text of err that may be shown to a user. It is empty for
// Internal errors, whose text is for the log only.
func Message(err error) string {
	if KindOf(err) == Internal {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Message
	}
	var answered interface{ GRPCStatus() *status.Status }
	if errors.As(err, &answered) {
		return answered.GRPCStatus().Message()
	}
	return err.Error()
}
