package recommender

import (
	"cmp"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// anyModel draws a small model that a training could have made, or a file held.
func anyModel(t *rapid.T) *Model {
	n := rapid.IntRange(1, 40).Draw(t, "books")
	m := &Model{
		categories: rapid.SliceOfN(rapid.Uint8Range(0, 3), n, n).Draw(t, "categories"),
		prior:      rapid.SliceOfN(rapid.SampledFrom([]float32{0, 0.01, 0.02, 0.5, 3}), n, n).Draw(t, "priors"),
		readersOf:  make([]int32, n),
		near:       neighbours{rows: make([]int64, n+1)},
	}
	ids := make([]int32, n)
	for j := range n {
		ids[j] = int32(5 * j)
		for i := range int32(n) {
			if int(i) != j && rapid.IntRange(0, 2).Draw(t, "linked") == 0 {
				m.near.book = append(m.near.book, i)
				m.near.weight = append(m.near.weight, rapid.Float32Range(0.001, 2).Draw(t, "weight"))
			}
		}
		m.near.rows[j+1] = int64(len(m.near.book))
	}
	m.books = newIDIndex(ids)
	m.prepare()
	return m
}

func anyQuery(t *rapid.T, n int) Query {
	book := rapid.Int32Range(-1, int32(n)) // also such as do not exist
	return Query{
		Own: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Own {
			return Own{Book: book.Draw(t, "book"), Weight: rapid.Float32Range(-0.2, 1.2).Draw(t, "weight")}
		}), 0, 10).Draw(t, "own"),
		Exclude:  rapid.SliceOfN(book, 0, 10).Draw(t, "exclude"),
		Category: rapid.Uint8Range(0, 4).Draw(t, "category"),
		Limit:    rapid.IntRange(-1, n+2).Draw(t, "limit"),
	}
}

// score is the sum that ranks a book, in the order in which Recommend adds.
func (m *Model) score(own []Own, book int32) float32 {
	var sum float32
	for _, o := range own {
		if w, ok := m.speaks(o); ok {
			sum += w * m.near.weigh(o.Book, book)
		}
	}
	return sum + m.prior[book]
}

func TestRecommendIsTheTrueBestUnderTheFilters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyModel(t)
		q := anyQuery(t, len(m.prior))
		var want []Scored
		for b := range int32(len(m.prior)) {
			if !slices.Contains(q.Exclude, b) && (q.Category == 0 || m.categories[b] == q.Category) {
				want = append(want, Scored{b, m.score(q.Own, b)})
			}
		}
		slices.SortStableFunc(want, func(a, b Scored) int { return cmp.Compare(b.Score, a.Score) })
		want = want[:min(len(want), max(q.Limit, 0))]
		for range 2 { // the second answer finds nothing of the first
			if got := m.Recommend(q, nil); !slices.Equal(got, want) {
				t.Fatalf("got %v, want %v", got, want)
			}
		}
	})
}

func TestReasonsAreTheTermsOfTheScore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyModel(t)
		q := anyQuery(t, len(m.prior))
		for _, s := range m.Recommend(q, nil) {
			shares := m.Explain(q.Own, s.Book, 0, nil)
			if s.Score == 0 {
				if len(shares) != 0 {
					t.Fatalf("nothing speaks for book %d, but %v", s.Book, shares)
				}
				continue
			}
			var sum float64
			for k, share := range shares {
				sum += float64(share.Share)
				term := m.prior[s.Book]
				if share.Book != Popularity {
					term = 0
					for _, o := range q.Own {
						// One own book may be named more than once, with a weight each time.
						if w, ok := m.speaks(o); ok && o.Book == share.Book {
							if v := w * m.near.weigh(o.Book, s.Book); math.Abs(float64(v-share.Share*s.Score)) < math.Abs(float64(term-share.Share*s.Score)) {
								term = v
							}
						}
					}
				}
				if math.Abs(float64(term-share.Share*s.Score)) > 1e-5*float64(s.Score) {
					t.Fatalf("share %v of %v is not the term %v", share, s, term)
				}
				if k > 0 && share.Share > shares[k-1].Share {
					t.Fatalf("%v are not the largest first", shares)
				}
			}
			if math.Abs(sum-1) > 1e-5 {
				t.Fatalf("the shares of %v add up to %v", s, sum)
			}
			if top := m.Explain(q.Own, s.Book, 2, nil); !slices.Equal(top, shares[:min(2, len(shares))]) {
				t.Fatalf("the first two are %v of %v", top, shares)
			}
		}
	})
}

func TestDiversityKeepsToTheFilters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyModel(t)
		q := anyQuery(t, len(m.prior))
		plain := m.Recommend(q, nil)
		q.Diversity = rapid.Float32Range(0.01, 1).Draw(t, "diversity")
		diverse := m.Recommend(q, nil)
		if len(diverse) != len(plain) {
			t.Fatalf("%d books, %d without diversity", len(diverse), len(plain))
		}
		if len(plain) > 0 && q.Diversity < 1 && diverse[0].Score != plain[0].Score {
			t.Fatalf("begins with %v, the best is %v", diverse[0], plain[0])
		}
		met := map[int32]bool{}
		for _, s := range diverse {
			if met[s.Book] || slices.Contains(q.Exclude, s.Book) || q.Category != 0 && m.categories[s.Book] != q.Category {
				t.Fatalf("book %d must not be in %v", s.Book, diverse)
			}
			met[s.Book] = true
			if s.Score != m.score(q.Own, s.Book) {
				t.Fatalf("score %v of book %d is not its own", s.Score, s.Book)
			}
		}
	})
}

// TestDiversityBreaksUpASeries: books 1 to 3 are near one another, 4 is not.
func TestDiversityBreaksUpASeries(t *testing.T) {
	m := &Model{
		categories: make([]uint8, 5),
		prior:      make([]float32, 5),
		near: neighbours{
			rows:   []int64{0, 4, 6, 8, 10, 10},
			book:   []int32{1, 2, 3, 4, 2, 3, 1, 3, 1, 2},
			weight: []float32{1, 0.9, 0.8, 0.7, 1, 1, 1, 1, 1, 1},
		},
	}
	m.prepare()
	q := Query{Own: []Own{{0, 1}}, Exclude: []int32{0}, Limit: 2}
	for _, test := range []struct {
		diversity float32
		want      []int32
	}{{0, []int32{1, 2}}, {0.1, []int32{1, 2}}, {0.5, []int32{1, 4}}} {
		q.Diversity = test.diversity
		got := m.Recommend(q, nil)
		if len(got) != 2 || got[0].Book != test.want[0] || got[1].Book != test.want[1] {
			t.Errorf("diversity %v: %v, want %v", test.diversity, got, test.want)
		}
	}
}

func TestSimilar(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyModel(t)
		book := rapid.Int32Range(-1, int32(len(m.prior))).Draw(t, "book")
		limit := rapid.IntRange(-1, 50).Draw(t, "limit")
		got := m.Similar(book, limit, nil)
		var want []Scored
		if book >= 0 && int(book) < len(m.prior) {
			for b := range int32(len(m.prior)) {
				if w := m.near.weigh(book, b); w > 0 {
					want = append(want, Scored{b, w})
				}
			}
		}
		slices.SortStableFunc(want, func(a, b Scored) int { return cmp.Compare(b.Score, a.Score) })
		if want = want[:min(len(want), max(limit, 0))]; !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestRecommendAllocatesNothing(t *testing.T) {
	m := trained(t)
	own := []Own{{1, 1}, {2, 0.5}, {3, 1}}
	q := Query{Own: own, Exclude: []int32{1, 2, 3}, Category: 2, Limit: 10}
	dst := make([]Scored, 0, 10)
	shares := make([]Share, 0, 10)
	// The pool may be emptied by a collection in between: an average below 1
	// still says that nothing is allocated for each answer.
	if n := testing.AllocsPerRun(200, func() {
		dst = m.Recommend(q, dst[:0])
		shares = m.Explain(own, dst[0].Book, 3, shares[:0])
	}); n >= 1 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}
