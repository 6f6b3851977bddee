// Package index finds books by the words of their titles, authors and series,
// whatever the spelling. It is held in memory, about 130 bytes a book, and
// made anew from the store at every start: so search is the same over every
// database, and the databases need no index of words.
//
// A word of a query finds the words it begins, is a part of, or is a slip of
// the finger away from. There is no structure for that: the dictionary of a
// million books is a few megabytes, and going through all of it takes a
// millisecond or so.
//
// It keeps no book, only what finding and counting needs, and never reads or
// writes anything.
package index

import (
	"sync"
	"unicode/utf8"
)

// Book is what is known of a book here.
type Book struct {
	ID         int32
	Title      string
	Authors    []string
	Series     string
	Category   int32 // 0 when not known
	Year       int32 // 0 when not known
	Language   string
	Popularity int64 // orders books that answer equally well
}

// Index is a set of books. Its methods may be called at the same time.
type Index struct {
	mu     sync.RWMutex
	books  []entry
	slots  map[int32]uint32 // by book id, into books
	fields []uint32         // the words of all books, a gap after each field; see entry
	words  dictionary
	langs  names
	dead   int // words in fields that belong to no book any more
	spare  sync.Pool

	ranking ranking
}

// entry is a book. Its words are fields[from:to]: those of the title, then of
// each author and of the series, each field with a gap after it.
type entry struct {
	id         int32
	from, to   uint32 // to is 0 when the book is elsewhere now
	popularity int64
	year       int16
	language   uint16
	category   uint8
}

// gap is the number of no word.
const gap = 0

// dictionary numbers the words there are, from 1.
type dictionary struct {
	numbers map[string]uint32
	text    []byte     // all words in order, a zero byte before each and at the end
	from    []uint32   // where each begins in text
	letters []uint64   // of each, see lettersOf
	length  []uint8    // of each, in characters; 255 for more
	books   [][]uint32 // that have it: slots, rising
}

// names numbers texts, in order of appearance.
type names struct {
	numbers map[string]uint16
	texts   []string
}

// New returns an empty index.
func New() *Index {
	x := &Index{}
	x.clear()
	return x
}

func (x *Index) clear() {
	x.books, x.fields, x.dead = nil, nil, 0
	x.ranking.drop()
	x.slots = make(map[int32]uint32)
	x.words = dictionary{
		numbers: make(map[string]uint32), text: []byte{0}, from: []uint32{0}, letters: []uint64{0}, length: []uint8{0}, books: make([][]uint32, 1),
	}
	x.langs = names{numbers: map[string]uint16{"": 0}, texts: []string{""}}
}

// Len is the number of books.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.slots)
}

// Put adds books, or changes those that are there.
func (x *Index) Put(books []Book) {
	// Folding is most of the work, and needs no lock.
	folded := make([][][]string, len(books))
	for i := range books {
		folded[i] = fieldsOf(&books[i])
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range books {
		x.put(&books[i], folded[i])
	}
	if x.dead > len(x.fields)/2 {
		x.compact()
	}
}

// fieldsOf are the folded words of the title, of each author and of the series.
func fieldsOf(b *Book) [][]string {
	fields := make([][]string, 0, 2+len(b.Authors))
	fields = append(fields, fold(b.Title))
	for _, a := range b.Authors {
		fields = append(fields, fold(a))
	}
	if b.Series != "" {
		fields = append(fields, fold(b.Series))
	}
	return fields
}

func (x *Index) put(b *Book, fields [][]string) {
	from := len(x.fields)
	for _, field := range fields {
		for _, word := range field {
			x.fields = append(x.fields, x.words.number(word))
		}
		x.fields = append(x.fields, gap)
	}
	slot, there := x.slots[b.ID]
	if there {
		old := &x.books[slot]
		if equal(x.fields[old.from:old.to], x.fields[from:]) {
			x.fields = x.fields[:from]
			if old.popularity != b.Popularity {
				x.ranking.note(slot, len(x.books))
			}
			x.describe(old, b)
			return
		}
		x.dead += int(old.to - old.from)
		old.to = 0
	}
	slot = uint32(len(x.books))
	x.books = append(x.books, entry{id: b.ID, from: uint32(from), to: uint32(len(x.fields))})
	x.describe(&x.books[slot], b)
	x.slots[b.ID] = slot
	x.words.add(slot, x.fields[from:])
	x.ranking.note(slot, len(x.books))
}

func (x *Index) describe(e *entry, b *Book) {
	e.popularity = b.Popularity
	e.year = int16(max(-1<<15, min(b.Year, 1<<15-1)))
	e.category = uint8(max(0, min(b.Category, 255)))
	e.language = x.langs.number(language(b.Language))
}

func equal(a, b []uint32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// compact forgets the words of books that have others now.
func (x *Index) compact() {
	books, fields, words, langs := x.books, x.fields, x.words, x.langs
	x.clear()
	x.langs = langs
	for _, e := range books {
		if e.to == 0 {
			continue
		}
		slot, from := uint32(len(x.books)), uint32(len(x.fields))
		for _, w := range fields[e.from:e.to] {
			if w != gap {
				w = x.words.number(words.word(w))
			}
			x.fields = append(x.fields, w)
		}
		e.from, e.to = from, uint32(len(x.fields))
		x.books = append(x.books, e)
		x.slots[e.id] = slot
		x.words.add(slot, x.fields[from:])
	}
}

// SetPopularity changes that of a book, when it is there.
func (x *Index) SetPopularity(book int32, popularity int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if slot, ok := x.slots[book]; ok && x.books[slot].popularity != popularity {
		x.books[slot].popularity = popularity
		x.ranking.note(slot, len(x.books))
	}
}

func (d *dictionary) number(word string) uint32 {
	if n, ok := d.numbers[word]; ok {
		return n
	}
	n := uint32(len(d.from))
	from := len(d.text)
	d.text = append(append(d.text, word...), 0)
	d.from = append(d.from, uint32(from))
	d.letters = append(d.letters, lettersOf(word))
	d.length = append(d.length, uint8(min(utf8.RuneCountInString(word), 255)))
	d.books = append(d.books, nil)
	d.numbers[word] = n
	return n
}

func (d *dictionary) word(n uint32) string {
	to := len(d.text)
	if int(n)+1 < len(d.from) {
		to = int(d.from[n+1])
	}
	return string(d.text[d.from[n] : to-1])
}

// add notes that a book has the words.
func (d *dictionary) add(slot uint32, words []uint32) {
	for _, w := range words {
		if w == gap {
			continue
		}
		if have := d.books[w]; len(have) == 0 || have[len(have)-1] != slot {
			d.books[w] = append(have, slot)
		}
	}
}

// lettersOf is the set of letters of a word, one bit each. Letters share bits,
// so that words with few different bits may be alike, and others are not.
func lettersOf(word string) uint64 {
	var set uint64
	for _, r := range word {
		switch {
		case r >= 'a' && r <= 'z':
			set |= 1 << (r - 'a')
		case r >= '0' && r <= '9':
			set |= 1 << (26 + r - '0')
		default:
			set |= 1 << (36 + r%28)
		}
	}
	return set
}

// number gives the last number to all texts beyond 65,535.
func (n *names) number(text string) uint16 {
	if i, ok := n.numbers[text]; ok {
		return i
	}
	if len(n.texts) > 1<<16-1 {
		return 1<<16 - 1
	}
	i := uint16(len(n.texts))
	n.numbers[text] = i
	n.texts = append(n.texts, text)
	return i
}
