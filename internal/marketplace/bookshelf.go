package marketplace

import (
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/octavo-books/octavo/internal/marketplace/cover"
	"github.com/octavo-books/octavo/internal/marketplace/view"
)

// maxKnown bounds the books kept, at one to two kilobytes each.
const maxKnown = 8192

// bookshelf keeps the books shown lately, with their covers drawn. It saves
// drawing a cover for each page, and a book page can come from it while the
// catalog is down.
type bookshelf struct {
	mu    sync.RWMutex
	books map[int32]*view.Book

	hits, misses prometheus.Counter // drawn before or not
}

func newBookshelf() *bookshelf {
	return &bookshelf{books: make(map[int32]*view.Book)}
}

func (b *bookshelf) find(id int32) *view.Book {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.books[id]
}

func (b *bookshelf) size() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.books)
}

// put is the book with these facts, drawn now if it was not before.
func (b *bookshelf) put(id int32, title string, authors []string, category *view.Category, year int32) *view.Book {
	if book := b.find(id); book != nil && book.Title == title && book.Year == year && book.Category == category && slices.Equal(book.Authors, authors) {
		b.hits.Inc()
		return book
	}
	b.misses.Inc()
	path := view.BookPath(id, title)
	drawn := cover.Book{Title: title, Authors: authors}
	if category != nil {
		drawn.Category = category.ID
	}
	book := &view.Book{
		ID: id, Title: title, Authors: authors, By: view.ByLine(authors), Category: category, Year: year,
		Href: path, FromRow: path + "?from=row", Cover: cover.Draw(drawn),
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for other := range b.books {
		if len(b.books) < maxKnown {
			break
		}
		delete(b.books, other)
	}
	b.books[id] = book
	return book
}
