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

// book is what an answer says of a book. It does not change once made.
type book struct {
	id         int32
	category   uint8
	year       int32
	title      string
	authors    []string
	popularity int64
}

// catalogue holds all books. Safe for concurrent use.
type catalogue struct {
	mu    sync.RWMutex
	books map[int32]*book

	// generation goes up with every change; views made of an earlier one are
	// out of date.
	generation atomic.Uint64
	shelved    atomic.Pointer[shelves]
	making     sync.Mutex
}

// shelves are the books in the order of their popularity.
type shelves struct {
	generation uint64
	byCategory [categories][]*book // at 0 all books
	byAuthor   map[string][]*book
}

func newCatalogue() *catalogue {
	return &catalogue{books: make(map[int32]*book)}
}

func (c *catalogue) put(books []*book) {
	if len(books) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range books {
		c.books[b.id] = b
	}
	c.generation.Add(1)
}

func (c *catalogue) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.books)
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
	v := &shelves{generation: generation, byAuthor: make(map[string][]*book)}
	v.byCategory[0] = books
	for _, b := range books {
		if b.category != 0 {
			v.byCategory[b.category] = append(v.byCategory[b.category], b)
		}
		for _, author := range b.authors {
			v.byAuthor[author] = append(v.byAuthor[author], b)
		}
	}
	c.shelved.Store(v)
	return v
}
