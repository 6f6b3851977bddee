package fault_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/octavo-books/octavo/fault"
)

// TestKinds fixes what each kind is to a gRPC and to an HTTP client.
func TestKinds(t *testing.T) {
	for _, test := range []struct {
		kind fault.Kind
		name string
		code codes.Code
		http int
	}{
		{fault.Internal, "internal", codes.Internal, http.StatusInternalServerError},
		{fault.Invalid, "invalid", codes.InvalidArgument, http.StatusBadRequest},
		{fault.NotFound, "not found", codes.NotFound, http.StatusNotFound},
		{fault.Conflict, "conflict", codes.FailedPrecondition, http.StatusConflict},
		{fault.Unauthenticated, "unauthenticated", codes.Unauthenticated, http.StatusUnauthorized},
		{fault.Denied, "denied", codes.PermissionDenied, http.StatusForbidden},
		{fault.Exhausted, "exhausted", codes.ResourceExhausted, http.StatusTooManyRequests},
		{fault.TooLarge, "too large", codes.ResourceExhausted, http.StatusRequestEntityTooLarge},
		{fault.Unavailable, "unavailable", codes.Unavailable, http.StatusServiceUnavailable},
		{fault.DeadlineExceeded, "deadline exceeded", codes.DeadlineExceeded, http.StatusGatewayTimeout},
		{fault.Canceled, "canceled", codes.Canceled, 499},
		{fault.Unimplemented, "unimplemented", codes.Unimplemented, http.StatusNotImplemented},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.kind.String() != test.name || test.kind.Code() != test.code || test.kind.HTTPStatus() != test.http {
				t.Errorf("got %q, %v, %d", test.kind, test.kind.Code(), test.kind.HTTPStatus())
			}
			// TooLarge shares its code with Exhausted; the reason tells them apart.
			if got := fault.KindOf(status.Error(test.code, "from another service")); got != test.kind && test.kind != fault.TooLarge {
				t.Errorf("a status with its code is %v", got)
			}
			if got := fault.KindOf(fmt.Errorf("open: %w", fault.New(test.kind, "x"))); got != test.kind {
				t.Errorf("one that is wrapped is %v", got)
			}
		})
	}
}

// TestWhoLearnsWhat: the same error as a kind, as text for a page, as a status
// on the wire, and in full for the log.
func TestWhoLearnsWhat(t *testing.T) {
	secret := errors.New("password is hunter2")
	const generic = "internal error, request id r-1"
	for _, test := range []struct {
		name    string
		err     error
		kind    fault.Kind
		message string
		wire    string
		full    string
	}{
		{"one of a kind", fault.New(fault.NotFound, "no book %d", 7), fault.NotFound, "no book 7", "no book 7", "no book 7"},
		{"one that names a field", fault.NewInvalid("limit", "must not be negative"), fault.Invalid, "must not be negative", "limit: must not be negative", "limit: must not be negative"},
		{"one with a cause", fault.Wrap(fault.Unavailable, secret, "try again"), fault.Unavailable, "try again", "try again", "try again: password is hunter2"},
		{"a wrapped one", fmt.Errorf("shelve: %w", fault.New(fault.Conflict, "already there")), fault.Conflict, "already there", "already there", "shelve: already there"},
		{"an internal one", fault.Wrap(fault.Internal, secret, "disk"), fault.Internal, "", generic, "disk: password is hunter2"},
		{"one of no kind", secret, fault.Internal, "", generic, "password is hunter2"},
		{"a status from another service", status.Error(codes.NotFound, "no such reader"), fault.NotFound, "no such reader", "no such reader", "rpc error: code = NotFound desc = no such reader"},
		{"a status nobody planned", status.Error(codes.DataLoss, "password is hunter2"), fault.Internal, "", generic, "rpc error: code = DataLoss desc = password is hunter2"},
		{"the end of time", fmt.Errorf("ask: %w", context.DeadlineExceeded), fault.DeadlineExceeded, "ask: context deadline exceeded", "it took longer than the call allowed", "ask: context deadline exceeded"},
		{"the caller has gone", context.Canceled, fault.Canceled, "context canceled", "the call was given up", "context canceled"},
		{"another service that is away", fmt.Errorf("ask: %w", status.Error(codes.Unavailable, "dial 10.0.0.5")), fault.Unavailable, "dial 10.0.0.5", "a service this one depends on does not answer; try again", "ask: rpc error: code = Unavailable desc = dial 10.0.0.5"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := fault.KindOf(test.err); got != test.kind {
				t.Errorf("kind is %v, want %v", got, test.kind)
			}
			if got := fault.Message(test.err); got != test.message {
				t.Errorf("message is %q, want %q", got, test.message)
			}
			wire := fault.Status(test.err, "r-1")
			if wire.Message() != test.wire || wire.Code() != test.kind.Code() {
				t.Errorf("status is %v %q, want %v %q", wire.Code(), wire.Message(), test.kind.Code(), test.wire)
			}
			if strings.Contains(fmt.Sprint(wire.Proto()), "hunter2") {
				t.Errorf("the wire carries a secret: %v", wire.Proto())
			}
			if got := test.err.Error(); got != test.full {
				t.Errorf("the log reads %q, want %q", got, test.full)
			}
		})
	}
}

func TestFieldTravels(t *testing.T) {
	var violations []*errdetails.BadRequest_FieldViolation
	for _, detail := range fault.Status(fmt.Errorf("list: %w", fault.NewInvalid("page_size", "must be at most %d", 100)), "").Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			violations = append(violations, bad.GetFieldViolations()...)
		}
	}
	if len(violations) != 1 || violations[0].GetField() != "page_size" || violations[0].GetDescription() != "must be at most 100" {
		t.Errorf("violations are %v", violations)
	}
}

func TestCauseIsReachable(t *testing.T) {
	cause := errors.New("cause")
	if !errors.Is(fault.Wrap(fault.Unavailable, cause, "x"), cause) {
		t.Error("errors.Is does not find the cause")
	}
}

// TestAQuestionOfOursThatWasWrong: what another service refuses is our mistake,
// not that of whoever asked us.
func TestAQuestionOfOursThatWasWrong(t *testing.T) {
	err := fmt.Errorf("ask: %w", status.Error(codes.InvalidArgument, "id: too small"))
	if got := fault.Status(err, "r-1"); got.Code() != codes.Internal || got.Message() != "internal error, request id r-1" {
		t.Errorf("the caller is told %v %q", got.Code(), got.Message())
	}
}
