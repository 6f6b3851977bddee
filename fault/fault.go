// Package fault is the one model of what can go wrong between a user and a
// service. Every error that is meant to be told to somebody has a Kind; a Kind
// has one gRPC code and one HTTP status, and they are named here and nowhere
// else.
//
// It never logs and never decides what to do about an error.
package fault

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
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
	Exhausted                    // too much, too large or too often
	Unavailable                  // a part is down for now; trying again can help
	DeadlineExceeded             // it took longer than the caller allowed
	Canceled                     // the caller went away
	Unimplemented                // there is no such method
)

var kinds = map[Kind]struct {
	name string
	code codes.Code
	http int
}{
	Internal:         {"internal", codes.Internal, http.StatusInternalServerError},
	Invalid:          {"invalid", codes.InvalidArgument, http.StatusBadRequest},
	NotFound:         {"not found", codes.NotFound, http.StatusNotFound},
	Conflict:         {"conflict", codes.FailedPrecondition, http.StatusConflict},
	Unauthenticated:  {"unauthenticated", codes.Unauthenticated, http.StatusUnauthorized},
	Denied:           {"denied", codes.PermissionDenied, http.StatusForbidden},
	Exhausted:        {"exhausted", codes.ResourceExhausted, http.StatusTooManyRequests},
	Unavailable:      {"unavailable", codes.Unavailable, http.StatusServiceUnavailable},
	DeadlineExceeded: {"deadline exceeded", codes.DeadlineExceeded, http.StatusGatewayTimeout},
	Canceled:         {"canceled", codes.Canceled, 499},
	Unimplemented:    {"unimplemented", codes.Unimplemented, http.StatusNotImplemented},
}

// String is the kind in lower-case words.
func (k Kind) String() string { return kinds[k].name }

// Code is the gRPC code of the kind.
func (k Kind) Code() codes.Code { return kinds[k].code }

// HTTPStatus is the HTTP status of the kind.
func (k Kind) HTTPStatus() int { return kinds[k].http }

// Error is an error whose Message may be shown to whoever asked.
type Error struct {
	Kind    Kind
	Message string // plain words, with the way out where there is one
	Field   string // the request field at fault, for Invalid; may be empty
	Cause   error  // for the log only; may be nil
}

// Error is the message, then the cause.
func (e *Error) Error() string {
	msg := e.Message
	if e.Field != "" {
		msg = e.Field + ": " + msg
	}
	if e.Cause != nil {
		msg += ": " + e.Cause.Error()
	}
	return msg
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Cause }

// New makes an error of a kind. The formatted text is shown to users.
func New(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// NewInvalid makes an Invalid error that names the field at fault.
func NewInvalid(field, format string, args ...any) error {
	return &Error{Kind: Invalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

// Wrap gives a cause a kind and a text for users; the cause is for the log.
func Wrap(kind Kind, cause error, format string, args ...any) error {
	return &Error{Kind: kind, Cause: cause, Message: fmt.Sprintf(format, args...)}
}

// KindOf finds the kind of any error: one of this package, a gRPC status from
// another service, or a context's end. Everything else is Internal.
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
	if s, ok := status.FromError(err); ok {
		for k, v := range kinds {
			if v.code == s.Code() {
				return k
			}
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

// Status is err as it goes over the wire. An Internal error becomes a generic
// text with the request id, by which the log can be searched; its own text
// stays here. So does the text of what another service answered, unless it was
// passed on on purpose, as it is: where that service is, or which of its
// fields we got wrong, is for the log.
func Status(err error, requestID string) *status.Status {
	if passedOn, ok := err.(interface{ GRPCStatus() *status.Status }); ok && KindOf(err) != Internal {
		return passedOn.GRPCStatus()
	}
	var e *Error
	if errors.As(err, &e) {
		return e.status(requestID)
	}
	switch kind := KindOf(err); kind {
	case Unavailable, Exhausted:
		return status.New(codes.Unavailable, "a service this one depends on does not answer; try again")
	case DeadlineExceeded:
		return status.New(codes.DeadlineExceeded, "it took longer than the call allowed")
	case Canceled:
		return status.New(codes.Canceled, "the call was given up")
	default:
		return internal(requestID)
	}
}

func (e *Error) status(requestID string) *status.Status {
	if e.Kind == Internal {
		return internal(requestID)
	}
	if e.Field == "" {
		return status.New(e.Kind.Code(), e.Message)
	}
	s := status.New(e.Kind.Code(), e.Field+": "+e.Message)
	detailed, err := s.WithDetails(&errdetails.BadRequest{
		FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: e.Field, Description: e.Message}},
	})
	if err != nil {
		return s
	}
	return detailed
}

func internal(requestID string) *status.Status {
	return status.Newf(codes.Internal, "internal error, request id %s", requestID)
}
