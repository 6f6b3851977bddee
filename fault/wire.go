package fault

import (
	"errors"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Domain is where the reasons of this package mean something: the domain of
// google.rpc.ErrorInfo.
const Domain = "octavo"

// Status is err as it goes over the wire: the code, a text for people, and for
// programs google.rpc.ErrorInfo with the reason, RequestInfo with the request
// id, and where there are any BadRequest with the fields and RetryInfo.
//
// An Internal error becomes a generic text with the request id, by which the
// log can be searched; its own text stays here. So does the text of what
// another service answered, unless it was passed on on purpose, as it is: where
// that service is, or which of its fields we got wrong, is for the log.
func Status(err error, requestID string) *status.Status {
	if e := direct(err); e == nil || e.answer != nil {
		if passedOn, ok := err.(interface{ GRPCStatus() *status.Status }); ok && KindOf(err) != Internal {
			return passedOn.GRPCStatus()
		}
	}
	return public(err, requestID).status(requestID)
}

// direct is err when it is itself a fault, nil when it only holds one: what
// another service answered is passed on only as it is.
func direct(err error) *Error {
	if e, ok := err.(interface{ itself() *Error }); ok {
		return e.itself()
	}
	return nil
}

func (e *Error) itself() *Error { return e }

// GRPCStatus is what another service answered, or the error as Status tells it;
// the status package of gRPC asks for it.
func (e *Error) GRPCStatus() *status.Status {
	if e.answer != nil {
		return e.answer
	}
	return public(e, e.RequestID).status(e.RequestID)
}

// public is err without what only the log may have.
func public(err error, requestID string) *Error {
	var e *Error
	if errors.As(err, &e) && e.Kind != Internal && e.answer == nil {
		return e
	}
	switch kind := KindOf(err); kind {
	case Unavailable, Exhausted:
		told := &Error{Kind: Unavailable, Message: "a service this one depends on does not answer; try again"}
		if e != nil {
			told.RetryAfter = e.RetryAfter
		}
		return told
	case TooLarge:
		return &Error{Kind: kind, Message: "what was sent is larger than is taken here; send less at once"}
	case DeadlineExceeded:
		return &Error{Kind: kind, Message: "it took longer than the call allowed"}
	case Canceled:
		return &Error{Kind: kind, Message: "the call was given up"}
	default:
		return &Error{Kind: Internal, Message: "internal error, request id " + requestID}
	}
}

// status is e on the wire.
func (e *Error) status(requestID string) *status.Status {
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: e.Kind.Reason(), Domain: Domain}}
	if requestID != "" {
		details = append(details, &errdetails.RequestInfo{RequestId: requestID})
	}
	if len(e.Fields) > 0 {
		bad := &errdetails.BadRequest{}
		for _, v := range e.Fields {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{
				Field: v.Field, Description: v.Message, Reason: v.Rule,
			})
		}
		details = append(details, bad)
	}
	if e.RetryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)})
	}
	s := status.New(e.Kind.Code(), e.text())
	if detailed, err := s.WithDetails(details...); err == nil {
		return detailed
	}
	return s
}

// FromStatus makes the error again that another service told by its status. The
// status stays: status.Code and errors.As find it. Errors that carry none, and
// nil, are returned as they are.
func FromStatus(err error) error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return err
	}
	var sent interface {
		error
		GRPCStatus() *status.Status
	}
	if !errors.As(err, &sent) {
		return err
	}
	s := sent.GRPCStatus()
	if s == nil || s.Code() == codes.OK {
		return err
	}
	e := &Error{Kind: kindOfCode(s.Code()), Message: s.Message(), Cause: sent, answer: s}
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			e.Kind = kindOfReason(d, e.Kind)
		case *errdetails.RequestInfo:
			e.RequestID = d.GetRequestId()
		case *errdetails.RetryInfo:
			e.RetryAfter = max(d.GetRetryDelay().AsDuration(), time.Duration(0))
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				e.Fields = append(e.Fields, Violation{Field: v.GetField(), Message: v.GetDescription(), Rule: v.GetReason()})
			}
		}
	}
	if len(e.Fields) == 1 && s.Message() == e.Fields[0].Field+": "+e.Fields[0].Message {
		e.Message = e.Fields[0].Message
	}
	return e
}

// kindOfReason is the kind with that reason, unless it is one of another domain
// or does not fit the code.
func kindOfReason(info *errdetails.ErrorInfo, byCode Kind) Kind {
	if info.GetDomain() != Domain {
		return byCode
	}
	for k := range kinds {
		if kinds[k].reason == info.GetReason() && kinds[k].code == byCode.Code() {
			return Kind(k)
		}
	}
	return byCode
}
