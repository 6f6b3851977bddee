package recommender

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// trainParts trains all parts, saves them, and opens them again in any order.
func trainParts(t rapid.TB, dir string, d *Dataset, o Options, count int) []*Part {
	t.Helper()
	parts := make([]*Part, count)
	for i := range parts {
		p, err := TrainPart(context.Background(), d, o, i, count)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "part")
		if err := p.Save(path); err != nil {
			t.Fatal(err)
		}
		if parts[i], err = OpenPart(path); err != nil {
			t.Fatal(err)
		}
	}
	rand.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return parts
}

func mergedFile(t rapid.TB, parts []*Part) []byte {
	t.Helper()
	m, err := Merge(parts)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := m.write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestMergedPartsAreTheWholeByteForByte(t *testing.T) {
	dir := t.TempDir()
	t.Run("parameters chosen", func(t *testing.T) {
		d := NewDataset(shop(400, 120, 12, 1))
		o := Options{Seed: 1, Position: 77}
		want := fileOf(t, trained(t))
		for count := 1; count <= 5; count++ {
			o.Workers = 1 + count%3
			if got := mergedFile(t, trainParts(t, dir, d, o, count)); !bytes.Equal(got, want) {
				t.Errorf("%d parts make another model than the whole", count)
			}
		}
	})
	t.Run("parameters given", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			d := NewDataset(shop(rapid.IntRange(5, 80).Draw(t, "readers"), rapid.IntRange(3, 60).Draw(t, "books"), 8, rapid.Uint64Max(50).Draw(t, "seed")))
			p := blended()
			if rapid.Bool().Draw(t, "without regression") {
				p.Regression, p.Ridge, p.RegressionExponent = 0, 0, 0
			}
			if rapid.Bool().Draw(t, "without factors") {
				p.Factors, p.Unobserved = 0, 0
			}
			o := Options{Seed: 3, Position: 9, Parameters: &p, Workers: rapid.IntRange(1, 4).Draw(t, "workers")}
			m, err := Train(context.Background(), d, o)
			if errors.Is(err, ErrNoData) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var want bytes.Buffer
			if err := m.write(&want); err != nil {
				t.Fatal(err)
			}
			o.Workers = rapid.IntRange(1, 4).Draw(t, "workers of parts")
			count := rapid.IntRange(1, 5).Draw(t, "parts")
			if got := mergedFile(t, trainParts(t, dir, d, o, count)); !bytes.Equal(got, want.Bytes()) {
				t.Fatalf("%d parts make another model than the whole", count)
			}
		})
	})
	t.Run("more parts than books", func(t *testing.T) {
		d := NewDataset([]Event{{Reader: 1, Book: 10, Kind: Finished}, {Reader: 1, Book: 20, Kind: Finished}}, nil)
		m, err := Train(context.Background(), d, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := mergedFile(t, trainParts(t, dir, d, Options{}, 5)); !bytes.Equal(got, fileOf(t, m)) {
			t.Error("they make another model than the whole")
		}
	})
}

func TestPartsShareTheWork(t *testing.T) {
	d := NewDataset(shop(2000, 600, 20, 1))
	m := newMatrix(d, func(e int) float32 { return d.weight[e] })
	for count := 1; count <= 5; count++ {
		next := int32(0)
		for i := range count {
			s := m.share(i, count, defaultParameters(Liked))
			if s.from != next || s.to < s.from {
				t.Fatalf("part %d of %d is %v, want a start at %d", i, count, s, next)
			}
			next = s.to
			pairs := 0
			for _, r := range m.reader[m.bookRows[s.from]:m.bookRows[s.to]] {
				pairs += m.readerRows[r+1] - m.readerRows[r]
			}
			all := 0
			for _, r := range m.reader {
				all += m.readerRows[r+1] - m.readerRows[r]
			}
			if pairs > 2*all/count {
				t.Errorf("part %d of %d counts %d of %d pairs", i, count, pairs, all)
			}
		}
		if int(next) != m.books {
			t.Errorf("%d parts end at book %d of %d", count, next, m.books)
		}
	}
	p := blended()
	with := m.share(0, 4, p)
	p.Factors = 0
	if without := m.share(0, 4, p); with.len() >= without.len() {
		t.Errorf("the first part has %d books beside the factors, %d without them", with.len(), without.len())
	}
}

func TestTrainPartRefuses(t *testing.T) {
	p := blended()
	for _, test := range []struct {
		name         string
		index, count int
		o            Options
		want         string
	}{
		{"a part beyond the last", 2, 2, Options{}, "numbered from 0"},
		{"a negative part", -1, 2, Options{}, "numbered from 0"},
		{"no parts", 0, 0, Options{}, "numbered from 0"},
		{"too many parts", 0, mostParts + 1, Options{}, "at most"},
		{"nothing to learn from", 0, 2, Options{}, ErrNoData.Error()},
		{"nothing to learn from by given parameters", 1, 2, Options{Parameters: &p}, ErrNoData.Error()},
	} {
		if _, err := TrainPart(context.Background(), NewDataset(nil, []Book{{ID: 1}}), test.o, test.index, test.count); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

// threeParts are of one small model, with every part of it.
var threeParts = sync.OnceValues(func() ([]*Part, error) {
	d := NewDataset(shop(40, 20, 6, 2))
	p := blended()
	parts := make([]*Part, 3)
	for i := range parts {
		var err error
		if parts[i], err = TrainPart(context.Background(), d, Options{Seed: 1, Position: 7, Parameters: &p}, i, 3); err != nil {
			return nil, err
		}
	}
	return parts, nil
})

// three are copies of threeParts that may be spoilt.
func three(t testing.TB) []*Part {
	t.Helper()
	parts, err := threeParts()
	if err != nil {
		t.Fatal(err)
	}
	copies := make([]*Part, len(parts))
	for i, p := range parts {
		if copies[i], err = decodePart(aligned(partBytes(t, p))); err != nil {
			t.Fatal(err)
		}
	}
	return copies
}

func partBytes(t testing.TB, p *Part) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := p.write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestPartsThatDoNotBelongTogetherAreRefused(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func([]*Part) []*Part
		want  string
	}{
		{"none", func([]*Part) []*Part { return nil }, "no parts"},
		{"one missing", func(p []*Part) []*Part { return p[:2] }, "2 parts, want 3"},
		{"one twice", func(p []*Part) []*Part { return []*Part{p[0], p[1], p[1]} }, "part 2 is missing"},
		{"of another count", func(p []*Part) []*Part { p[2].info.Count = 4; return p }, "how many parts"},
		{"of another position", func(p []*Part) []*Part { p[1].info.Position++; return p }, "the position of the log: 7 and 8"},
		{"of other data", func(p []*Part) []*Part { p[1].info.Digest = "other"; return p }, "the data"},
		{"of another seed", func(p []*Part) []*Part { p[2].info.Seed++; return p }, "the seed"},
		{"of other parameters", func(p []*Part) []*Part { p[2].parameters.Prior *= 2; return p }, "the parameters"},
		{"a gap", func(p []*Part) []*Part { p[1].info.First++; return p }, "part 1 begins with book"},
		{"books too few", func(p []*Part) []*Part {
			for _, part := range p {
				part.info.Books++
			}
			return p
		}, "the parts have 20 books, want 21"},
		{"ids that do not rise", func(p []*Part) []*Part { p[1].books.ids[0] = p[0].books.ids[0]; return p }, "has a book of id"},
		{"factors of too great a weight", func(p []*Part) []*Part {
			for _, part := range p {
				part.parameters.Factors = 2 * mostFactorWeight
			}
			return p
		}, "factors"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Merge(test.spoil(three(t))); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Merge: %v, want %q", err, test.want)
			}
		})
	}
	if _, err := Merge(three(t)); err != nil {
		t.Errorf("those that do: %v", err)
	}
}

func TestAPartSaysWhatItIs(t *testing.T) {
	for i, p := range three(t) {
		got := p.Info()
		if got.Index != i || got.Count != 3 || got.Books != 20 || got.Readers != 40 || got.Interactions == 0 || got.Position != 7 || got.Seed != 1 || len(got.Digest) != 64 {
			t.Errorf("part %d says %+v", i, got)
		}
		if !maps.Equal(got.Parameters, blended().Map()) {
			t.Errorf("part %d is of %v", i, got.Parameters)
		}
		if (len(got.Metrics) > 0) != (i == 0) {
			t.Errorf("part %d has the metrics %v", i, got.Metrics)
		}
	}
}

func TestTheDigestOfADatasetTellsItFromOthers(t *testing.T) {
	events, books := shop(40, 20, 6, 2)
	first := NewDataset(events, books).Digest()
	if again := NewDataset(events, books).Digest(); again != first {
		t.Errorf("%s is %s the next time", first, again)
	}
	changed := append(slices.Clone(events), Event{Reader: events[0].Reader, Book: events[0].Book, Kind: Rating, Value: 0.5})
	moved := slices.Clone(books)
	moved[4].Category++
	for name, d := range map[string]*Dataset{
		"an event less":    NewDataset(events[1:], books),
		"a dislike more":   NewDataset(changed, books),
		"a book more":      NewDataset(events, append(slices.Clone(books), Book{ID: 1})),
		"another category": NewDataset(events, moved),
		"nothing whatever": NewDataset(nil, nil),
	} {
		if d.Digest() == first {
			t.Errorf("%s: the same digest", name)
		}
	}
}

func TestEveryTruncationOfAPartIsRefused(t *testing.T) {
	data := aligned(partBytes(t, three(t)[0]))
	for n := range data {
		if _, err := decodePart(data[:n:n]); err == nil {
			t.Fatalf("the first %d of %d bytes are taken for a part", n, len(data))
		}
	}
}

func TestEveryBitFlipInAPartIsRefused(t *testing.T) {
	data := aligned(partBytes(t, three(t)[0]))
	if _, err := decodePart(data); err != nil {
		t.Fatal(err)
	}
	step := 1
	if testing.Short() || raceEnabled {
		step = 7 // prime to the bits of a byte
	}
	for bit := 0; bit < 8*len(data); bit += step {
		data[bit/8] ^= 1 << (bit % 8)
		if _, err := decodePart(data); err == nil {
			t.Fatalf("bit %d of byte %d flipped: taken for a part", bit%8, bit/8)
		}
		data[bit/8] ^= 1 << (bit % 8)
	}
}

// TestPartsOfNonsenseAreRefused: files whose checksums are right and whose
// content is not.
func TestPartsOfNonsenseAreRefused(t *testing.T) {
	nan := float32(math.NaN())
	for _, test := range []struct {
		name  string
		spoil func(*Part)
		want  string
	}{
		{"a value that is no number", func(p *Part) { p.near[0].value[0] = nan }, "neighbour_values"},
		{"a negative value", func(p *Part) { p.near[1].value[0] = -1 }, "neighbour_values"},
		{"an infinite value", func(p *Part) { p.near[1].value[0] = float32(math.Inf(1)) }, "neighbour_values"},
		{"neighbours out of order", func(p *Part) { slices.Reverse(p.near[0].book) }, "section neighbours"},
		{"a neighbour twice", func(p *Part) { p.near[0].book[1] = p.near[0].book[0] }, "section neighbours"},
		{"a book its own neighbour", func(p *Part) { p.near[0].book[0] = int32(p.info.First) }, "section neighbours"},
		{"a neighbour beyond the books", func(p *Part) { p.near[0].book[len(p.near[0].book)-1] = 20 }, "section neighbours"},
		{"a negative neighbour", func(p *Part) { p.near[0].book[0] = -1 }, "section neighbours"},
		{"too many neighbours", func(p *Part) {
			r := &p.near[0]
			for len(r.book) <= perBook {
				r.book, r.value = append(r.book, int32(1000+len(r.book))), append(r.value, 1)
			}
		}, "neighbour_ends"},
		{"a row too few", func(p *Part) { p.near = p.near[1:] }, "neighbour_ends"},
		{"no rows", func(p *Part) { p.near = nil }, "neighbour_ends"},
		{"a predictor twice", func(p *Part) { p.predicted[0].book[1] = p.predicted[0].book[0] }, "section predictors"},
		{"a weight that is no number", func(p *Part) { p.predicted[0].value[0] = nan }, "predictor_weights"},
		{"no predictors", func(p *Part) { p.predicted = nil }, "predictor_ends"},
		{"predictors without a regression", func(p *Part) { p.parameters.Regression = 0 }, "there is no regression"},
		{"a factor too few", func(p *Part) { p.factors.point = p.factors.point[1:] }, "section factors"},
		{"no factors", func(p *Part) { p.factors.point = nil }, "section factors"},
		{"factors of no weight", func(p *Part) { p.parameters.Factors = 0 }, "section factors"},
		{"factors in a later part", func(p *Part) { p.info.Index = 1 }, "section factors"},
		{"a factor that is no number", func(p *Part) { p.factors.point[3] = nan }, "factor 3"},
		{"ids that fall", func(p *Part) { slices.Reverse(p.books.ids) }, "book_ids"},
		{"a negative count", func(p *Part) { p.readersOf[0] = -1 }, "book_readers"},
		{"a size that is no number", func(p *Part) { p.size[0] = nan }, "book_sizes"},
		{"a category too few", func(p *Part) { p.categories = p.categories[1:] }, "book_categories"},
		{"more books than there are", func(p *Part) { p.info.Books = 1 }, "of 1 books"},
		{"books beyond the last", func(p *Part) { p.info.First = 19 }, "of 20 books"},
		{"a part beyond the last", func(p *Part) { p.info.Index = 3 }, "index is 3 of 3"},
		{"too many parts", func(p *Part) { p.info.Count = mostParts + 1 }, "count is"},
		{"no book at all", func(p *Part) { p.info.Books = 0 }, "books is 0"},
		{"a negative position", func(p *Part) { p.info.Position = -1 }, "position is -1"},
		{"a negative parameter", func(p *Part) { p.parameters.Prior = -1 }, "parameters: prior"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := three(t)[0]
			test.spoil(p)
			if _, err := decodePart(aligned(partBytes(t, p))); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("decodePart: %v, want %q", err, test.want)
			}
		})
	}
}

func TestAModelIsNoPart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := trained(t).Save(path); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPart(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "not a part of Octavo") {
		t.Errorf("OpenPart: %v", err)
	}
	if _, err := OpenPart(path + ".missing"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("OpenPart: %v", err)
	}
	if err := three(t)[0].Save(filepath.Join(path, "nowhere")); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("Save: %v", err)
	}
}

// FuzzOpenPart: whatever the bytes, with wrong checksums or right ones, there is
// an error or a part that can be merged.
func FuzzOpenPart(f *testing.F) {
	for _, p := range three(f) {
		good := partBytes(f, p)
		n := 8 + binary.LittleEndian.Uint64(good)
		f.Add(good[8:n], good[n:], true)
		f.Add(good[:n], good[n:], false)
	}
	d := NewDataset(shop(30, 12, 6, 2))
	p := blended()
	whole, err := TrainPart(context.Background(), d, Options{Parameters: &p}, 0, 1)
	if err != nil {
		f.Fatal(err)
	}
	good := partBytes(f, whole)
	n := 8 + binary.LittleEndian.Uint64(good)
	f.Add(good[8:n], good[n:], true)
	f.Fuzz(func(t *testing.T, header, body []byte, seal bool) {
		data := append(slices.Clone(header), body...)
		if seal {
			data = reseal(header, body)
		}
		p, err := decodePart(aligned(data))
		if err != nil {
			return
		}
		if err := p.write(io.Discard); err != nil {
			t.Fatalf("a part that was read cannot be written: %v", err)
		}
		m, err := Merge([]*Part{p})
		if err != nil || m.Check() != nil {
			return
		}
		var b bytes.Buffer
		if err := m.write(&b); err != nil {
			t.Fatal(err)
		}
		if _, err := decodeModel(aligned(b.Bytes())); err != nil {
			t.Fatalf("a model that was merged and checked cannot be opened: %v", err)
		}
	})
}

// BenchmarkParts is the work of several machines done by one: seconds of the
// longest part and of all, and of the merge. The first has the factors to do.
func BenchmarkParts(b *testing.B) {
	d := NewDataset(shop(100_000, 25_000, 20, 1))
	p := blended()
	for _, count := range []int{1, 2, 4, 8} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			for b.Loop() {
				var first, longest, all, merge time.Duration
				parts := make([]*Part, count)
				for i := range parts {
					start := time.Now()
					var err error
					if parts[i], err = fitPart(context.Background(), d, choice{parameters: p}, i, count, 1, workers(0), nil); err != nil {
						b.Fatal(err)
					}
					took := time.Since(start)
					if i == 0 {
						first = took
					} else {
						longest = max(longest, took)
					}
					all += took
				}
				start := time.Now()
				if _, err := Merge(parts); err != nil {
					b.Fatal(err)
				}
				merge = time.Since(start)
				b.ReportMetric(first.Seconds(), "s/first")
				b.ReportMetric(longest.Seconds(), "s/other")
				b.ReportMetric(all.Seconds(), "s/all")
				b.ReportMetric(merge.Seconds(), "s/merge")
			}
		})
	}
}
