package main

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/octavo-books/octavo/cmd/internal/catalogservice"
	"github.com/octavo-books/octavo/cmd/internal/marketplaceservice"
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
