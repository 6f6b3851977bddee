package importer

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/octavo-books/octavo/fault"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

const (
	goodreadsHeader    = "Book Id,Title,Author,Author l-f,Additional Authors,ISBN,ISBN13,My Rating,Average Rating,Publisher,Binding,Number of Pages,Year Published,Original Publication Year,Date Read,Date Added,Bookshelves,Bookshelves with positions,Exclusive Shelf,My Review,Spoiler,Private Notes,Read Count,Owned Copies\n"
	storygraphHeader   = "Title,Authors,Contributors,ISBN/UID,Format,Read Status,Date Added,Last Date Read,Dates Read,Read Count,Moods,Pace,Star Rating,Review,Tags,Owned?\n"
	librarythingHeader = "Book Id\tTitle\tPrimary Author\tDate\tRating\tDate Read\tCollections\tISBN\tISBNs\n"
)

func day(text string) time.Time {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return t
}

func inUTF16(text string) string {
	out := []byte("\xff\xfe")
	for _, unit := range utf16.Encode([]rune(text)) {
		out = append(out, byte(unit), byte(unit>>8))
	}
	return string(out)
}

func TestReadShelves(t *testing.T) {
	const (
		want     = readersv1.InteractionKind_INTERACTION_KIND_WANT
		reading  = readersv1.InteractionKind_INTERACTION_KIND_READING
		finished = readersv1.InteractionKind_INTERACTION_KIND_FINISHED
		bought   = readersv1.InteractionKind_INTERACTION_KIND_BOUGHT
	)
	goodreads := goodreadsHeader +
		`2767052,"The Hunger Games (The Hunger Games, #1)",Suzanne Collins,"Collins, Suzanne",,"=""0439023483""","=""9780439023481""",5,4.34,Scholastic,Hardcover,374,2008,2008,2012/03/04,2012/01/02,,,read,"Long, ""good""` + "\nbook\",,,1,0\n" +
		`1,Dune,Frank Herbert,,,"=""""","=""""",0,4,,,,,,,2020/02/03,,,to-read,,,,0,0` + "\n" +
		`2,Ulysses,James Joyce,,,,,2,4,,,,,,,2020/02/03,,,did-not-finish,,,,0,0` + "\n" +
		`3,Emma,Jane Austen,,,,,0,4,,,,,,,2020/02/03,,,did-not-finish,,,,0,0` + "\n" +
		`4,Persuasion,Jane Austen,,,,,9,4,,,,,,,,,,read,,,,0,0` + "\n" +
		`5,,Jane Austen,,,,,1,4,,,,,,,,,,read,,,,0,0` + "\n6,Sanditon"
	lt := librarythingHeader +
		"1\tÉtranger\tCamus, Albert\t1942\t4.5\t2019-05-06\tYour library\t[2070360024]\t2070360024, 9782070360024\n" +
		"2\tDune\tHerbert, Frank\t1965\t\t\tYour library, To read\t[]\t\n" +
		"3\tEmma\tAusten, Jane\t1815\t\t\tYour library\t[]\t\n"
	french := []ShelfEntry{
		{Title: "Étranger", Authors: []string{"Camus, Albert"}, ISBNs: []string{"9782070360024"}, Shelf: finished, Stars: 4.5, At: day("2019-05-06")},
		{Title: "Dune", Authors: []string{"Herbert, Frank"}, Shelf: want},
		{Title: "Emma", Authors: []string{"Austen, Jane"}, Shelf: bought},
	}
	latin := []byte(strings.ReplaceAll(lt, "É", "\xc9"))
	for name, c := range map[string]struct {
		file, format string
		want         []ShelfEntry
		refused      []string
	}{
		"Goodreads": {goodreads, "Goodreads", []ShelfEntry{
			{Title: "The Hunger Games", Authors: []string{"Suzanne Collins"}, ISBNs: []string{"9780439023481"}, Shelf: finished, Stars: 5, At: day("2012-03-04")},
			{Title: "Dune", Authors: []string{"Frank Herbert"}, Shelf: want, At: day("2020-02-03")},
			{Title: "Ulysses", Authors: []string{"James Joyce"}, Stars: 2, At: day("2020-02-03")},
		}, []string{"a shelf that Octavo does not have", `the rating "9"`, "no title", "cut off here"}},
		"StoryGraph": {storygraphHeader +
			"Dune,\"Frank Herbert, Brian Herbert\",,9780441013593,paperback,currently-reading,2021/01/02,,,0,,,4.25,,,No\n" +
			"Emma,Jane Austen,,B00ASIN,digital,read,2021/01/02,2021/02/03,2021/01/05-2021/02/03,1,,,0.25,,,No\n", "StoryGraph", []ShelfEntry{
			{Title: "Dune", Authors: []string{"Frank Herbert", "Brian Herbert"}, ISBNs: []string{"9780441013593"}, Shelf: reading, Stars: 4.5, At: day("2021-01-02")},
			{Title: "Emma", Authors: []string{"Jane Austen"}, Shelf: finished, Stars: 0.5, At: day("2021-02-03")},
		}, nil},
		"LibraryThing in UTF-8":      {lt, "LibraryThing", french, nil},
		"LibraryThing in UTF-16":     {inUTF16(lt), "LibraryThing", french, nil},
		"LibraryThing in ISO 8859-1": {string(latin), "LibraryThing", french, nil},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := ReadShelves("file", strings.NewReader(c.file))
			if err != nil {
				t.Fatal(err)
			}
			var got []ShelfEntry
			for _, row := range file.Entries {
				got = append(got, row.ShelfEntry)
			}
			if file.Format != c.format || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s:\n got %+v\nwant %+v", file.Format, got, c.want)
			}
			if len(file.Refused) != len(c.refused) {
				t.Fatalf("refused %v, want %d rows", file.Refused, len(c.refused))
			}
			for i, part := range c.refused {
				if !strings.Contains(file.Refused[i].Reason, part) {
					t.Errorf("refused %v, want %q", file.Refused[i], part)
				}
			}
		})
	}
}

func TestFilesThatAreNoShelvesAreRefusedWhole(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		kind fault.Kind
		want string
	}{
		"empty":         {"", fault.Invalid, "empty"},
		"other columns": {"a,b\n1,2\n", fault.Invalid, "The columns of the file"},
		"an image":      {"\x89PNG\r\n\x1a\n\x00\x00", fault.Invalid, ""},
		"half UTF-16":   {"\xff\xfea", fault.Invalid, ""},
		"too long":      {strings.Repeat("a", MaxShelfBytes+1), fault.TooLarge, "32 MB"},
		"too many rows": {goodreadsHeader + strings.Repeat("1,a,b,,,,,5,,,,,,,,,,,read,,,,,\n", MaxShelfRows+1), fault.TooLarge, "50000 rows"},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := ReadShelves("file", strings.NewReader(c.file))
			if fault.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, %v; want kind %v with %q", file, err, c.kind, c.want)
			}
		})
	}
}

// What the export writes, the import reads, whatever is in the titles.
func TestShelvesComeBack(t *testing.T) {
	var all []ShelfEntry
	for i, title := range []string{"Dune", "=1+1", "'=1", `A "quoted", title`, "Line\nbreak", "-", "東京"} {
		e := ShelfEntry{Title: title, Authors: []string{"@author", "B"}, ISBNs: []string{"9780439023481"}, Stars: float32(i) / 2, At: day("2020-01-02").Add(time.Duration(i) * time.Millisecond)}
		for kind := range shelfNames {
			e.Shelf = kind
			all = append(all, e)
		}
	}
	var out bytes.Buffer
	w := NewShelfWriter(&out)
	for _, e := range all {
		w.Write(e)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	file, err := ReadShelves("file", &out)
	if err != nil || len(file.Refused) > 0 || len(file.Entries) != len(all) {
		t.Fatalf("%d of %d came back, refused %v, %v", len(file.Entries), len(all), file.Refused, err)
	}
	for i, row := range file.Entries {
		want := all[i]
		want.Title = strings.ReplaceAll(want.Title, "\n", " ")
		if !reflect.DeepEqual(row.ShelfEntry, want) {
			t.Errorf("%+v came back as %+v", want, row.ShelfEntry)
		}
	}
}

func FuzzReadShelves(f *testing.F) {
	for _, header := range []string{goodreadsHeader, storygraphHeader, librarythingHeader, strings.Join(octavoColumns, ",") + "\n"} {
		f.Add([]byte(header + "1,2,3,4,5,6,7\n"))
		f.Add([]byte(inUTF16(header + "1\t2\t\"3\n")))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		file, err := ReadShelves("file", bytes.NewReader(content))
		if err != nil {
			if file != nil {
				t.Error("half a file")
			}
			return
		}
		for _, row := range file.Entries {
			if row.Title == "" || row.Shelf == 0 && row.Stars == 0 || row.Stars != 0 && !stars(row.Stars) {
				t.Errorf("row %+v", row)
			}
			if slices.Contains(row.ISBNs, "") {
				t.Errorf("row %+v has an empty ISBN", row)
			}
		}
	})
}
