package library

import (
	"fmt"
	"strings"
	"testing"

	"buf.build/go/protovalidate"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
)

func TestBooksKeepTheCatalogueContract(t *testing.T) {
	for i, b := range Books() {
		if err := protovalidate.Validate(b); err != nil {
			t.Errorf("%s: %v", b.SourceId, err)
		}
		if b.Id != int32(i+1) || b.Source != "octavo" || b.Popularity != 0 {
			t.Errorf("%s: id %d, source %q, popularity %d; want id %d of octavo, 0", b.SourceId, b.Id, b.Source, b.Popularity, i+1)
		}
	}
}

func TestBooksAreTheCallersOwn(t *testing.T) {
	Books()[0].Title = "changed"
	if title := Books()[0].Title; title == "changed" {
		t.Error("a change to the result shows in the next")
	}
}

func TestLibraryHasEveryCategory(t *testing.T) {
	const fewest, fewestOfCategory = 600, 15
	books := Books()
	if len(books) < fewest {
		t.Errorf("%d books, want %d or more", len(books), fewest)
	}
	count := make(map[catalogv1.Category]int)
	for i, b := range books {
		count[b.Category]++
		if i > 0 && b.Category < books[i-1].Category {
			t.Errorf("%s: categories are not in the order of their numbers", b.SourceId)
		}
	}
	for number, name := range catalogv1.Category_name {
		if number != 0 && count[catalogv1.Category(number)] < fewestOfCategory {
			t.Errorf("%s has %d books, want %d or more", name, count[catalogv1.Category(number)], fewestOfCategory)
		}
	}
}

func TestBooksArePlausible(t *testing.T) {
	const (
		latestPublication = 2025
		fewestTags        = 2
		mostTags          = 4
	)
	works := make(map[string]string)
	places := make(map[string]string)
	for _, b := range Books() {
		if b.Year > latestPublication || b.Year < -2500 {
			t.Errorf("%s: year %d", b.SourceId, b.Year)
		}
		if len(b.Tags) < fewestTags || len(b.Tags) > mostTags {
			t.Errorf("%s: %d tags, want %d to %d", b.SourceId, len(b.Tags), fewestTags, mostTags)
		}
		work := b.Title + " by " + b.Authors[0]
		if other, twice := works[work]; twice {
			t.Errorf("%s is %s once more", b.SourceId, other)
		}
		works[work] = b.SourceId
		if b.SeriesPosition == 0 {
			continue
		}
		place := fmt.Sprintf("%s %g", b.Series, b.SeriesPosition)
		if other, taken := places[place]; taken {
			t.Errorf("%s and %s are both %s", other, b.SourceId, place)
		}
		places[place] = b.SourceId
	}
}

const sampleRow = "dune-messiah-herbert\tSCIENCE_FICTION\tDune Messiah\tFrank Herbert\t1969\tdesert, empire\tDune\t2"

func TestDecodeRow(t *testing.T) {
	b, err := decodeRow(sampleRow)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%q %v %q %q %d %q %q %g", b.SourceId, b.Category, b.Title, b.Authors, b.Year, b.Tags, b.Series, b.SeriesPosition)
	want := `"dune-messiah-herbert" CATEGORY_SCIENCE_FICTION "Dune Messiah" ["Frank Herbert"] 1969 ["desert" "empire"] "Dune" 2`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDecodeRowRefuses(t *testing.T) {
	tests := map[string]struct{ old, new, want string }{
		"a column too few":           {"\t2", "", "7 columns"},
		"a column too many":          {"\t2", "\t2\t", "9 columns"},
		"bytes that are not UTF-8":   {"Messiah", "Messi\xffh", "UTF-8"},
		"a stray space":              {"Dune Messiah", "Dune Messiah ", "stray space"},
		"a carriage return":          {"Dune Messiah", "Dune\rMessiah", "control character"},
		"a slug in capitals":         {"dune-m", "Dune-m", "slug"},
		"an unknown category":        {"SCIENCE_FICTION", "SPACE", "no category"},
		"the category that is none":  {"SCIENCE_FICTION", "UNSPECIFIED", "no category"},
		"no title":                   {"Dune Messiah", "", "no title"},
		"no author":                  {"Frank Herbert", "", "authors"},
		"an author twice":            {"Frank Herbert", "Frank Herbert; Frank Herbert", "twice"},
		"a year that is no number":   {"1969", "MCMLXIX", "whole number"},
		"a year with a sign":         {"1969", "+1969", "whole number"},
		"the year 0":                 {"1969", "0", "cannot be"},
		"a year far away":            {"1969", "19690", "cannot be"},
		"tags in capitals":           {"desert", "Desert", "lower-case"},
		"an empty tag":               {"desert, empire", "desert, , empire", "tags"},
		"a place in no series":       {"\tDune\t", "\t\t", "no series"},
		"a place that is no number":  {"\t2", "\ttwo", "decimal"},
		"a place below the first":    {"\t2", "\t-2", "above 0"},
		"a place that is not finite": {"\t2", "\tNaN", "above 0"},
		"a place in two ways":        {"\t2", "\t2.0", "decimal"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			row := strings.Replace(sampleRow, test.old, test.new, 1)
			_, err := decodeRow(row)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%q: error %v, want one about %q", row, err, test.want)
			}
		})
	}
}

func TestDecodeNamesTheLine(t *testing.T) {
	tests := map[string]struct{ table, want string }{
		"nothing at all":     {"", "line 1: want the header"},
		"another header":     {"title\n", "line 1: want the header"},
		"a bad row":          {header + "\n" + sampleRow + "\nx\n", "line 3: 1 columns"},
		"an empty line":      {header + "\n\n", "line 2: 1 columns"},
		"a book twice":       {header + "\n" + sampleRow + "\n" + sampleRow + "\n", "line 3: slug"},
		"an unfinished line": {header + "\n" + sampleRow, "line 2: the last line is cut off"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := decode(test.table)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// encodeRow is the inverse of decodeRow.
func encodeRow(b *catalogv1.Book) string {
	return strings.Join([]string{
		b.SourceId, strings.TrimPrefix(b.Category.String(), categoryPrefix), b.Title,
		strings.Join(b.Authors, authorSeparator), fmt.Sprint(b.Year), strings.Join(b.Tags, tagSeparator),
		b.Series, formatPosition(b.SeriesPosition),
	}, "\t")
}

func FuzzDecodeRow(f *testing.F) {
	f.Add(sampleRow)
	for i, row := range strings.Split(table, "\n") {
		if i%50 == 1 {
			f.Add(row)
		}
	}
	f.Add("a\tART\tA\tB; C\t-5\td\t\t")
	f.Add("a\tART\tA\tB\t5\td\tS\t0.5")
	f.Fuzz(func(t *testing.T, row string) {
		b, err := decodeRow(row)
		if err != nil {
			return
		}
		if again := encodeRow(b); again != row {
			t.Errorf("read %q, written again %q", row, again)
		}
	})
}
