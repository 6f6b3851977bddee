package main

import (
	"bytes"
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/catalogservice"
	"github.com/octavo-books/octavo/cmd/internal/marketplaceservice"
	"github.com/octavo-books/octavo/cmd/internal/peers"
	"github.com/octavo-books/octavo/cmd/internal/program"
	"github.com/octavo-books/octavo/cmd/internal/readersservice"
	"github.com/octavo-books/octavo/cmd/internal/recommendationsservice"
	"github.com/octavo-books/octavo/cmd/internal/trainerjob"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
)

func TestEverySettingIsKnownToEveryProgram(t *testing.T) {
	var declared []string
	for _, flags := range []any{
		&commands{}, &catalogservice.Service{}, &readersservice.Service{}, &recommendationsservice.Service{},
		&marketplaceservice.Service{}, &trainerjob.Flags{},
	} {
		parser, err := kong.New(flags, kong.Vars{"admin_addr": ""})
		if err != nil {
			t.Fatalf("%s: %v", reflect.TypeOf(flags), err)
		}
		declared = append(declared, environmentOf(parser.Model.Node)...)
	}
	slices.Sort(declared)
	if want, got := slices.Compact(declared), program.Environment(); !slices.Equal(got, want) {
		t.Errorf("the programs know\n%v\nbut the flags declare\n%v", got, want)
	}
}

var update = flag.Bool("update", false, "write docs/reference/configuration.md again")

// TestTheReferenceIsCurrent: what --help says is what is written for reading.
func TestTheReferenceIsCurrent(t *testing.T) {
	var text strings.Builder
	text.WriteString("# Settings\n\nWritten by `go test ./cmd/octavo -run TestTheReferenceIsCurrent -update` from what `--help` says.\n\n" +
		"A flag on the command line comes before the variable in the environment, which comes before the default. What is misspelt is refused. `octavo config check`, and `--check-config` of each single program, print the settings in use with where each comes from, and try all that they name.\n\n" +
		"Secrets are in files: a setting has the file's name, never the secret.\n")
	for _, p := range []struct {
		name, admin string
		flags       any
	}{
		{"octavo serve", "127.0.0.1:9090", &serveFlags{}},
		{"catalog", "127.0.0.1:9092", &catalogservice.Service{}},
		{"readers", "127.0.0.1:9093", &readersservice.Service{}},
		{"recommendations", "127.0.0.1:9091", &recommendationsservice.Service{}},
		{"marketplace", "127.0.0.1:9094", &marketplaceservice.Service{}},
		{"trainer", "", &trainerjob.Flags{}},
		{"every program", "", &chassis.Flags{}},
	} {
		parser, err := kong.New(p.flags, kong.Vars{"admin_addr": p.admin}, kong.NoDefaultHelp())
		if err != nil {
			t.Fatal(err)
		}
		program.DescribeSettings(&text, p.name, parser.Model.Flags)
	}
	const path = "../../docs/reference/configuration.md"
	if *update {
		if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(written) != text.String() {
		t.Error("docs/reference/configuration.md is not what --help says: go test ./cmd/octavo -run TestTheReferenceIsCurrent -update")
	}
}

func environmentOf(node *kong.Node) []string {
	var names []string
	for _, flag := range node.Flags {
		for _, env := range flag.Envs {
			if env != "NO_COLOR" { // not ours alone
				names = append(names, env)
			}
		}
	}
	for _, child := range node.Children {
		names = append(names, environmentOf(child)...)
	}
	return names
}

func TestCategoriesAreNamedInAnyWay(t *testing.T) {
	for name, want := range map[string]catalogv1.Category{
		"":                catalogv1.Category_CATEGORY_UNSPECIFIED,
		"MYSTERY":         catalogv1.Category_CATEGORY_MYSTERY,
		"science-fiction": catalogv1.Category_CATEGORY_SCIENCE_FICTION,
		"Science fiction": catalogv1.Category_CATEGORY_SCIENCE_FICTION,
		"0":               catalogv1.Category_CATEGORY_LITERATURE,
		"31":              catalogv1.Category_CATEGORY_TECHNOLOGY,
	} {
		if got, err := parseCategory(name); err != nil || got != want {
			t.Errorf("parseCategory(%q) = %v, %v; want %v", name, got, err, want)
		}
	}
	for _, name := range []string{"unspecified", "cats", "CATEGORY_MYSTERY"} {
		if got, err := parseCategory(name); err == nil {
			t.Errorf("parseCategory(%q) = %v, want an error", name, got)
		}
	}
}

func TestNewBooksArePrintedAsSuch(t *testing.T) {
	var table bytes.Buffer
	if err := printTable(&table, &recommendationsv1.RecommendResponse{
		Recommendations: []*recommendationsv1.Recommendation{
			{Id: 7, Title: "Emma", Reasons: []*recommendationsv1.Reason{
				{Kind: recommendationsv1.ReasonKind_REASON_KIND_NEW_BOOK, BookId: 3, Title: "Persuasion", Share: 1},
			}},
			{Id: 8, Title: "Lady Susan", Reasons: []*recommendationsv1.Reason{{Kind: recommendationsv1.ReasonKind_REASON_KIND_NEW_BOOK, Share: 1}}},
		},
	}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"new, like Persuasion 100 %", "new 100 %"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table is\n%s\nwant %q in it", &table, want)
		}
	}
}

func TestAnAnswerIsPrintedWithItsReasons(t *testing.T) {
	answer := &recommendationsv1.RecommendResponse{
		ModelVersion: "abc",
		Recommendations: []*recommendationsv1.Recommendation{{
			Id: 7, Title: "Emma", Authors: []string{"Jane Austen"}, Year: 1815, Score: 0.5,
			Reasons: []*recommendationsv1.Reason{
				{Kind: recommendationsv1.ReasonKind_REASON_KIND_YOUR_BOOK, BookId: 3, Title: "Persuasion", Share: 0.75},
				{Kind: recommendationsv1.ReasonKind_REASON_KIND_BEST_SELLER, Share: 0.25},
			},
		}},
	}
	var table bytes.Buffer
	if err := printTable(&table, answer); err != nil {
		t.Fatal(err)
	}
	wantTable := `ID  TITLE  AUTHORS      BECAUSE OF
7   Emma   Jane Austen  Persuasion 75 %, best seller 25 %
`
	if table.String() != wantTable {
		t.Errorf("the table is\n%s\nwant\n%s", &table, wantTable)
	}
	var printed bytes.Buffer
	if err := printJSON(&printed, answer); err != nil {
		t.Fatal(err)
	}
	wantJSON := `{
  "model": "abc",
  "recommendations": [
    {
      "id": 7,
      "title": "Emma",
      "authors": [
        "Jane Austen"
      ],
      "year": 1815,
      "score": 0.5,
      "reasons": [
        {
          "kind": "your_book",
          "book": 3,
          "title": "Persuasion",
          "share": 0.75
        },
        {
          "kind": "best_seller",
          "share": 0.25
        }
      ]
    }
  ]
}
`
	if printed.String() != wantJSON {
		t.Errorf("the JSON is\n%s\nwant\n%s", &printed, wantJSON)
	}
}

func TestWhatIsThereIsAnnounced(t *testing.T) {
	at := peers.Addresses{HTTP: "127.0.0.1:1", Recommendations: "127.0.0.1:2", Catalog: "127.0.0.1:3", Readers: "127.0.0.1:4"}
	for _, admin := range []string{"127.0.0.1:5", ""} {
		at.Admin = admin
		var text strings.Builder
		if err := new(serveCommand).announce(&dataFolder{path: t.TempDir()}, at, &text); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(text.String(), "\n")
		for line, there := range map[string]bool{
			"  storefront        http://127.0.0.1:1":                    true,
			"  readers           127.0.0.1:4  (gRPC)":                   true,
			"  admin             http://127.0.0.1:5  (metrics, health)": admin != "",
			"  admin             http://  (metrics, health)":            false,
		} {
			if slices.Contains(lines, line) != there {
				t.Errorf("with the admin port %q, whether there is %q: want %v in\n%s", admin, line, there, &text)
			}
		}
	}
}
