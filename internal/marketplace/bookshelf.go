package marketplace

import (
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/octavo-books/octavo/internal/marketplace/cover"
	"github.com/octavo-books/octavo/internal/marketplace/view"
)

// maxKnown bounds the books kept, at one to two kilobytes each, and as many
// links.
const maxKnown = 8192

// bookshelf keeps the books shown lately, with their covers drawn. It saves
// drawing a cover for each page, and a book page can come from it while the
// catalog is down.
type bookshelf struct {
	mu    sync.RWMutex
	books map[int32]*view.Book
	links map[int32]bookLink // of books that suggestions are made for

	hits, misses prometheus.Counter // drawn before or not
}

func newBookshelf() *bookshelf {
	return &bookshelf{books: make(map[int32]*view.Book), links: make(map[int32]bookLink)}
}

type bookLink struct{ title, html string }

// link is a link to a book, as HTML.
func (b *bookshelf) link(id int32, title string) string {
	b.mu.RLock()
	known := b.links[id]
	b.mu.RUnlock()
	if known.html != "" && known.title == title {
		return known.html
	}
	fresh := bookLink{title, view.BookLink(id, title)}
	b.mu.Lock()
	defer b.mu.Unlock()
	makeRoom(b.links)
	b.links[id] = fresh
	return fresh.html
}

// makeRoom takes away any entry of a map that is full.
func makeRoom[V any](m map[int32]V) {
	for other := range m {
		if len(m) < maxKnown {
			return
		}
		delete(m, other)
	}
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
	book := view.NewBook(view.Book{
		ID: id, Title: title, Authors: authors, By: view.ByLine(authors), Category: category, Year: year,
		Href: path, FromRow: path + "?from=row", Cover: cover.Draw(drawn),
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	makeRoom(b.books)
	b.books[id] = book
	return book
}
