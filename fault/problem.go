package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// Reference is where every kind of error is explained; the type of a problem is
// a heading of it.
const Reference = "https://github.com/octavo-books/octavo/blob/main/docs/reference/errors.md"

// ProblemType is the media type of problem details.
const ProblemType = "application/problem+json"

// Problem is an error as an HTTP client is told it: the problem details of
// RFC 9457, with the request id, and the fields at fault in errors.
type Problem struct {
	Type      string         `json:"type"`
	Title     string         `json:"title"`
	Status    int            `json:"status"`
	Detail    string         `json:"detail,omitempty"`
	Instance  string         `json:"instance,omitempty"` // the path asked for
	Reason    string         `json:"reason"`
	RequestID string         `json:"request_id,omitempty"`
	Errors    []ProblemField `json:"errors,omitempty"`

	Kind       Kind `json:"-"`
	RetryAfter int  `json:"-"` // seconds, for the header; 0 for none
}

// ProblemField is one field of a request and what is wrong with it.
type ProblemField struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// retryAfter is what clients are told when nobody knows how long it takes, in
// seconds.
const retryAfter = 5

// NewProblem is err as it is told to the sender of a request. Like Status it
// tells nothing that only the log may have; where another service is that does
// not answer is told to nobody.
func NewProblem(err error, r *http.Request, requestID string) Problem {
	told := public(err, requestID)
	if e := direct(err); e != nil && told.Kind == Internal && e.Kind != Internal {
		told = e // another service's answer, passed on on purpose
	}
	if r.Context().Err() != nil {
		told = &Error{Kind: Canceled, Message: "the request was given up"}
	}
	p := Problem{
		Type:      told.Kind.Type(),
		Title:     told.Kind.Title(),
		Status:    told.Kind.HTTPStatus(),
		Detail:    told.Message,
		Instance:  r.URL.EscapedPath(),
		Reason:    told.Kind.Reason(),
		RequestID: requestID,
		Kind:      told.Kind,
	}
	for _, v := range told.Fields {
		p.Errors = append(p.Errors, ProblemField{Field: v.Field, Detail: v.Message})
	}
	if p.Detail == "" {
		p.Detail = told.text()
	}
	switch {
	case told.RetryAfter > 0:
		p.RetryAfter = int(math.Ceil(told.RetryAfter.Seconds()))
	case told.Kind == Unavailable, told.Kind == Exhausted, told.Kind == DeadlineExceeded:
		p.RetryAfter = retryAfter
	}
	return p
}

// Type is the URI that names the kind in problem details.
func (k Kind) Type() string {
	return Reference + "#" + strings.ReplaceAll(k.String(), " ", "-")
}

// Respond answers an HTTP request with an error: as problem details when the
// client asks for JSON, otherwise by page, which writes the whole answer for
// people, or in plain text when page is nil or fails. It is the one place that
// decides what an HTTP error looks like. The status is that of the problem it
// returns, for the log.
func Respond(w http.ResponseWriter, r *http.Request, err error, requestID string, page func(Problem) error) Problem {
	p := NewProblem(err, r, requestID)
	h := w.Header()
	h.Del("Content-Length")
	h.Add("Vary", "Accept")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	switch {
	case PrefersJSON(r):
		p.write(w)
	case page != nil && page(p) == nil:
	default:
		http.Error(w, p.text(), p.Status)
	}
	return p
}

// RespondJSON is Respond for addresses where all answers are JSON.
func RespondJSON(w http.ResponseWriter, r *http.Request, err error, requestID string) Problem {
	p := NewProblem(err, r, requestID)
	w.Header().Del("Content-Length")
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	p.write(w)
	return p
}

func (p Problem) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", ProblemType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	// The client may have gone; there is nobody else to tell.
	_ = json.NewEncoder(w).Encode(p)
}

func (p Problem) text() string {
	if p.Kind == Internal {
		return p.Detail
	}
	return fmt.Sprintf("%s: %s", p.Title, p.Detail)
}

// ParseProblem reads problem details that this package wrote, and makes the
// error again. It fails for anything else.
func ParseProblem(body []byte) (*Error, error) {
	var p Problem
	if err := json.Unmarshal(body, &p); err != nil {
		return nil, fmt.Errorf("read problem details: %w", err)
	}
	for k := range kinds {
		if kinds[k].reason != p.Reason || kinds[k].http != p.Status {
			continue
		}
		e := &Error{Kind: Kind(k), Message: p.Detail, RequestID: p.RequestID}
		for _, f := range p.Errors {
			e.Fields = append(e.Fields, Violation{Field: f.Field, Message: f.Detail})
		}
		return e, nil
	}
	return nil, errors.New("read problem details: no reason of Octavo")
}

// PrefersJSON is whether the Accept header of a request ranks JSON above HTML.
// Without one, and with */* alone, it does not.
func PrefersJSON(r *http.Request) bool {
	var forJSON, forHTML float64
	for _, line := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(line, ",") {
			kind, parameters, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			weight := 1.0
			if q, given := parameters["q"]; given {
				if weight, err = strconv.ParseFloat(q, 64); err != nil || !(weight >= 0 && weight <= 1) {
					continue
				}
			}
			switch {
			case kind == "text/html", kind == "application/xhtml+xml":
				forHTML = max(forHTML, weight)
			case kind == "application/json", strings.HasSuffix(kind, "+json"):
				forJSON = max(forJSON, weight)
			}
		}
	}
	return forJSON > forHTML
}
