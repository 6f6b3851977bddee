package importer

import (
	"cmp"
	"context"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"strings"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
)

// Bounds on the cost of inference, whatever the size of the data: beyond them
// it works on a sample of the readers, the same one in every run.
const (
	maxPairs   = 4 << 20 // (reader, book) pairs held: 32 MiB
	maxUpdates = 80 << 20
	maxHistory = 300 // books of a reader that are looked at
	neighbours = 20  // kept for each book
)

// coReadership says of every book which others its readers read, most telling
// first.
type coReadership struct {
	near   [][]int32
	weight [][]float32 // adds up to 1 for a book that has neighbours
}

// readCoReadership reads the ratings. Whatever the stars, who has read a book
// tells its kind.
func readCoReadership(ctx context.Context, path string, books []*catalogv1.Book, progress func(done, total int)) (*coReadership, error) {
	index := make(map[string]int32, len(books))
	for i, b := range books {
		index[b.SourceId] = int32(i)
	}
	type pair struct{ reader, book int32 }
	var (
		pairs   []pair
		readers = map[string]int32{}
		hashes  []uint32
		mask    uint32 // readers whose hash has these bits are left out
	)
	err := eachRating(ctx, path, func(_ *rows, reader, book, _ string) error {
		b, ok := index[book]
		if !ok {
			return nil
		}
		r, ok := readers[reader]
		if !ok {
			r = int32(len(readers))
			readers[reader] = r
			h := fnv.New32a()
			h.Write([]byte(reader))
			hashes = append(hashes, h.Sum32())
		}
		if hashes[r]&mask != 0 {
			return nil
		}
		pairs = append(pairs, pair{r, b})
		for len(pairs) > maxPairs {
			mask = mask<<1 | 1
			pairs = slices.DeleteFunc(pairs, func(p pair) bool { return hashes[p.reader]&mask != 0 })
		}
		return nil
	}, func(Finding) {}, progress)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Or(cmp.Compare(a.reader, b.reader), cmp.Compare(a.book, b.book)) })
	pairs = slices.Compact(pairs)

	// Readers in the order of their hashes, until the budget is spent.
	var histories [][]int32
	var order []int32
	for start := 0; start < len(pairs); {
		end := start
		var h []int32
		for ; end < len(pairs) && pairs[end].reader == pairs[start].reader; end++ {
			h = append(h, pairs[end].book)
		}
		if n := len(h); n > 1 && n <= maxHistory {
			histories = append(histories, h)
			order = append(order, pairs[start].reader)
		}
		start = end
	}
	rank := make([]int, len(histories))
	for i := range rank {
		rank[i] = i
	}
	slices.SortFunc(rank, func(a, b int) int {
		return cmp.Or(cmp.Compare(hashes[order[a]], hashes[order[b]]), cmp.Compare(order[a], order[b]))
	})
	readersOf := make([][]int32, len(books))
	updates := 0
	for _, i := range rank {
		if updates += len(histories[i]) * len(histories[i]); updates > maxUpdates {
			break
		}
		for _, b := range histories[i] {
			readersOf[b] = append(readersOf[b], int32(i))
		}
	}
	return coRead(ctx, histories, readersOf)
}

// coRead finds the nearest books of each book: the number of common readers,
// each counting less the more he has read, over the root of both books' own.
func coRead(ctx context.Context, histories, readersOf [][]int32) (*coReadership, error) {
	n := len(readersOf)
	g := &coReadership{near: make([][]int32, n), weight: make([][]float32, n)}
	sum := make([]float32, n)
	mass := make([]float32, n)
	for i := range n {
		for _, r := range readersOf[i] {
			mass[i] += readerWeight(len(histories[r]))
		}
	}
	var touched []int32
	for i := range n {
		if i%64 == 0 {
			if err := context.Cause(ctx); err != nil {
				return nil, err
			}
		}
		touched = touched[:0]
		for _, r := range readersOf[i] {
			w := readerWeight(len(histories[r]))
			for _, j := range histories[r] {
				if sum[j] == 0 {
					touched = append(touched, j)
				}
				sum[j] += w
			}
		}
		for _, j := range touched {
			sum[j] /= float32(math.Sqrt(float64(mass[i]+1) * float64(mass[j]+1)))
		}
		// The best are kept in order by insertion: few of the many get in.
		near := make([]int32, 0, neighbours+1)
		better := func(a, b int32) int { return cmp.Or(cmp.Compare(sum[b], sum[a]), cmp.Compare(a, b)) }
		for _, j := range touched {
			if int(j) == i || len(near) == neighbours && better(j, near[neighbours-1]) > 0 {
				continue
			}
			at, _ := slices.BinarySearchFunc(near, j, better)
			near = slices.Insert(near, at, j)
			near = near[:min(len(near), neighbours)]
		}
		var total float32
		for _, j := range near {
			total += sum[j]
		}
		weight := make([]float32, len(near))
		for k, j := range near {
			weight[k] = sum[j] / total
		}
		g.near[i], g.weight[i] = near, weight
		for _, j := range touched {
			sum[j] = 0
		}
	}
	return g.bothWays(), nil
}

// bothWays makes books neighbours when either has the other among its nearest.
func (g *coReadership) bothWays() *coReadership {
	both := &coReadership{near: make([][]int32, len(g.near)), weight: make([][]float32, len(g.near))}
	weights := make([]map[int32]float32, len(g.near))
	for i := range g.near {
		weights[i] = map[int32]float32{}
	}
	for i, near := range g.near {
		for k, j := range near {
			weights[i][j] += g.weight[i][k]
			weights[j][int32(i)] += g.weight[i][k]
		}
	}
	for i, w := range weights {
		both.near[i] = slices.Sorted(maps.Keys(w))
		var total float32
		for _, j := range both.near[i] {
			total += w[j]
		}
		for _, j := range both.near[i] {
			both.weight[i] = append(both.weight[i], w[j]/total)
		}
	}
	return both
}

func readerWeight(books int) float32 { return float32(1 / math.Sqrt(float64(books))) }

// What counts how much when a book's category is inferred: the company it keeps
// among readers counts 1.
const (
	authorWeight = 1.0 // the author's other books
	shelfWeight  = 3.0 // the author is one of shelfAuthors
	seriesWeight = 1.5 // the other books of the series
	titleWeight  = 0.6 // a telling word in the title
	rounds       = 30
	damping      = 0.95 // per step away from a book that is known

	// minShare is how much of what is known about a book must speak for its
	// category, and minEvidence how much must be known, 0 to 1. Below, the book
	// has none: an empty field is better than a wrong shelf.
	minShare    = 0.27
	minEvidence = 0.1
)

// titleWords tell a category by themselves. Each is looked for between word
// boundaries in the lower-case title.
var titleWords = []struct {
	category catalogv1.Category
	words    []string
}{
	{catalogv1.Category_CATEGORY_COOKING, []string{"cookbook", "recipes", "cooking"}},
	{catalogv1.Category_CATEGORY_BIOGRAPHY, []string{"memoir", "memoirs", "autobiography", "biography"}},
	{catalogv1.Category_CATEGORY_POETRY, []string{"poems", "poetry"}},
	{catalogv1.Category_CATEGORY_COMICS, []string{"vol.", "omnibus"}},
	{catalogv1.Category_CATEGORY_ESSAYS, []string{"essays"}},
	{catalogv1.Category_CATEGORY_SHORT_STORIES, []string{"short stories", "other stories", "collected stories", "complete stories"}},
	{catalogv1.Category_CATEGORY_HISTORY, []string{"a history of", "the history of", "civil war", "world war ii"}},
}

// share is how much speaks for each category; it adds up to at most 1.
type share [numCategories]float32

// numCategories is that of the contract, UNSPECIFIED included.
const numCategories = int(catalogv1.Category_CATEGORY_TECHNOLOGY) + 1

func (s *share) add(o *share, weight float32) {
	for c := range s {
		s[c] += weight * o[c]
	}
}

func (s *share) total() (sum float32) {
	for _, v := range s {
		sum += v
	}
	return sum
}

// inferCategories gives each book a category, or none, by label propagation.
// Books that the seeds have too (same title, same author's surname) are known;
// from them the categories spread to the books their readers read, to those of
// the same author and of the same series, in a fixed number of rounds, together
// with what the author and the title themselves tell. It is deterministic.
//
// On goodbooks-10k nine books of ten get a category, and of those some 19 in 20
// stand on a shelf where a reader would look for them.
func inferCategories(books, seeds []*catalogv1.Book, g *coReadership) []catalogv1.Category {
	out := make([]catalogv1.Category, len(books))
	for i, s := range spread(books, seeds, g) {
		best, total := 0, s.total()
		for c := range s {
			if s[c] > s[best] {
				best = c
			}
		}
		if total >= minEvidence && s[best] >= minShare*total {
			out[i] = catalogv1.Category(best)
		}
	}
	return out
}

// spread is the propagation of inferCategories: what speaks for each category
// of each book.
func spread(books, seeds []*catalogv1.Book, g *coReadership) []share {
	n := len(books)
	fixed := matchSeeds(books, seeds)
	authors, series, clues := groups(books, authorKey), groups(books, seriesKey), make([]share, n)
	for i, b := range books {
		clues[i] = titleClue(b.Title)
	}
	byAuthor := authorShares(seeds)

	now, next := make([]share, n), make([]share, n)
	for i, c := range fixed {
		if c != 0 {
			now[i][c] = 1
		}
	}
	for range rounds {
		authorSum, seriesSum := authors.sum(now), series.sum(now)
		for i := range n {
			if fixed[i] != 0 {
				next[i] = now[i]
				continue
			}
			var s share
			weight := float32(1)
			for k, j := range g.near[i] {
				s.add(&now[j], g.weight[i][k])
			}
			if others, ok := authors.others(i, authorSum, now); ok {
				s.add(&others, authorWeight)
				weight += authorWeight
			}
			if known, ok := byAuthor[authorKey(books[i])]; ok {
				s.add(&known, authorWeight)
				weight += authorWeight
			}
			if c := shelfOf[authorKey(books[i])]; c != 0 {
				s[c] += shelfWeight
				weight += shelfWeight
			}
			if others, ok := series.others(i, seriesSum, now); ok {
				s.add(&others, seriesWeight)
				weight += seriesWeight
			}
			if clues[i].total() > 0 {
				s.add(&clues[i], titleWeight)
				weight += titleWeight
			}
			for c := range s {
				s[c] *= damping / weight
			}
			next[i] = s
		}
		now, next = next, now
	}
	return now
}

// matchSeeds finds the books that are among the seeds, and their categories.
func matchSeeds(books, seeds []*catalogv1.Book) []catalogv1.Category {
	byTitle := map[string][]*catalogv1.Book{}
	for _, s := range seeds {
		byTitle[titleKey(s.Title)] = append(byTitle[titleKey(s.Title)], s)
	}
	out := make([]catalogv1.Category, len(books))
	for i, b := range books {
		for _, s := range byTitle[titleKey(b.Title)] {
			if out[i] == 0 && sharesAuthor(b, s) {
				out[i] = s.Category
			}
		}
	}
	return out
}

func sharesAuthor(a, b *catalogv1.Book) bool {
	for _, x := range a.Authors {
		for _, y := range b.Authors {
			if surname(x) == surname(y) {
				return true
			}
		}
	}
	return false
}

// titleKey is what of a title is the same in all editions.
func titleKey(title string) string {
	title, _, _ = strings.Cut(strings.ToLower(title), ":")
	title, _, _ = strings.Cut(title, " (")
	for _, article := range []string{"the ", "a ", "an "} {
		title = strings.TrimPrefix(title, article)
	}
	return fold(strings.ReplaceAll(title, "&", "and"))
}

func surname(author string) string {
	words := strings.Fields(author)
	for len(words) > 1 && (strings.HasPrefix(words[len(words)-1], "Jr") || strings.HasPrefix(words[len(words)-1], "Sr")) {
		words = words[:len(words)-1]
	}
	if len(words) == 0 {
		return ""
	}
	return fold(words[len(words)-1])
}

// authorKey is the first author: those that follow are often translators,
// illustrators and writers of forewords.
func authorKey(b *catalogv1.Book) string {
	if len(b.Authors) == 0 {
		return ""
	}
	return fold(b.Authors[0])
}

func seriesKey(b *catalogv1.Book) string { return fold(b.Series) }

// authorShares is what each author's books among the seeds are.
func authorShares(seeds []*catalogv1.Book) map[string]share {
	out := map[string]share{}
	count := map[string]int{}
	for _, s := range seeds {
		if k := authorKey(s); k != "" && s.Category != 0 {
			sum := out[k]
			sum[s.Category]++
			out[k] = sum
			count[k]++
		}
	}
	for k, sum := range out {
		for c := range sum {
			sum[c] /= float32(count[k])
		}
		out[k] = sum
	}
	return out
}

// titleClue is what the words of a title say.
func titleClue(title string) (s share) {
	words := " " + strings.Map(func(r rune) rune {
		if strings.ContainsRune(",:;()!?", r) {
			return ' '
		}
		return r
	}, strings.ToLower(title)) + " "
	for _, t := range titleWords {
		for _, w := range t.words {
			if strings.Contains(words, " "+w+" ") {
				s[t.category] = 1
				return s
			}
		}
	}
	return s
}

// grouping puts books into groups.
type grouping struct {
	group []int32 // by book; -1 for none
	size  []float32
}

func groups(books []*catalogv1.Book, key func(*catalogv1.Book) string) grouping {
	g := grouping{group: make([]int32, len(books))}
	index := map[string]int32{}
	for i, b := range books {
		k := key(b)
		if k == "" {
			g.group[i] = -1
			continue
		}
		n, ok := index[k]
		if !ok {
			n = int32(len(g.size))
			index[k] = n
			g.size = append(g.size, 0)
		}
		g.group[i] = n
		g.size[n]++
	}
	return g
}

// sum adds up the books of each group.
func (g grouping) sum(books []share) []share {
	sums := make([]share, len(g.size))
	for i := range books {
		if n := g.group[i]; n >= 0 {
			sums[n].add(&books[i], 1)
		}
	}
	return sums
}

// others is the mean of the other books of a book's group, when there are any
// and something is known about them.
func (g grouping) others(i int, sums, books []share) (share, bool) {
	n := g.group[i]
	if n < 0 || g.size[n] < 2 {
		return share{}, false
	}
	s := sums[n]
	s.add(&books[i], -1)
	for c := range s {
		s[c] = max(s[c], 0) / (g.size[n] - 1)
	}
	return s, s.total() > 0.01
}
