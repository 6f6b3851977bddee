package recommendations

import (
	"cmp"
	"math"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/octavo-books/octavo/internal/recommender"
)

// What is kept in a few bytes for each book is the recommender's own fold of the
// same events, in the same order.
func TestHistoriesAgreeWithTheRecommender(t *testing.T) {
	event := rapid.Custom(func(t *rapid.T) recommender.Event {
		e := recommender.Event{
			Reader: rapid.Int32Range(1, 3).Draw(t, "reader"),
			Book:   rapid.SampledFrom([]int32{1, 2, 3, 127, 128, 70_000, math.MaxInt32}).Draw(t, "book"),
			Kind:   recommender.Kind(rapid.IntRange(1, 9).Draw(t, "kind")),
			Time:   rapid.SampledFrom([]int64{0, 1, 2, 3, 1_700_000_000, math.MaxUint32}).Draw(t, "time"),
		}
		if e.Kind == recommender.Rating {
			e.Value = float32(rapid.IntRange(1, 10).Draw(t, "half stars")) / 2
		}
		return e
	})
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOf(event).Draw(t, "events")
		type folded struct {
			recommender.Opinion
			book int32
			last int
		}
		want := map[int32][]folded{}
		got := newHistories(0)
		for at, e := range events {
			got.apply(e)
			own := want[e.Reader]
			i := slices.IndexFunc(own, func(f folded) bool { return f.book == e.Book })
			if i < 0 {
				i = len(own)
				own = append(own, folded{book: e.Book})
			}
			own[i].Opinion, own[i].last = own[i].Apply(e), at
			want[e.Reader] = own
		}
		if int(got.readers.Load()) != len(want) {
			t.Fatalf("%d readers, want %d", got.readers.Load(), len(want))
		}
		for reader, own := range want {
			slices.SortFunc(own, func(a, b folded) int { return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.last, b.last)) })
			entries, _, _, _ := got.appendTo(nil, reader)
			if len(entries) != len(own) {
				t.Fatalf("reader %d has %d entries, want %d", reader, len(entries), len(own))
			}
			for i, e := range entries {
				o := e.state.opinion()
				if e.book != own[i].book || int64(e.time) != own[i].Time || o.Weight != own[i].Weight || o.Seen != own[i].Seen || o.Rating != own[i].Rating {
					t.Fatalf("reader %d, entry %d: book %d at %d %+v, want %+v", reader, i, e.book, e.time, *o, own[i])
				}
			}
		}
	})
}

func TestHistoriesOfUnknownReadersAreEmpty(t *testing.T) {
	if entries, _, _, _ := newHistories(0).appendTo(nil, 7); len(entries) != 0 {
		t.Errorf("got %v", entries)
	}
}

func TestErasedHistoriesAreForgotten(t *testing.T) {
	h := newHistories(0)
	for reader := range int32(200) {
		h.apply(recommender.Event{Reader: reader, Book: 1, Kind: recommender.Finished})
		h.apply(recommender.Event{Reader: reader, Book: 2, Kind: recommender.Want})
	}
	h.erase(70)
	h.erase(70)
	h.erase(1000)
	if readers, entries := h.readers.Load(), h.entries.Load(); readers != 199 || entries != 398 {
		t.Errorf("%d readers with %d entries, want 199 with 398", readers, entries)
	}
	gone, _, _, _ := h.appendTo(nil, 70)
	next, _, _, _ := h.appendTo(nil, 70+64)
	if len(gone) != 0 || len(next) != 2 {
		t.Errorf("the erased reader has %v, the next in the shard %v", gone, next)
	}
}

func TestEventsOutOfRangeAreBounded(t *testing.T) {
	h := newHistories(0)
	h.apply(recommender.Event{Reader: 1, Book: 1, Kind: recommender.Rating, Value: 1e30, Time: -5})
	h.apply(recommender.Event{Reader: 1, Book: 2, Kind: 77, Time: 1 << 40})
	entries, _, _, _ := h.appendTo(nil, 1)
	if len(entries) != 2 || entries[0].time != 0 || entries[0].state.opinion().Rating != 5 || entries[1].state.opinion().Seen {
		t.Errorf("got %+v", entries)
	}
}

func BenchmarkHistoriesApply(b *testing.B) {
	h := newHistories(0)
	for i := range b.N {
		h.apply(recommender.Event{Reader: int32(i % 10_000), Book: int32(i / 10_000 % 100_000), Kind: recommender.Finished, Time: int64(i)})
	}
}

// BenchmarkHistoriesMemory tells the memory of 100,000 readers with 50 books
// each, for each entry.
func BenchmarkHistoriesMemory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		h := newHistories(0)
		for book := range 50 {
			for reader := range 100_000 {
				h.apply(recommender.Event{Reader: int32(reader), Book: int32(book * 7), Kind: recommender.Finished, Time: 1_700_000_000 + int64(book)*86_400})
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(h.entries.Load()), "B/entry")
	}
}
