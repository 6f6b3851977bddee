package recommendations

import (
	"context"
	"slices"
	"time"

	"github.com/octavo-books/octavo/internal/fault"
	"github.com/octavo-books/octavo/internal/recommender"
)

const (
	defaultResults = 10
	maxResults     = 100

	// maxOwn is how many of a reader's latest books take part in a ranking.
	// All that were seen are left out of it, however many.
	maxOwn = 200

	// maxRounds bounds how often a ranking is made anew because the catalogue
	// has moved books to other categories since the training.
	maxRounds = 4
)

// question is a request for one list.
type question struct {
	reader    int32
	category  uint8 // 0 for all
	favourite int   // when above 0, the reader's n-th category
	limit     int
	recent    []int32
	excluded  []int32
	diversity float32
	reasons   int
}

// suggestion is one book of an answer.
type suggestion struct {
	book    *book
	index   int32 // in the model; -1 when popularity alone suggested it
	score   float32
	reasons []reason
}

// reason is one term of the sum that ranked a book. Without a book it is that
// of the many readers the suggested book has.
type reason struct {
	book  *book
	share float32
}

// answer is one list. Its memory belongs to the session.
type answer struct {
	suggestions []suggestion
	category    uint8
	history     int
}

// limitOf is the number of results for a requested one that is not negative.
func limitOf(requested int32) int {
	if requested == 0 {
		return defaultResults
	}
	return min(int(requested), maxResults)
}

// session answers questions from one state of the model, each book once. Its
// memory is used again by later sessions, so that a question costs none that
// grows with the catalogue.
type session struct {
	s     *service
	model *model    // nil before the first training
	tie   *resolved // of the model; nil without one

	// The reader of the last question, whose next question finds the same.
	reader  int32
	loaded  bool
	entries []entry

	own     []recommender.Own
	exclude []int32 // indices of the model
	skip    map[int32]struct{}
	taken   []int32 // ids of the books given in this session
	scored  []recommender.Scored
	shares  []recommender.Share

	suggestions []suggestion
	reasons     []reason
}

// begin starts a session, to be ended with end.
func (s *service) begin() *session {
	c := s.sessions.Get().(*session)
	c.s = s
	if c.model = s.models.acquire(); c.model != nil {
		c.tie = c.model.books(s.catalogue)
	}
	return c
}

func (c *session) end() {
	if c.model != nil {
		c.model.release()
	}
	clear(c.suggestions)
	clear(c.reasons)
	clear(c.skip)
	c.model, c.tie, c.loaded = nil, nil, false
	c.taken = c.taken[:0]
	c.suggestions = c.suggestions[:0]
	c.reasons = c.reasons[:0]
	c.s.sessions.Put(c)
}

// await waits for a position of the log, if it has to. It returns the position
// that is certainly known and whether that is less than asked for.
func (s *service) await(ctx context.Context, least int64) (known int64, stale bool) {
	if known = s.log.position.get(); known >= least {
		return known, false
	}
	start := time.Now()
	reached := s.log.position.wait(ctx, least, s.maxWait)
	s.metrics.waited.Observe(time.Since(start).Seconds())
	if !reached {
		s.metrics.stale.Inc()
	}
	return s.log.position.get(), !reached
}

// rank answers one question: what the model says, then, where that does not
// fill the list, the most popular books of the catalogue.
func (c *session) rank(q *question) answer {
	c.read(q)
	a := answer{category: q.category, history: len(c.own)}
	if q.favourite > 0 {
		a.category = c.favourite(q.favourite)
	}
	first := len(c.suggestions)
	if c.model != nil {
		c.fromModel(q, a.category)
	}
	if len(c.suggestions)-first < q.limit {
		c.fromCatalogue(q, a.category, q.limit-(len(c.suggestions)-first))
	}
	a.suggestions = c.suggestions[first:len(c.suggestions):len(c.suggestions)]
	for i := range a.suggestions {
		c.taken = append(c.taken, a.suggestions[i].book.id)
		if q.reasons > 0 {
			c.explain(&a.suggestions[i], q.reasons)
		}
	}
	if c.model != nil && len(c.own) > 0 {
		c.s.metrics.personal.Inc()
	} else {
		c.s.metrics.popular.Inc()
	}
	return a
}

// read puts together the reader's own books and those that must not be in the
// answer.
func (c *session) read(q *question) {
	if !c.loaded || c.reader != q.reader {
		c.entries = c.entries[:0]
		if q.reader != 0 {
			c.entries = c.s.histories.Load().appendTo(c.entries, q.reader)
		}
		c.reader, c.loaded = q.reader, true
	}
	c.own, c.exclude = c.own[:0], c.exclude[:0]
	recent := len(q.recent)
	first, liked := len(c.entries), 0
	for first > 0 && liked < maxOwn-recent {
		first--
		if c.entries[first].state.opinion().Weight > 0 {
			liked++
		}
	}
	for i, e := range c.entries {
		opinion := e.state.opinion()
		index, known := c.index(e.book)
		if known && opinion.Seen {
			c.exclude = append(c.exclude, index)
		}
		if i >= first && opinion.Weight > 0 && known && !slices.Contains(q.recent, e.book) {
			c.own = append(c.own, recommender.Own{Book: index, Weight: opinion.Weight})
		}
	}
	for i, id := range q.recent {
		index, known := c.index(id)
		if !known || slices.Contains(q.recent[i+1:], id) {
			continue
		}
		weight := recentWeight
		if at := slices.IndexFunc(c.entries, func(e entry) bool { return e.book == id }); at >= 0 {
			opinion := c.entries[at].state.opinion()
			if weight = max(weight, opinion.Weight); opinion.Seen && opinion.Weight == 0 {
				continue // a glance does not undo a dislike
			}
		}
		c.own = append(c.own, recommender.Own{Book: index, Weight: weight})
		c.exclude = append(c.exclude, index)
	}
	for _, id := range q.excluded {
		if index, known := c.index(id); known {
			c.exclude = append(c.exclude, index)
		}
	}
	for _, id := range c.taken {
		if index, known := c.index(id); known {
			c.exclude = append(c.exclude, index)
		}
	}
	if c.tie != nil {
		c.exclude = append(c.exclude, c.tie.missing...)
	}
}

// recentWeight is what a book counts that the reader met on this visit.
var recentWeight = recommender.Opinion{}.Apply(recommender.Event{Kind: recommender.Click}).Weight

// index is the book's index in the model. Without a model books are their own
// indices: the history still counts and is still left out.
func (c *session) index(id int32) (int32, bool) {
	if c.model == nil {
		return id, true
	}
	return c.model.Index(id)
}

// book is the reverse of index; nil when the catalogue does not have it.
func (c *session) book(index int32) *book {
	if c.model == nil {
		return c.s.catalogue.get(index)
	}
	return c.tie.books[index]
}

// favourite is the reader's n-th most read category, by the weights of the
// reader's own books, and 0 when there are fewer.
func (c *session) favourite(n int) uint8 {
	var weights [categories]float32
	for _, own := range c.own {
		if b := c.book(own.Book); b != nil && b.category != 0 {
			weights[b.category] += own.Weight
		}
	}
	for {
		best := 0
		for category, weight := range weights {
			if weight > weights[best] {
				best = category
			}
		}
		if n--; n == 0 || best == 0 {
			return uint8(best)
		}
		weights[best] = 0
	}
}

// fromModel appends the model's suggestions. A book that stands in another
// category than when the model was trained is left to fromCatalogue.
func (c *session) fromModel(q *question, category uint8) {
	query := recommender.Query{Own: c.own, Category: category, Limit: q.limit, Diversity: q.diversity}
	first := len(c.suggestions)
	for range maxRounds {
		query.Exclude = c.exclude
		c.scored = c.model.Recommend(query, c.scored[:0])
		c.suggestions = c.suggestions[:first]
		moved := false
		for _, scored := range c.scored {
			b := c.tie.books[scored.Book]
			if b == nil || category != 0 && b.category != category {
				c.exclude = append(c.exclude, scored.Book)
				moved = true
				continue
			}
			c.suggestions = append(c.suggestions, suggestion{book: b, index: scored.Book, score: scored.Score})
		}
		if !moved {
			return
		}
	}
}

// fromCatalogue appends up to n books by their popularity in the catalogue:
// all there is before the first training, and after it the books that the
// model does not know yet, which it thereby does not hide.
func (c *session) fromCatalogue(q *question, category uint8, n int) {
	shelf := c.s.catalogue.view().byCategory[category]
	if len(shelf) == 0 {
		return
	}
	if c.skip == nil {
		c.skip = make(map[int32]struct{})
	}
	clear(c.skip)
	for _, e := range c.entries {
		if e.state.opinion().Seen {
			c.skip[e.book] = struct{}{}
		}
	}
	for _, ids := range [][]int32{q.recent, q.excluded, c.taken} {
		for _, id := range ids {
			c.skip[id] = struct{}{}
		}
	}
	for i := range c.suggestions {
		c.skip[c.suggestions[i].book.id] = struct{}{}
	}
	for _, b := range shelf {
		if n == 0 {
			return
		}
		if _, skipped := c.skip[b.id]; skipped {
			continue
		}
		var score float32 // below all scores of a model
		if c.model == nil {
			score = float32(b.popularity)
		}
		c.suggestions = append(c.suggestions, suggestion{book: b, index: -1, score: score})
		n--
	}
}

// explain adds the reasons of one suggestion, the largest share first.
func (c *session) explain(s *suggestion, limit int) {
	first := len(c.reasons)
	if s.index < 0 {
		c.reasons = append(c.reasons, reason{share: 1})
	} else {
		c.shares = c.model.Explain(c.own, s.index, limit, c.shares[:0])
		for _, share := range c.shares {
			if share.Book < 0 {
				c.reasons = append(c.reasons, reason{share: share.Share})
			} else if b := c.tie.books[share.Book]; b != nil {
				c.reasons = append(c.reasons, reason{book: b, share: share.Share})
			}
		}
	}
	s.reasons = c.reasons[first:len(c.reasons):len(c.reasons)]
}

// similar appends books like one: by the model, then those of its authors,
// then those of its category.
func (c *session) similar(id int32, limit int) ([]suggestion, error) {
	b := c.s.catalogue.get(id)
	if b == nil {
		return nil, fault.New(fault.NotFound, "Book not found")
	}
	if c.model != nil {
		if index, known := c.model.Index(id); known {
			c.scored = c.model.Similar(index, limit, c.scored[:0])
			for _, scored := range c.scored {
				if like := c.tie.books[scored.Book]; like != nil {
					c.suggestions = append(c.suggestions, suggestion{book: like, index: scored.Book, score: scored.Score})
				}
			}
		}
	}
	if len(c.suggestions) >= limit {
		return c.suggestions[:limit], nil
	}
	view := c.s.catalogue.view()
	shelves := make([][]*book, 0, len(b.authors)+1)
	for _, author := range b.authors {
		shelves = append(shelves, view.byAuthor[author])
	}
	if b.category != 0 {
		shelves = append(shelves, view.byCategory[b.category])
	}
	for _, shelf := range shelves {
		for _, like := range shelf {
			if len(c.suggestions) == limit {
				return c.suggestions, nil
			}
			if like.id != id && !slices.ContainsFunc(c.suggestions, func(s suggestion) bool { return s.book.id == like.id }) {
				c.suggestions = append(c.suggestions, suggestion{book: like, index: -1})
			}
		}
	}
	return c.suggestions, nil
}

// version is that of the session's model, empty without one.
func (c *session) version() string {
	if c.model == nil {
		return ""
	}
	return c.model.info.Version
}
