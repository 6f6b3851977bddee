package fault_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/code"

	"github.com/octavo-books/octavo/fault"
)

// TestEveryKindIsInTheReference: the type of a problem is a heading of the page
// that explains it, and the page says what the code does.
func TestEveryKindIsInTheReference(t *testing.T) {
	const path = "docs/reference/errors.md"
	if !strings.HasSuffix(fault.Reference, "/"+path) {
		t.Fatalf("problems refer to %s", fault.Reference)
	}
	text, err := os.ReadFile("../" + path)
	if err != nil {
		t.Fatal(err)
	}
	sections := strings.Split(string(text), "\n## ")[1:]
	if len(sections) != len(fault.Kinds()) {
		t.Errorf("%d kinds are explained, and there are %d", len(sections), len(fault.Kinds()))
	}
	for i, kind := range fault.Kinds() {
		section := sections[min(i, len(sections)-1)]
		heading, body, _ := strings.Cut(section, "\n\n")
		if want := strings.TrimPrefix(kind.Type(), fault.Reference+"#"); heading != want {
			t.Errorf("the %d. section is %q, want %q", i+1, heading, want)
		}
		facts := fmt.Sprintf("Reason `%s` · gRPC `%s` · HTTP %d\n", kind.Reason(), code.Code(kind.Code()), kind.HTTPStatus())
		if !strings.HasPrefix(body, facts) {
			t.Errorf("%s does not begin with %q", heading, facts)
		}
		if !strings.Contains(body, "\nWay out: ") {
			t.Errorf("%s has no way out", heading)
		}
	}
}
