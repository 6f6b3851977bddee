package index

import (
	"bytes"
	"cmp"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"
)

// Query is what somebody looks for.
type Query struct {
	Text string // in any spelling
	Filter
	// Typing says that the last word may not be complete: books whose title
	// begins like this are good answers. When they are many, the answer does not
	// count them all.
	Typing bool
	// After is where the page before ended, nil for the first page. Only
	// answers that come later in the order are returned.
	After *Place
	Limit int // of answers, at least 1
}

// Filter leaves out books. The zero value leaves out none.
type Filter struct {
	Category         int32  // 0 for all
	FromYear, ToYear int32  // both included; 0 for no bound. A year not known is outside every bound
	Language         string // the primary one of a BCP 47 tag, such as "en"; empty for all
}

// Place is where a book stands in the order of the answers to one query. It
// depends on the query and the book alone, not on other books.
type Place struct {
	Class, Cost uint8
	Popularity  int64
	ID          int32
	// Lenient says that misspelled words were looked for. It is the same for
	// all answers to a query.
	Lenient bool
}

func (p Place) compare(q Place) int {
	return cmp.Or(
		cmp.Compare(p.Class, q.Class),
		cmp.Compare(p.Cost, q.Cost),
		cmp.Compare(q.Popularity, p.Popularity),
		cmp.Compare(p.ID, q.ID),
	)
}

// Answer is what was found.
type Answer struct {
	Places []Place // best first
	More   bool    // whether others come after them
	Total  int     // books that answer, on all pages
	// How many books answer with each value: what a filter on it would leave,
	// the others staying as they are.
	Categories map[int32]int
	Decades    map[int32]int // by their first years
	Languages  map[string]int
}

// Classes of answers, best first.
const (
	exactTitle = iota
	exactName  // the title begins with the query, or an author or the series is called so
	titleWords // the words of the query are words of the title
	nearTitle  // the title with a slip
	otherWords // other words, or words like them
)

// What the words of a book cost that are not those of the query.
const (
	same   = 1 // cost 0; 0 itself is for words that are not alike
	begun  = 2 // the query's word is the beginning of it
	slip   = 3 // one slip away
	within = 4 // the query's word is a part of it
	near   = 5 // two slips or more
)

const (
	// A query is its first words; the others are ignored.
	maxWords = 24
	// With fewer answers that have all the words there may be a mistake.
	enough = 10
	// Longer words are looked up as they are.
	longestWord = 40
	// A mistake in less than this many letters is not to be told from another
	// word.
	leastLetters = 3
	// From this many letters on, a word may have two mistakes.
	longWord = 8
	// More than this are another word.
	mostSlips = 3
)

// Search answers a query. It never fails, whatever the query says; one
// without letters or digits finds nothing.
func (x *Index) Search(q Query) Answer {
	words := fold(q.Text)
	words = words[:min(len(words), maxWords)]
	if len(words) == 0 {
		return Answer{}
	}
	if q.Typing {
		x.rank()
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	s, ok := x.spare.Get().(*search)
	if !ok {
		s = &search{}
	}
	defer x.spare.Put(s)
	if q.Typing && q.After == nil {
		if s.begin(x, q); s.typed(words) {
			return s.answer()
		}
	}
	if q.After == nil || !q.After.Lenient {
		s.begin(x, q)
		s.pass(words, 0)
		if q.After != nil || s.exact >= enough || s.best.Class == exactTitle || len(q.Text) < leastLetters {
			return s.answer()
		}
	}
	s.begin(x, q)
	s.lenient = true
	s.pass(words, 0)
	for _, others := range x.words.respaced(words) {
		s.pass(others, slip-same)
	}
	return s.answer()
}

// Only answers with one book, as far as the filter lets it through, to a query
// that is known to mean it.
func (x *Index) Only(book int32, q Query) Answer {
	x.mu.RLock()
	defer x.mu.RUnlock()
	s := &search{}
	s.begin(x, q)
	if slot, ok := x.slots[book]; ok {
		e := &x.books[slot]
		s.take(e, Place{Class: exactTitle, Popularity: e.popularity, ID: e.id})
	}
	return s.answer()
}

// search is the work on one query. Its memory is used again.
type search struct {
	x       *Index
	q       Query
	lang    uint16
	noLang  bool // the language of the filter is that of no book
	lenient bool

	terms   [][]uint8  // for each word of the query, what each word there is costs, and 1
	alike   [][]uint32 // for each, those that cost anything at all
	seen    []uint64   // slots that answered already
	chosen  []uint64   // slots to look at
	places  []Place
	worst   Place // of places, once there are enough
	full    bool
	best    Place
	total   int // answers
	exact   int // those that have all the words
	cats    [256]int
	decades map[int32]int
	langs   []int
}

func (s *search) begin(x *Index, q Query) {
	s.x, s.q, s.lenient = x, q, false
	s.lang, s.noLang = 0, false
	if q.Language != "" {
		var ok bool
		s.lang, ok = x.langs.numbers[language(q.Language)]
		s.noLang = !ok
	}
	size := (len(x.books) + 63) / 64
	s.seen, s.chosen = cleared(s.seen, size), cleared(s.chosen, size)
	s.places, s.full, s.total, s.exact = s.places[:0], false, 0, 0
	s.best = Place{Class: otherWords + 1}
	clear(s.cats[:])
	s.decades = make(map[int32]int)
	s.langs = cleared(s.langs, len(x.langs.texts))
}

func cleared[T any](s []T, size int) []T {
	s = slices.Grow(s[:0], size)[:size]
	clear(s)
	return s
}

// pass looks for books that have every word, or words like them. An extra cost
// is for words that are not quite those of the query, and have to be found as
// they are.
func (s *search) pass(words []string, extra uint8) {
	d := &s.x.words
	for len(s.terms) < len(words) {
		s.terms, s.alike = append(s.terms, nil), append(s.alike, nil)
	}
	terms := s.terms[:len(words)]
	rarest, books := 0, -1
	for i, word := range words {
		s.terms[i] = cleared(s.terms[i], len(d.from))
		s.alike[i] = s.alike[i][:0]
		s.fill(i, word, extra > 0, i == len(words)-1)
		n := 0
		for _, w := range s.alike[i] {
			n += len(d.books[w])
		}
		if n == 0 {
			return
		}
		if books < 0 || n < books {
			rarest, books = i, n
		}
	}
	clear(s.chosen)
	for _, w := range s.alike[rarest] {
		for _, slot := range d.books[w] {
			s.chosen[slot/64] |= 1 << (slot % 64)
		}
	}
	the := d.numbers["the"]
	for i, set := range s.chosen {
		for set &= ^s.seen[i]; set != 0; set &= set - 1 {
			slot := i*64 + bits.TrailingZeros64(set)
			e := &s.x.books[slot]
			if e.to == 0 {
				continue
			}
			class, cost, ok := s.match(terms, s.x.fields[e.from:e.to], the)
			if !ok {
				continue
			}
			if extra > 0 {
				// The words are not those of the query.
				class, cost = max(class, nearTitle), cost+extra
				if class == nearTitle && !s.wholeTitle(terms, s.x.fields[e.from:e.to], the) {
					class = otherWords
				}
			}
			s.seen[i] |= 1 << (slot % 64)
			s.take(e, Place{Class: class, Cost: cost, Popularity: e.popularity, ID: e.id, Lenient: s.lenient})
		}
	}
}

// fill finds the words like one of the query.
func (s *search) fill(i int, word string, asItIs, last bool) {
	d, costs := &s.x.words, s.terms[i]
	note := func(w uint32, cost uint8) {
		if costs[w] == 0 {
			s.alike[i] = append(s.alike[i], w)
		}
		if costs[w] == 0 || cost < costs[w] {
			costs[w] = cost
		}
	}
	if n, ok := d.numbers[word]; ok {
		note(n, same)
	}
	if asItIs {
		return
	}
	length := utf8.RuneCountInString(word)
	if last || length >= leastLetters {
		cost := uint8(begun)
		if s.q.Typing && last {
			cost = same
		}
		d.containing("\x00"+word, func(w uint32) { note(w, cost) })
	}
	if !s.lenient || len(word) > 4*longestWord || length > longestWord {
		return
	}
	slips := 1
	switch {
	case i == 0 && last && length < leastLetters:
		slips = 0
	case length >= longWord:
		slips = 2
	}
	d.near(word, length, slips, func(w uint32, slips int) {
		if slips == 1 {
			note(w, slip)
		} else {
			note(w, near)
		}
	})
	if length > leastLetters || len(word) > length {
		d.containing(word, func(w uint32) { note(w, within) })
	}
}

// match tells how well a book with these words answers.
func (s *search) match(terms [][]uint8, words []uint32, the uint32) (class, cost uint8, ok bool) {
	var costs, titleCosts [maxWords]uint8
	title := true
	for _, w := range words {
		if w == gap {
			title = false
			continue
		}
		for i, term := range terms {
			c := term[w]
			if c == 0 {
				continue
			}
			if costs[i] == 0 || c < costs[i] {
				costs[i] = c
			}
			if title && (titleCosts[i] == 0 || c < titleCosts[i]) {
				titleCosts[i] = c
			}
		}
	}
	exact, inTitle := true, true
	for i := range terms {
		if costs[i] == 0 {
			return 0, 0, false
		}
		cost += costs[i] - same
		exact = exact && costs[i] == same
		inTitle = inTitle && titleCosts[i] == same
	}
	if exact {
		s.exact++
		switch c := s.named(terms, words, the); {
		case c < titleWords:
			return c, 0, true
		case inTitle:
			return titleWords, 0, true
		}
		return otherWords, 0, true
	}
	if s.lenient && s.wholeTitle(terms, words, the) {
		return nearTitle, cost, true
	}
	return otherWords, cost, true
}

// named tells whether the title, an author or the series is what the query
// says. Its class is at most exactName when it is.
func (s *search) named(terms [][]uint8, words []uint32, the uint32) uint8 {
	begins := func(field []uint32) bool {
		if len(field) < len(terms) {
			return false
		}
		for i, term := range terms {
			if term[field[i]] != same {
				return false
			}
		}
		return true
	}
	class, title := uint8(otherWords), true
	for len(words) > 0 {
		end := slices.Index(words, gap)
		field := words[:end]
		words = words[end+1:]
		if title {
			title = false
			without := field
			if len(field) > 0 && field[0] == the {
				without = field[1:]
			}
			for _, f := range [...][]uint32{field, without} {
				if begins(f) {
					if len(f) == len(terms) && !s.q.Typing {
						return exactTitle
					}
					class = exactName
				}
			}
		} else if len(field) == len(terms) && begins(field) {
			class = exactName
		}
	}
	return class
}

// wholeTitle tells whether the words of the title are like those of the query,
// one by one.
func (s *search) wholeTitle(terms [][]uint8, words []uint32, the uint32) bool {
	title := words[:slices.Index(words, gap)]
	if len(title) == len(terms)+1 && title[0] == the {
		title = title[1:]
	}
	if len(title) != len(terms) {
		return false
	}
	for i, term := range terms {
		if term[title[i]] == 0 {
			return false
		}
	}
	return true
}

// take counts an answer, and keeps it when it is among the best.
func (s *search) take(e *entry, p Place) {
	f := &s.q.Filter
	inCategory := f.Category == 0 || int32(e.category) == f.Category
	inYears := f.FromYear == 0 && f.ToYear == 0 ||
		e.year != 0 && (f.FromYear == 0 || int32(e.year) >= f.FromYear) && (f.ToYear == 0 || int32(e.year) <= f.ToYear)
	inLanguage := !s.noLang && (s.lang == 0 || e.language == s.lang)
	if inYears && inLanguage {
		s.cats[e.category]++
	}
	if inCategory && inLanguage && e.year != 0 {
		s.decades[Decade(int32(e.year))]++
	}
	if inCategory && inYears {
		s.langs[e.language]++
	}
	if !inCategory || !inYears || !inLanguage {
		return
	}
	s.total++
	if p.compare(s.best) < 0 {
		s.best = p
	}
	if s.q.After != nil && p.compare(*s.q.After) <= 0 || s.full && p.compare(s.worst) >= 0 {
		return
	}
	// One more than asked for tells whether there are more.
	if s.places = append(s.places, p); len(s.places) >= 4*(s.q.Limit+1) {
		slices.SortFunc(s.places, Place.compare)
		s.places = s.places[:s.q.Limit+1]
		s.worst, s.full = s.places[s.q.Limit], true
	}
}

func (s *search) answer() Answer {
	slices.SortFunc(s.places, Place.compare)
	a := Answer{
		More: len(s.places) > s.q.Limit, Total: s.total,
		Categories: make(map[int32]int), Decades: s.decades, Languages: make(map[string]int),
	}
	a.Places = slices.Clone(s.places[:min(len(s.places), s.q.Limit)])
	for c, n := range s.cats {
		if c > 0 && n > 0 {
			a.Categories[int32(c)] = n
		}
	}
	for l, n := range s.langs {
		if l > 0 && n > 0 {
			a.Languages[s.x.langs.texts[l]] = n
		}
	}
	s.x, s.decades = nil, nil
	return a
}

// Decade is the first year of the ten that a year belongs to.
func Decade(year int32) int32 {
	if year < 0 {
		year -= 9
	}
	return year / 10 * 10
}

// language is the primary language of a BCP 47 tag.
func language(tag string) string {
	tag, _, _ = strings.Cut(tag, "-")
	return strings.ToLower(tag)
}

// containing calls f for each word that has the part, which may begin with the
// zero byte that is before each word.
func (d *dictionary) containing(part string, f func(word uint32)) {
	needle := []byte(part)
	for at := 0; ; {
		i := bytes.Index(d.text[at:], needle)
		if i < 0 {
			return
		}
		inside := uint32(at + i + min(1, len(part)-1))
		w, ok := slices.BinarySearch(d.from, inside)
		if !ok {
			w--
		}
		f(uint32(w))
		if w+1 == len(d.from) {
			return
		}
		at = int(d.from[w+1]) - 1
	}
}

// near calls f for each word that most slips or fewer turn into the one given:
// a letter put in, left out, replaced, or swapped with its neighbour.
func (d *dictionary) near(word string, length, most int, f func(word uint32, slips int)) {
	set, a := lettersOf(word), []rune(word)
	var memory [longestWord + mostSlips]rune
	for w := 1; w < len(d.from); w++ {
		// A slip changes the length by one, and the set of letters by two.
		if bits.OnesCount64(set^d.letters[w]) > 2*most || max(int(d.length[w])-length, length-int(d.length[w])) > most {
			continue
		}
		b := memory[:0]
		for text := d.text[d.from[w]:]; text[0] != 0; {
			r, size := utf8.DecodeRune(text)
			b, text = append(b, r), text[size:]
		}
		if n := slips(a, b, most); n > 0 {
			f(uint32(w), n)
		}
	}
}

// slips is how many letters must be put in, left out, replaced or swapped with
// their neighbour to turn a into b, or -1 when it is more than most. Both are
// at most longestWord+mostSlips long. It is the optimal string alignment distance, of
// which only the band around the diagonal is worked out.
func slips(a, b []rune, most int) int {
	if len(a)-len(b) > most || len(b)-len(a) > most {
		return -1
	}
	var rows [3][longestWord + mostSlips + 1]int
	before, last, row := &rows[0], &rows[1], &rows[2]
	far := most + 1
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		from, to := max(1, i-most), min(len(b), i+most)
		least := far
		row[from-1] = far
		if from == 1 {
			row[0], least = i, i
		}
		for j := from; j <= to; j++ {
			changed := 1
			if a[i-1] == b[j-1] {
				changed = 0
			}
			n := min(last[j-1]+changed, row[j-1]+1)
			if j < i+most {
				n = min(n, last[j]+1)
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				n = min(n, before[j-2]+1)
			}
			row[j] = n
			least = min(least, n)
		}
		if least > most {
			return -1
		}
		before, last, row = last, row, before
	}
	if last[len(b)] > most {
		return -1
	}
	return last[len(b)]
}

// respaced are the words with one slip in the spaces between them: a space
// left out, put in, replaced by a letter, or swapped with its neighbour. All
// words of each exist.
func (d *dictionary) respaced(words []string) [][]string {
	var all [][]string
	try := func(i, n int, by ...string) {
		for _, w := range by {
			if _, ok := d.numbers[w]; !ok {
				return
			}
		}
		for _, rest := range [...][]string{words[:i], words[i+n:]} {
			for _, w := range rest {
				if _, ok := d.numbers[w]; !ok {
					return
				}
			}
		}
		if others := slices.Concat(words[:i], by, words[i+n:]); len(others) <= maxWords {
			all = append(all, others)
		}
	}
	for i, word := range words {
		for at, letter := range word {
			if at > 0 {
				try(i, 1, word[:at], word[at:])
				try(i, 1, word[:at], word[at+utf8.RuneLen(letter):])
			}
		}
		if i+1 == len(words) {
			break
		}
		next := words[i+1]
		try(i, 2, word+next)
		_, first := utf8.DecodeRuneInString(next)
		_, last := utf8.DecodeLastRuneInString(word)
		if first < len(next) {
			try(i, 2, word+next[:first], next[first:])
		}
		if last < len(word) {
			try(i, 2, word[:len(word)-last], word[len(word)-last:]+next)
		}
	}
	return all[:min(len(all), maxWords)]
}
