package fault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/octavo-books/octavo/fault"
)

// wire sends an error to another process and back.
func wire(t *testing.T, err error, requestID string) error {
	t.Helper()
	bytes, marshalErr := proto.Marshal(fault.Status(err, requestID).Proto())
	if marshalErr != nil {
		t.Fatal(marshalErr)
	}
	arrived := &spb.Status{}
	if err := proto.Unmarshal(bytes, arrived); err != nil {
		t.Fatal(err)
	}
	return fault.FromStatus(status.FromProto(arrived).Err())
}

// TestAFaultSurvivesTheWire: what the client has is what the handler made,
// without the cause, which stays in the log.
func TestAFaultSurvivesTheWire(t *testing.T) {
	two := []fault.Violation{{Field: "limit", Message: "must not be negative", Rule: "int32.gte"}, {Field: "books[3].title", Message: "is too long"}}
	tests := map[string]*fault.Error{
		"two fields":     {Kind: fault.Invalid, Message: "limit: must not be negative; books[3].title: is too long", Fields: two},
		"one field":      {Kind: fault.Invalid, Message: "must not be negative", Fields: two[:1]},
		"retry later":    {Kind: fault.Exhausted, Message: "too busy", RetryAfter: 1500 * time.Millisecond},
		"with its cause": {Kind: fault.Unavailable, Message: "the disk is full", Cause: errors.New("hunter2")},
	}
	for _, kind := range fault.Kinds() {
		if kind != fault.Internal {
			tests["kind "+kind.String()] = &fault.Error{Kind: kind, Message: "plain words"}
		}
	}
	for name, sent := range tests {
		t.Run(name, func(t *testing.T) {
			err := wire(t, fmt.Errorf("handle: %w", sent), "r-1")
			var got *fault.Error
			if !errors.As(err, &got) {
				t.Fatalf("%T arrives", err)
			}
			if !got.Answered() {
				t.Error("the fault does not know that it is an answer")
			}
			if got.Kind != sent.Kind || got.Message != sent.Message || got.RetryAfter != sent.RetryAfter || got.RequestID != "r-1" || !reflect.DeepEqual(got.Fields, sent.Fields) {
				t.Errorf("%+v arrives, want %+v", got, sent)
			}
			if status.Code(err) != sent.Kind.Code() {
				t.Errorf("its code is %v", status.Code(err))
			}
			if strings.Contains(fmt.Sprint(fault.Status(sent, "r-1").Proto()), "hunter2") {
				t.Error("the wire carries the cause")
			}
		})
	}
}

// TestAnswersThatArePassedOn: a service that returns what another one answered,
// as it is, gives it to its own caller; one that wraps it does not.
func TestAnswersThatArePassedOn(t *testing.T) {
	answered := wire(t, fault.New(fault.NotFound, "there is no book 7"), "r-1")
	if got := fault.Status(answered, "r-2"); got.Code() != codes.NotFound || got.Message() != "there is no book 7" {
		t.Errorf("as it is, it is told as %v", got)
	}
	if got := fault.Status(fmt.Errorf("ask: %w", answered), "r-2"); got.Code() != codes.Internal || strings.Contains(got.Message(), "7") {
		t.Errorf("wrapped, it is told as %v", got)
	}
	if got := fault.Status(fault.Wrap(fault.Conflict, answered, "own words"), "r-2"); got.Code() != codes.FailedPrecondition || got.Message() != "own words" {
		t.Errorf("in own words, it is told as %v", got)
	}
}

// TestStrangersStatuses: what is not from a service of ours has the kind of its
// code, whatever its details claim.
func TestStrangersStatuses(t *testing.T) {
	for name, test := range map[string]struct {
		info *errdetails.ErrorInfo
		code codes.Code
		want fault.Kind
	}{
		"our reason":              {&errdetails.ErrorInfo{Reason: "TOO_LARGE", Domain: fault.Domain}, codes.ResourceExhausted, fault.TooLarge},
		"another domain's":        {&errdetails.ErrorInfo{Reason: "TOO_LARGE", Domain: "example.com"}, codes.ResourceExhausted, fault.Exhausted},
		"one that does not fit":   {&errdetails.ErrorInfo{Reason: "INVALID", Domain: fault.Domain}, codes.ResourceExhausted, fault.Exhausted},
		"one that does not exist": {&errdetails.ErrorInfo{Reason: "SOON", Domain: fault.Domain}, codes.ResourceExhausted, fault.Exhausted},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := status.New(test.code, "text").WithDetails(test.info)
			if err != nil {
				t.Fatal(err)
			}
			if got := fault.KindOf(fault.FromStatus(s.Err())); got != test.want {
				t.Errorf("it is %v, want %v", got, test.want)
			}
		})
	}
	if err := fault.FromStatus(nil); err != nil {
		t.Errorf("nil becomes %v", err)
	}
	if err := fault.FromStatus(io.EOF); !errors.Is(err, io.EOF) {
		t.Errorf("io.EOF becomes %v", err)
	}
}

// FuzzFromStatus: no bytes in the place of a status make it panic, and whatever
// comes out can be told again.
func FuzzFromStatus(f *testing.F) {
	seed, err := proto.Marshal(fault.Status(fault.NewInvalid("a", "b"), "r-1").Proto())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, bytes []byte) {
		arrived := &spb.Status{}
		if proto.Unmarshal(bytes, arrived) != nil {
			return
		}
		err := fault.FromStatus(status.FromProto(arrived).Err())
		if fault.KindOf(err) < 0 || fault.KindOf(err) > fault.Unimplemented {
			t.Errorf("kind %d", fault.KindOf(err))
		}
		if err != nil && fault.Status(err, "r-1").Code() == codes.OK {
			t.Error("an error becomes OK")
		}
	})
}

func TestRespond(t *testing.T) {
	const json, browser = "application/json", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	for name, test := range map[string]struct {
		err    error
		accept string
		status int
		kind   string // of the answer's content
		detail string
		retry  string
		fields int
	}{
		"a field, for a program":      {fault.NewInvalid("limit", "must be positive"), json, 400, fault.ProblemType, "must be positive", "", 1},
		"for a browser":               {fault.New(fault.NotFound, "no such book"), browser, 404, "text/html", "no such book", "", 0},
		"for anybody":                 {fault.New(fault.NotFound, "no such book"), "", 404, "text/html", "no such book", "", 0},
		"HTML rather than JSON":       {fault.New(fault.NotFound, "no such book"), "text/html, application/json;q=0.5", 404, "text/html", "no such book", "", 0},
		"JSON rather than HTML":       {fault.New(fault.NotFound, "no such book"), "text/html;q=0.3, application/problem+json;q=0.5", 404, fault.ProblemType, "no such book", "", 0},
		"a nonsensical wish":          {fault.New(fault.NotFound, "no such book"), ";;q=NaN,application/json;q=-1", 404, "text/html", "no such book", "", 0},
		"a secret":                    {errors.New("hunter2"), json, 500, fault.ProblemType, "internal error, request id r-1", "", 0},
		"when to come again":          {&fault.Error{Kind: fault.Exhausted, Message: "busy", RetryAfter: 1200 * time.Millisecond}, json, 429, fault.ProblemType, "busy", "2", 0},
		"when nobody knows":           {fault.New(fault.Unavailable, "down"), json, 503, fault.ProblemType, "down", "5", 0},
		"a body that is too large":    {&http.MaxBytesError{Limit: 1}, json, 413, fault.ProblemType, "what was sent is larger than is taken here; send less at once", "", 0},
		"a service's address":         {fault.FromStatus(status.Error(codes.Unavailable, "dial 10.0.0.5")), json, 503, fault.ProblemType, "a service this one depends on does not answer; try again", "5", 0},
		"a question that was wrong":   {fmt.Errorf("ask: %w", fault.FromStatus(status.Error(codes.InvalidArgument, "hunter2"))), json, 500, fault.ProblemType, "internal error, request id r-1", "", 0},
		"the end of time":             {context.DeadlineExceeded, json, 504, fault.ProblemType, "it took longer than the call allowed", "5", 0},
		"an answer that is passed on": {fault.FromStatus(status.Error(codes.NotFound, "no book 7")), json, 404, fault.ProblemType, "no book 7", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/some%20path?q=1", nil)
			if test.accept != "" {
				r.Header.Set("Accept", test.accept)
			}
			w := httptest.NewRecorder()
			w.Header().Set("Content-Length", "9999")
			fault.Respond(w, r, test.err, "r-1", func(p fault.Problem) error {
				w.Header().Set("Content-Type", "text/html")
				w.WriteHeader(p.Status)
				fmt.Fprint(w, p.Detail)
				return nil
			})
			body := w.Body.String()
			if w.Code != test.status || w.Header().Get("Content-Type") != test.kind || w.Header().Get("Retry-After") != test.retry || w.Header().Get("Content-Length") != "" {
				t.Errorf("got %d with %v", w.Code, w.Header())
			}
			if !strings.Contains(body, test.detail) || strings.Contains(body, "hunter2") {
				t.Errorf("the answer is %s", body)
			}
			if test.kind != fault.ProblemType {
				return
			}
			told, err := fault.ParseProblem(w.Body.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if told.Kind.HTTPStatus() != test.status || told.Message != test.detail || len(told.Fields) != test.fields || told.RequestID != "r-1" {
				t.Errorf("a client reads %+v", told)
			}
			if !strings.Contains(body, `"instance":"/some%20path"`) || !strings.Contains(body, `"type":"`+told.Kind.Type()+`"`) {
				t.Errorf("the answer is %s", body)
			}
		})
	}
}

// TestRespondWithoutAPage answers people in plain text.
func TestRespondWithoutAPage(t *testing.T) {
	for name, page := range map[string]func(fault.Problem) error{
		"none":           nil,
		"one that fails": func(fault.Problem) error { return errors.New("no template") },
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			fault.Respond(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), fault.New(fault.NotFound, "no such book"), "r-1", page)
			if w.Code != http.StatusNotFound || w.Body.String() != "Not found: no such book\n" {
				t.Errorf("got %d %q", w.Code, w.Body)
			}
		})
	}
}

// FuzzPrefersJSON: any Accept header has an answer.
func FuzzPrefersJSON(f *testing.F) {
	f.Add("text/html;q=0.3, application/json", "*/*")
	f.Fuzz(func(_ *testing.T, first, second string) {
		fault.PrefersJSON(&http.Request{Header: http.Header{"Accept": {first, second}}})
	})
}

func FuzzParseProblem(f *testing.F) {
	seed, err := json.Marshal(fault.Problem{Reason: "INVALID", Status: 400, Errors: []fault.ProblemField{{Field: "a"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, body []byte) {
		if e, err := fault.ParseProblem(body); (e == nil) == (err == nil) {
			t.Errorf("got %v and %v", e, err)
		}
	})
}
