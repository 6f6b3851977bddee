package recommendations

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// categories is one more than the highest number of a category; 0 is that of
// books whose category nobody knows, and in a question that of all books.
const categories = 33

// book is what an answer says of a book. It does not change once the catalogue
// has it. What every answer with it reads comes first, and is one cache line.
type book struct {
	id       int32
	category uint8

	// Given by the catalogue, as are the features.
	slot   int32
	author int32 // the first one's feature; 0 when nobody knows
	series int32 // its feature; 0 for none
	place  float32

	suggested []byte // encoded, see encode
	title     string
	named     []byte // encoded, see encode
	features  []feature

	// popularity is from when the catalogue last sent the book, which is when
	// the book changed or this process began. It orders books before the first
	// training; the model has readers of its own counting.
	popularity int64
}

// listing is a book as the catalogue's feed tells of it.
type listing struct {
	book    *book
	authors []string
	series  string
	tags    []string
}

// catalogue holds all books. Safe for concurrent use.
type catalogue struct {
	changing sync.Mutex // held by the one who changes anything, taken before mu

	mu     sync.RWMutex
	books  map[int32]*book
	slots  []*book               // every book has a place that it keeps
	names  map[featureName]int32 // the features from 1
	index  index                 // of all books
	unread index                 // of those that learnt says no to
	learnt func(book int32) bool

	unreadBooks atomic.Int64

	// generation goes up with every change; views made of an earlier one are
	// out of date.
	generation atomic.Uint64
	shelved    atomic.Pointer[shelves]
	making     sync.Mutex
}

// featureName is how the feed names a feature.
type featureName struct {
	kind featureKind
	name string
}

// shelves are the books in the order of their popularity.
type shelves struct {
	generation uint64
	byCategory [categories][]*book // at 0 all books
}

func newCatalogue() *catalogue {
	return &catalogue{
		books:  make(map[int32]*book),
		names:  make(map[featureName]int32),
		learnt: func(int32) bool { return false },
	}
}

func (c *catalogue) put(books []listing) {
	if len(books) == 0 {
		return
	}
	c.changing.Lock()
	defer c.changing.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range books {
		c.putOne(l)
	}
	c.generation.Add(1)
}

func (c *catalogue) putOne(l listing) {
	b := l.book
	old := c.books[b.id]
	if old == nil {
		b.slot = int32(len(c.slots))
		c.slots = append(c.slots, b)
		if !c.learnt(b.id) {
			c.unreadBooks.Add(1)
		}
	} else {
		b.slot = old.slot
		c.slots[b.slot] = b
	}
	c.books[b.id] = b
	c.describe(l)
	if old != nil {
		if slices.EqualFunc(old.features, b.features, func(a, b feature) bool { return a.id == b.id }) {
			b.features = old.features
			return
		}
		c.index.remove(old)
		c.unread.remove(old)
	}
	c.index.weigh(b)
	c.index.add(b)
	if !c.learnt(b.id) {
		c.unread.add(b)
	}
}

// describe finds the features of a book.
func (c *catalogue) describe(l listing) {
	b := l.book
	add := func(kind featureKind, name string) int32 {
		key := featureName{kind, name}
		id, known := c.names[key]
		if !known {
			id = int32(len(c.names)) + 1
			c.names[key] = id
		}
		if !slices.ContainsFunc(b.features, func(f feature) bool { return f.id == id }) {
			b.features = append(b.features, feature{id: id, kind: kind})
		}
		return id
	}
	for i, name := range l.authors[:min(len(l.authors), indexedAuthors)] {
		if id := add(ofAuthor, name); i == 0 {
			b.author = id
		}
	}
	if l.series != "" {
		b.series = add(ofSeries, l.series)
	}
	for _, name := range l.tags[:min(len(l.tags), indexedTags)] {
		add(ofTag, name)
	}
	if b.category != 0 {
		add(ofCategory, string(rune(b.category)))
	}
	b.features = slices.Clip(b.features)
}

// learn says which books a new model knows by their readers. learnt must stay
// good until the next call has returned.
func (c *catalogue) learn(learnt func(book int32) bool) {
	c.changing.Lock()
	defer c.changing.Unlock()
	// Nothing changes meanwhile, and answers go on.
	var unread index
	var count int64
	for _, b := range c.slots {
		if !learnt(b.id) {
			unread.add(b)
			count++
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.learnt, c.unread = learnt, unread
	c.unreadBooks.Store(count)
}

// clear forgets all books. It keeps the features: books that answers in the
// making still hold refer to them.
func (c *catalogue) clear() {
	c.changing.Lock()
	defer c.changing.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.books)
	c.slots, c.index, c.unread = nil, nil, nil
	c.unreadBooks.Store(0)
	c.generation.Add(1)
}

// get is nil for a book that is not there.
func (c *catalogue) get(id int32) *book {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.books[id]
}

func (c *catalogue) size() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.books)
}

// view returns the shelves of the present books. They are made when somebody
// asks, which is only for answers that a model cannot fill.
func (c *catalogue) view() *shelves {
	if v := c.shelved.Load(); v != nil && v.generation == c.generation.Load() {
		return v
	}
	c.making.Lock()
	defer c.making.Unlock()
	if v := c.shelved.Load(); v != nil && v.generation == c.generation.Load() {
		return v
	}
	c.mu.RLock()
	generation := c.generation.Load()
	books := slices.AppendSeq(make([]*book, 0, len(c.books)), maps.Values(c.books))
	c.mu.RUnlock()

	slices.SortFunc(books, func(a, b *book) int {
		return cmp.Or(cmp.Compare(b.popularity, a.popularity), cmp.Compare(a.id, b.id))
	})
	v := &shelves{generation: generation}
	v.byCategory[0] = books
	for _, b := range books {
		if b.category != 0 {
			v.byCategory[b.category] = append(v.byCategory[b.category], b)
		}
	}
	c.shelved.Store(v)
	return v
}
