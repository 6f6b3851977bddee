package recommendations

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func anyBook(*book) bool          { return true }
func (c *catalogue) all() []*book { return slices.Clone(c.slots) }
func volume(id int32, place float32) listing {
	return listing{book: &book{id: id, category: 1, place: place}, authors: []string{"A"}, series: "S", tags: []string{"sea", "war"}}
}

func TestLikeness(t *testing.T) {
	c := newCatalogue()
	c.put([]listing{
		volume(1, 1),
		volume(2, 2),
		volume(3, 3),
		{book: &book{id: 4, category: 2}, authors: []string{"A"}},
		{book: &book{id: 5, category: 1}, authors: []string{"B"}},
		{book: &book{id: 6, category: 2}, authors: []string{"B", "A"}},
		{book: &book{id: 7, category: 2}, authors: []string{"B"}, tags: []string{"sea", "war"}},
		{book: &book{id: 8}},
	})
	tests := []struct {
		name     string
		own, new int32
		want     float32 // 0 when it is no candidate
	}{
		{"the same in all", 2, 1, 1},
		{"the next volume", 1, 2, 1.5},
		{"a later volume", 1, 3, 1},
		{"the author", 1, 4, 0.3},
		{"the author, one of two", 4, 6, 0.05 + 0.3*float32(math.Sqrt(0.5))},
		{"the category", 1, 5, 0.05},
		{"the tags", 1, 7, 0.35},
		{"nothing", 1, 8, 0},
		{"nothing known", 8, 1, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var m comparison
			own := []liked{{c.get(test.own), 0.5}}
			var got float32
			for _, found := range c.index.like(c, own, byAll, anyBook, &m) {
				if found.book.id == test.new {
					got = found.score
				}
			}
			if math.Abs(float64(got-test.want/2)) > 1e-6 {
				t.Errorf("the likeness at weight ½ is %v, want %v", got, test.want/2)
			}
		})
	}
}

// TestTermsAddUpToTheScore: whatever the books are, a reason's share is of the
// sum that ranked the book, and comparing leaves nothing behind.
func TestTermsAddUpToTheScore(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	var m comparison
	for range 200 {
		c := newCatalogue()
		c.put(randomListings(random, 80))
		c.learn(func(id int32) bool { return id%2 == 0 })
		books := c.all()
		var own []liked
		for range 1 + random.IntN(10) {
			own = append(own, liked{books[random.IntN(len(books))], random.Float32()})
		}
		found := slices.Clone(c.newLike(own, byAll, anyBook, &m))
		for _, candidate := range found {
			if candidate.book.id%2 == 0 {
				t.Fatalf("book %d has readers", candidate.book.id)
			}
			var sum float32
			want := map[*book]float32{}
			for _, l := range own {
				term := l.weight * likeness(l.book, candidate.book)
				want[l.book] += term
				sum += term
			}
			if !near(candidate.score, sum) {
				t.Fatalf("book %d has a score of %v, want %v", candidate.book.id, candidate.score, sum)
			}
			var added float32
			last := float32(1)
			for _, term := range appendTerms(nil, candidate.book, own, &m) {
				added += term.share
				want[term.book] -= term.share * sum
				if term.share > last+1e-6 {
					t.Fatalf("a share of %v comes after one of %v", term.share, last)
				}
				last = term.share
			}
			for b, left := range want {
				if !near(1+left, 1) {
					t.Fatalf("the share of book %d in %v is wrong by %v", b.id, candidate.score, left)
				}
			}
			if !near(added, 1) {
				t.Fatalf("book %d: the shares add up to %v", candidate.book.id, added)
			}
		}
		if slices.Contains(m.marked, true) || slices.ContainsFunc(m.sums, func(s float32) bool { return s != 0 }) {
			t.Fatal("comparing left something behind")
		}
	}
}

func near(a, b float32) bool { return math.Abs(float64(a-b)) < 1e-5*math.Abs(float64(b))+1e-6 }

// likeness is by definition what like and appendTerms find in bulk.
func likeness(own, b *book) float32 {
	sum := b.follows(own)
	for _, f := range own.features {
		for _, g := range b.features {
			if f.id == g.id {
				sum += f.root * g.root
			}
		}
	}
	return sum
}

func randomListings(random *rand.Rand, n int) []listing {
	listings := make([]listing, n)
	for i := range listings {
		b := &book{id: 1 + random.Int32N(60), category: uint8(random.IntN(4)), place: float32(random.IntN(4))}
		listings[i] = listing{book: b}
		for range random.IntN(5) {
			listings[i].authors = append(listings[i].authors, fmt.Sprint("author ", random.IntN(20)))
		}
		if random.IntN(2) == 0 {
			listings[i].series = fmt.Sprint("series ", random.IntN(6))
		}
		for range random.IntN(15) {
			listings[i].tags = append(listings[i].tags, fmt.Sprint("tag ", random.IntN(30)))
		}
	}
	return listings
}

// TestIndexFollowsTheFeed compares an index that saw every change with one that
// was made of the last state alone.
func TestIndexFollowsTheFeed(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	read := map[int32]bool{}
	learnt := func(id int32) bool { return read[id] }
	c := newCatalogue()
	for round := range 100 {
		if round == 50 {
			c.clear()
		}
		if round%7 == 0 {
			read = map[int32]bool{1 + random.Int32N(60): true, 1 + random.Int32N(60): true}
			c.learn(learnt)
		}
		c.put(randomListings(random, 5))
		var unread index
		var all index
		var count int64
		for _, b := range c.all() {
			all.add(b)
			if !read[b.id] {
				unread.add(b)
				count++
			}
		}
		if c.unreadBooks.Load() != count {
			t.Fatalf("round %d: %d books without readers, want %d", round, c.unreadBooks.Load(), count)
		}
		for f := range int32(len(c.names) + 1) {
			for name, lists := range map[string][2]index{"all": {c.index, all}, "unread": {c.unread, unread}} {
				got, want := slices.Sorted(slices.Values(lists[0].of(f))), slices.Sorted(slices.Values(lists[1].of(f)))
				if !slices.Equal(got, want) {
					t.Fatalf("round %d: %s of feature %d: %v, want %v", round, name, f, got, want)
				}
			}
		}
		for id, b := range c.books {
			if b.id != id || c.slots[b.slot] != b {
				t.Fatalf("round %d: book %d is in another's place", round, id)
			}
		}
	}
}

// TestComparingIsBounded: ten thousand books that are all alike.
func TestComparingIsBounded(t *testing.T) {
	c := newCatalogue()
	listings := make([]listing, 10_000)
	for i := range listings {
		listings[i] = volume(int32(i)+1, 0)
		listings[i].tags = []string{fmt.Sprint(i % 5), fmt.Sprint(i % 7), fmt.Sprint(i % 11)}
	}
	c.put(listings)
	var own []liked
	for _, b := range c.all()[:mostLiked] {
		own = append(own, liked{b, 1})
	}
	var m comparison
	if found := c.newLike(own, byAll, anyBook, &m); len(found) > mostCandidates || len(found) < newestOfList {
		t.Errorf("%d books compared, want at most %d", len(found), mostCandidates)
	}
}

func BenchmarkLike(b *testing.B) {
	for _, test := range []struct {
		books int
		by    reach
	}{{1_000, byAll}, {100_000, byAll}, {1_000, byAuthorAndSeries}, {100_000, byAuthorAndSeries}} {
		books := test.books
		b.Run(fmt.Sprint(books, "books/reach", test.by), func(b *testing.B) {
			random := rand.New(rand.NewPCG(9, 10))
			c := newCatalogue()
			listings := make([]listing, books)
			for i := range listings {
				listings[i] = listing{book: &book{id: int32(i) + 1, category: uint8(1 + random.IntN(32))}, authors: []string{fmt.Sprint(random.IntN(books / 5))}}
				for range 6 {
					listings[i].tags = append(listings[i].tags, fmt.Sprint(int(float64(books/20)*random.Float64()*random.Float64())))
				}
			}
			c.put(listings)
			all := c.all()
			var own []liked
			for range 20 {
				own = append(own, liked{all[random.IntN(books)], 1})
			}
			var m comparison
			b.ReportAllocs()
			for b.Loop() {
				c.newLike(own, test.by, anyBook, &m)
			}
		})
	}
}
