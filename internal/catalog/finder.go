package catalog

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/catalog/index"
	"github.com/octavo-books/octavo/internal/isbn"
)

const (
	// Books the index takes in at a time; searches wait meanwhile.
	indexBooks = 1000
	// A store that does not answer is asked again after this time.
	indexRetry = time.Second
)

// finder keeps the index of all books, by following the store's own feed.
type finder struct {
	store    Store
	index    *index.Index
	turn     chan struct{} // held by whoever brings the index up to date
	position int64         // in the feed; belongs to the holder of turn
	complete atomic.Bool   // once everything was taken in
}

func newFinder(store Store) *finder {
	return &finder{store: store, index: index.New(), turn: make(chan struct{}, 1)}
}

// catchUp brings the index to the present state of the store, whichever
// process wrote it: a search finds what was acknowledged before it. When there
// is nothing new it costs a look at the end of the feed.
func (f *finder) catchUp(ctx context.Context) error {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		if !f.complete.Load() {
			return fault.New(fault.Unavailable, "the search is still getting ready, with %d books so far; try again in a moment", f.index.Len())
		}
		return context.Cause(ctx)
	}
	for {
		changes, err := f.store.Changes(ctx, f.position, indexBooks)
		if err != nil {
			return err
		}
		books := make([]index.Book, len(changes.Books))
		for i := range changes.Books {
			books[i] = indexed(&changes.Books[i])
		}
		f.index.Put(books)
		f.position = changes.Position
		if f.position >= changes.Head {
			f.complete.Store(true)
			return nil
		}
	}
}

// follow keeps the index up to date until ctx ends, so that a search does not
// have to do it.
func (f *finder) follow(ctx context.Context, log *slog.Logger) {
	for ctx.Err() == nil {
		changed := f.store.Changed()
		var again <-chan time.Time
		if err := f.catchUp(ctx); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "the index of the search is behind", "error", err)
			again = time.After(indexRetry)
		}
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
		}
	}
}

// search answers a query. An ISBN finds its book alone, whatever else has such
// digits.
func (f *finder) search(ctx context.Context, q index.Query) (index.Answer, error) {
	text := strings.TrimSpace(q.Text)
	if len(text) > 4 && strings.EqualFold(text[:4], "isbn") {
		text = strings.TrimLeft(text[4:], ": ")
	}
	if number, err := isbn.Parse(text); err == nil {
		found, err := f.store.ByISBN(ctx, []string{number})
		if err != nil {
			return index.Answer{}, err
		}
		if id, ok := found[number]; ok {
			return f.index.Only(id, q), nil
		}
	}
	return f.index.Search(q), nil
}

func indexed(b *Book) index.Book {
	return index.Book{
		ID: b.ID, Title: b.Title, Authors: b.Authors, Series: b.Series,
		Category: int32(b.Category), Year: b.Year, Language: b.Language, Popularity: b.Popularity,
	}
}

// books returns those at the places, in their order. Popularity is not in the
// feed: what another process was told of it is noticed here.
func (f *finder) books(ctx context.Context, places []index.Place) ([]Book, error) {
	if len(places) == 0 {
		return nil, nil
	}
	ids := make([]int32, len(places))
	order := make(map[int32]int, len(places))
	for i, p := range places {
		ids[i], order[p.ID] = p.ID, i
	}
	unordered, err := f.store.Books(ctx, ids)
	if err != nil {
		return nil, err
	}
	books := make([]Book, len(places))
	for _, b := range unordered {
		i := order[b.ID]
		books[i] = b
		if b.Popularity != places[i].Popularity {
			f.index.SetPopularity(b.ID, b.Popularity)
		}
	}
	return books, nil
}
