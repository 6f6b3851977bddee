package marketplace

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/octavo-books/octavo/fault"
)

// description is the OpenAPI document and the schemas in it, compiled.
type description struct {
	t        *testing.T
	compiler *jsonschema.Compiler
	document map[string]any
}

const documentURL = "https://octavo.test/openapi.json"

func readDescription(t *testing.T, text string) *description {
	t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(documentURL, parsed); err != nil {
		t.Fatal(err)
	}
	return &description{t, compiler, parsed.(map[string]any)}
}

// check compares a value with the schema at a JSON pointer.
func (d *description) check(pointer string, value any) error {
	d.t.Helper()
	schema, err := d.compiler.Compile(documentURL + "#" + pointer)
	if err != nil {
		d.t.Fatal(err)
	}
	return schema.Validate(value)
}

// escape is a key within a JSON pointer in a URL.
func escape(key string) string {
	return url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(key))
}

func decode(t *testing.T, body string) any {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatalf("%.200s is no JSON: %v", body, err)
	}
	return value
}

// TestTheAPIIsAsDescribed holds the handlers to the document that is served: the
// same operations; the examples are answered as the schemas say; and a value
// outside of each parameter's schema is refused, by name.
func TestTheAPIIsAsDescribed(t *testing.T) {
	b := open(t, library().config(t))
	_, text, _ := b.fetch("/api/v1/openapi.json")
	d := readDescription(t, text)
	paths := d.document["paths"].(map[string]any)
	for _, route := range apiRoutes {
		if paths[route.path] == nil {
			t.Errorf("%s is not described", route.path)
		}
	}
	for path, operations := range paths {
		if !slices.ContainsFunc(apiRoutes, func(r apiRoute) bool { return r.path == path }) {
			t.Errorf("%s is described and does not exist", path)
		}
		parameters, _ := operations.(map[string]any)["get"].(map[string]any)["parameters"].([]any)
		base := "/paths/" + escape(path) + "/get"
		ask := func(changed, value string) (int, any, string) {
			at, query := path, url.Values{}
			for _, parameter := range parameters {
				facts := parameter.(map[string]any)
				name := facts["name"].(string)
				given := fmt.Sprint(facts["example"])
				if name == changed {
					given = value
				}
				if facts["in"] == "path" {
					at = strings.ReplaceAll(at, "{"+name+"}", url.PathEscape(given))
				} else {
					query.Set(name, given)
				}
			}
			if changed == "unknown" {
				query.Set(changed, value)
			}
			status, body, header := b.fetch(at + "?" + query.Encode())
			return status, decode(t, body), header.Get("Content-Type")
		}
		t.Run(path, func(t *testing.T) {
			for i, parameter := range parameters {
				facts := parameter.(map[string]any)
				if example := facts["example"]; example != "" {
					if err := d.check(fmt.Sprintf("%s/parameters/%d/schema", base, i), example); err != nil {
						t.Errorf("the example of %s breaks its schema: %v", facts["name"], err)
					}
				}
			}
			status, body, kind := ask("", "")
			if status != http.StatusOK || kind != "application/json" {
				t.Fatalf("the examples are answered with %d %s: %v", status, kind, body)
			}
			if err := d.check(base+"/responses/200/content/"+escape("application/json")+"/schema", body); err != nil {
				t.Errorf("the answer is not as described: %v", err)
			}
			wrong := map[string]string{"unknown": "1"}
			for _, parameter := range parameters {
				switch facts := parameter.(map[string]any); {
				case facts["in"] == "path":
					wrong[facts["name"].(string)] = "NOTHING"
				case facts["name"] == "category" || facts["name"] == "reader":
					wrong[facts["name"].(string)] = "-1"
				default:
					wrong[facts["name"].(string)] = strings.Repeat("9", 201)
				}
			}
			for name, value := range wrong {
				status, body, kind := ask(name, value)
				if status < 400 || status >= 500 || kind != fault.ProblemType {
					t.Errorf("%s=%.10s is answered with %d %s", name, value, status, kind)
				}
				if err := d.check("/components/schemas/Problem", body); err != nil {
					t.Errorf("%s=%.10s: the problem is not as described: %v", name, value, err)
				}
				if text := fmt.Sprint(body.(map[string]any)["errors"]); status == http.StatusBadRequest && !strings.Contains(text, name) {
					t.Errorf("%s=%.10s is not named: %v", name, value, text)
				}
			}
		})
	}
}

func TestTheAPITellsMistakesAllAtOnce(t *testing.T) {
	b := open(t, library().config(t))
	status, body, _ := b.fetch("/api/v1/search?limit=0&limits=1&q=")
	problem, err := fault.ParseProblem([]byte(body))
	if err != nil || status != http.StatusBadRequest {
		t.Fatalf("got %d %s: %v", status, body, err)
	}
	var fields []string
	for _, f := range problem.Fields {
		fields = append(fields, f.Field)
	}
	if want := []string{"limit", "q", "limits"}; !slices.Equal(fields, want) {
		t.Errorf("%v are named, want %v", fields, want)
	}
}

// TestTheAPIWithoutAService says that it cannot answer, and when to ask again.
func TestTheAPIWithoutAService(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	services.catalog.set(true, false)
	services.recommendations.set(true, false)
	for _, path := range []string{"/api/v1/recommendations", "/api/v1/books/1", "/api/v1/search?q=book", "/api/v1/categories/fantasy"} {
		status, body, header := b.fetch(path)
		problem, err := fault.ParseProblem([]byte(body))
		if err != nil || status != http.StatusServiceUnavailable || problem.Kind != fault.Unavailable || header.Get("Retry-After") == "" {
			t.Errorf("%s: got %d %s", path, status, body)
		}
		if strings.Contains(body, "10.0.0.7") {
			t.Errorf("%s tells where the service is", path)
		}
	}
}

// TestNobodyReadsAsAVisitorThroughTheAPI: the reasons would tell what is on
// their shelves.
func TestNobodyReadsAsAVisitorThroughTheAPI(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	b.send("/reader", "reader", "new")
	visitor := services.readers.newest()
	if status, body, _ := b.fetch(fmt.Sprintf("/api/v1/recommendations?reader=%d", visitor)); status != http.StatusNotFound {
		t.Errorf("got %d %s", status, body)
	}
}

// TestErrorsByAccept: the same mistake is a page for people and problem details
// for programs.
func TestErrorsByAccept(t *testing.T) {
	b := open(t, library().config(t))
	for _, test := range []struct{ path, accept, want string }{
		{"/nothing-here", "text/html", "text/html; charset=utf-8"},
		{"/nothing-here", "application/json", fault.ProblemType},
		{"/api/nothing-here", "text/html", fault.ProblemType},
		{"/book/999999", "application/problem+json, text/html;q=0.5", fault.ProblemType},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.server.URL+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", test.accept)
		if status, body, header := b.do(r); status != http.StatusNotFound || header.Get("Content-Type") != test.want {
			t.Errorf("%s for %s: got %d %s %.100s", test.path, test.accept, status, header.Get("Content-Type"), body)
		}
	}
}
