package recommender

import (
	"cmp"
	"math"
	"math/rand/v2"
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
	}
	near := neighbours{rows: make([]int64, n+1)}
	ids := make([]int32, n)
	weight := rapid.OneOf(rapid.Float32Range(0.001, 2), rapid.Float32Range(-0.5, -0.001), rapid.SampledFrom([]float32{-0.25, 0.25}))
	for j := range n {
		ids[j] = int32(5 * j)
		for i := range int32(n) {
			if int(i) != j && rapid.IntRange(0, 2).Draw(t, "linked") == 0 {
				near.book = append(near.book, i)
				near.weight = append(near.weight, weight.Draw(t, "weight"))
			}
		}
		near.rows[j+1] = int64(len(near.book))
	}
	m.near = pack(&near, m.categories)
	if rapid.Bool().Draw(t, "with factors") {
		m.factors.width = rapid.SampledFrom([]int{1, 3, 32}).Draw(t, "width")
		m.info.Parameters = map[string]float64{factorsName: rapid.SampledFrom([]float64{0.01, 1, 7}).Draw(t, "factors")}
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "points"), 1))
		m.factors.point = make([]float32, n*m.factors.width)
		for i := range m.factors.point {
			m.factors.point[i] = float32(random.NormFloat64())
		}
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
	neighbour := false
	for _, o := range own {
		if w, ok := m.speaks(o); ok {
			if v := m.says(o.Book, w, book); v != 0 {
				sum += v
				neighbour = true
			}
		}
	}
	for _, o := range own {
		if w, ok := m.opposes(o); ok {
			sum -= max(m.says(o.Book, w, book), 0)
		}
	}
	sum += m.prior[book]
	if neighbour && m.factorWeight > 0 {
		var r reader
		if m.meet(&r, own); r.known {
			sum += r.likes(m, book)
		}
	}
	return sum
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

// TestReasonsAreTheTermsOfTheScore takes every score apart by hand: what a book
// of the reader's own says as a neighbour, and its part of the solution that
// places the reader among the factors.
func TestReasonsAreTheTermsOfTheScore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyModel(t)
		q := anyQuery(t, len(m.prior))
		for _, s := range m.Recommend(q, nil) {
			shares := m.explain(q.Own, s.Book, 0)
			want := m.terms(q.Own, s.Book)
			var sum, size float64
			for _, v := range want {
				sum += v
				size += math.Abs(v)
			}
			if math.Abs(sum-float64(s.Score)) > 1e-3*size+1e-30 {
				t.Fatalf("the terms %v of %v add up to %v", want, s, sum)
			}
			if sum <= 1e-3*size {
				continue // nothing, or a difference that float32 does not know
			}
			got := map[int32]float64{}
			var total float64
			for k, share := range shares {
				got[share.Book] += float64(share.Share)
				total += float64(share.Share)
				if k > 0 && share.Share > shares[k-1].Share {
					t.Fatalf("%v are not the largest first", shares)
				}
			}
			if math.Abs(total-1) > 1e-4*size/sum {
				t.Fatalf("the shares of %v add up to %v", s, total)
			}
			for book, term := range want {
				if math.Abs(got[book]-term/sum) > 1e-3*size/sum {
					t.Fatalf("book %d has the share %v of %v, want %v", book, got[book], s, term/sum)
				}
			}
			first := slices.DeleteFunc(slices.Clone(shares), func(s Share) bool { return s.Share < 0 })
			if top := m.explain(q.Own, s.Book, 2); !slices.Equal(top, first[:min(2, len(first))]) {
				t.Fatalf("the first two are %v of %v", top, shares)
			}
		}
	})
}

// explain is Explain for one book.
func (m *Model) explain(own []Own, book int32, limit int) (shares []Share) {
	m.Explain(own, []int32{book}, limit, func(_ int, parts []Share) { shares = slices.Clone(parts) })
	return shares
}

// TestBooksAreExplainedTogetherAsAlone: also those of several categories, those
// that do not exist, and more than are looked at in one pass.
func TestBooksAreExplainedTogetherAsAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyModel(t)
		own := anyQuery(t, len(m.prior)).Own
		books := rapid.SliceOfNDistinct(rapid.Int32Range(-300, int32(len(m.prior))+5), 0, 320, rapid.ID[int32]).Draw(t, "books")
		limit := rapid.IntRange(0, 3).Draw(t, "limit")
		told := map[int][]Share{}
		m.Explain(own, books, limit, func(at int, parts []Share) { told[at] = slices.Clone(parts) })
		for at, b := range books {
			parts, ok := told[at]
			if exists := b >= 0 && int(b) < len(m.prior); ok != exists {
				t.Fatalf("book %d is explained: %v", b, ok)
			}
			if want := m.explain(own, b, limit); !slices.Equal(parts, want) {
				t.Fatalf("book %d: %v, alone %v", b, parts, want)
			}
		}
	})
}

// weigh is the weight of book i in the list of book j, looked for word by word;
// 0 when it is not there.
func (m *Model) weigh(j, i int32) float64 {
	for _, word := range m.near.of(j) {
		if m.near.book(word) == i {
			return float64(m.near.scale[j] * m.near.weight(word))
		}
	}
	return 0
}

// terms are what each own book, and popularity, add to the score of a book, in
// float64 and by other means than the model's.
func (m *Model) terms(own []Own, book int32) map[int32]float64 {
	terms := map[int32]float64{Popularity: float64(m.prior[book])}
	var heard []Own
	neighbour := false
	for _, o := range own {
		if w, ok := m.speaks(o); ok {
			heard = append(heard, Own{o.Book, w})
			v := m.weigh(o.Book, book)
			terms[o.Book] += float64(w) * v
			neighbour = neighbour || v != 0
		}
	}
	for _, o := range own {
		if w, ok := m.opposes(o); ok {
			terms[o.Book] -= float64(w) * max(m.weigh(o.Book, book), 0)
		}
	}
	if !neighbour || m.factors.width == 0 {
		return terms
	}
	k := func(i, j int32) (sum float64) {
		for d, v := range m.factors.of(i) {
			sum += float64(v) * float64(m.factors.of(j)[d])
		}
		return sum
	}
	// (K + diag 1/weights) y = 1, by Gauss and Jordan.
	n := len(heard)
	system := make([][]float64, n)
	for i := range system {
		system[i] = make([]float64, n+1)
		for j := range n {
			system[i][j] = k(heard[i].Book, heard[j].Book)
		}
		system[i][i] += 1 / float64(heard[i].Weight)
		system[i][n] = 1
	}
	for i := range system {
		for j := range system {
			if i == j {
				continue
			}
			by := system[j][i] / system[i][i]
			for c := range system[j] {
				system[j][c] -= by * system[i][c]
			}
		}
	}
	for i, o := range heard {
		y := system[i][n] / system[i][i]
		terms[o.Book] += float64(m.factorWeight) * y * k(o.Book, book)
	}
	return terms
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
	}
	m.near = pack(&neighbours{
		rows:   []int64{0, 4, 6, 8, 10, 10},
		book:   []int32{1, 2, 3, 4, 2, 3, 1, 3, 1, 2},
		weight: []float32{1, 0.9, 0.8, 0.7, 1, 1, 1, 1, 1, 1},
	}, m.categories)
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
				if w := m.weigh(book, b); w > 0 {
					want = append(want, Scored{b, float32(w)})
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
	books := make([]int32, 0, 10)
	told := 0
	// The pool may be emptied by a collection in between: an average below 1
	// still says that nothing is allocated for each answer.
	if n := testing.AllocsPerRun(200, func() {
		dst = m.Recommend(q, dst[:0])
		books = books[:0]
		for _, s := range dst {
			books = append(books, s.Book)
		}
		m.Explain(own, books, 3, func(_ int, parts []Share) { told += len(parts) })
	}); n >= 1 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}
