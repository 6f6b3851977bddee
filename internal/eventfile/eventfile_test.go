package eventfile

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/octavo-books/octavo/internal/recommender"
)

func TestRead(t *testing.T) {
	const finished, rating = recommender.Finished, recommender.Rating
	for _, tt := range []struct {
		name, text string
		want       []recommender.Event
	}{
		{"without ratings", "0\t7\n1\t8\n", []recommender.Event{{Reader: 0, Book: 7, Kind: finished}, {Reader: 1, Book: 8, Kind: finished}}},
		{"with ratings", "1\t7\t4\n1\t8\t3.5", []recommender.Event{{Reader: 1, Book: 7, Kind: rating, Value: 4}, {Reader: 1, Book: 8, Kind: rating, Value: 3.5}}},
		{"with times", "1,7,4,1600000000\r\n", []recommender.Event{{Reader: 1, Book: 7, Kind: rating, Value: 4, Time: 1600000000}}},
		{"rated or not", "1,7,\n1,8,5\n", []recommender.Event{{Reader: 1, Book: 7, Kind: finished}, {Reader: 1, Book: 8, Kind: rating, Value: 5}}},
		{"spaces", "1 7\n\n2147483647 8\n", []recommender.Event{{Reader: 1, Book: 7, Kind: finished}, {Reader: 2147483647, Book: 8, Kind: finished}}},
		{"header in another order", "book_id,user_id,rating\n7,1,4\n", []recommender.Event{{Reader: 1, Book: 7, Kind: rating, Value: 4}}},
		{"byte-order mark", "\ufeff1\t7\n", []recommender.Event{{Reader: 1, Book: 7, Kind: finished}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "events")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := Read(path)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func TestReadErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "f.tsv is empty",
		"\n\n":                    "f.tsv is empty",
		"user\tbook\n":            "f.tsv is empty",
		"1\t2\n3\tx\n":            `f.tsv:2:3: the book "x" is not a whole number from 0 to 2147483647`,
		"1\t2\n-3\t4\n":           `f.tsv:2:1: the reader "-3" is not a whole number from 0 to 2147483647`,
		"1\t2147483648\n":         `f.tsv:1:3: the book "2147483648" is not a whole number from 0 to 2147483647`,
		"1\t2\n3\n":               "f.tsv:2:2: there is no book",
		"1\t2\t6\n":               `f.tsv:1:5: the rating "6" is not a number from 0.5 to 5`,
		"1\t2\tNaN\n":             `f.tsv:1:5: the rating "NaN" is not a number from 0.5 to 5`,
		"1\t2\t3\t4.5\n":          `f.tsv:1:7: the time "4.5" is not a time in whole seconds since 1970`,
		"1\t2\t3\t4\t5\n":         "f.tsv:1:9: more than 4 fields",
		"1\t2\n3 4\n":             `f.tsv:2:1: the reader "3 4" is not a whole number from 0 to 2147483647`,
		"user_id,colour\n":        `f.tsv:1:9: "colour" is neither a number nor the name of a column (reader, book, rating, time)`,
		"user,rating\n1,2\n":      "f.tsv:1:1: the header names no reader or no book",
		"user,user\n":             `f.tsv:1:6: "user" is neither a number nor the name of a column (reader, book, rating, time)`,
		"book,user\n1\n":          "f.tsv:2:2: there is no reader",
		"\x1f\x8b\x08 compressed": `f.tsv:1:1: "\x1f\x8b\b" is neither a number nor the name of a column (reader, book, rating, time)`,
	} {
		if _, err := decodeEvents("f.tsv", []byte(text), mayLackTime); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none.tsv")); !os.IsNotExist(err) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestReadTimed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.tsv")
	for text, want := range map[string]string{
		"1\t7\t4\t1600000000\n1\t8\t\t1600000001\n": "",
		"time,user,book\n1600000000,1,7\n":          "",
		"1\t7\t4\t1600000000\n\n1\t8\t5\n":          ":3:6: " + noTime,
		"1\t7\t4\t\n":                               ":1:7: " + noTime,
		"user,book,rating\n1,7,4\n":                 ":1:17: " + noTime,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		events, err := ReadTimed(path)
		switch {
		case want == "" && (err != nil || events[0].Time != 1600000000):
			t.Errorf("%q: %v, %v", text, events, err)
		case want != "" && (err == nil || err.Error() != path+want):
			t.Errorf("%q: got %v, want %s", text, err, path+want)
		}
	}
	if _, err := ReadTimed(filepath.Join(t.TempDir(), "none.tsv")); !os.IsNotExist(err) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"1\t2\n", "1,2,3.5,4\r\n", "book,user\n1,2\n", "\ufeff1 2", "9999999999\t1\n", "1\t2\t\t\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		events, err := decodeEvents("f", text, mayLackTime)
		if err != nil {
			if len(events) > 0 || !strings.HasPrefix(err.Error(), "f") {
				t.Errorf("%d events with error %v", len(events), err)
			}
			return
		}
		for _, e := range events {
			ok := e.Kind == recommender.Finished && e.Value == 0 || e.Kind == recommender.Rating && e.Value >= 0.5 && e.Value <= 5
			if e.Reader < 0 || e.Book < 0 || !ok {
				t.Errorf("event %+v", e)
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	var text strings.Builder
	for i := range 800_000 {
		fmt.Fprintf(&text, "%d\t%d\t%d\n", i/16, i*7919%10_000, 1+i%5)
	}
	path := filepath.Join(b.TempDir(), "train.tsv")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Read(path); err != nil {
			b.Fatal(err)
		}
	}
}
