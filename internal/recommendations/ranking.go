package recommendations

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/recommender"
	"github.com/octavo-books/octavo/internal/vector"
)

const (
	defaultResults = 10
	maxResults     = 100

	// maxOwn is how many of a reader's latest books take part in a ranking.
	// All that were seen are left out of it, however many.
	maxOwn = 200

	// maxMoved bounds how often a ranking is made anew because the catalogue has
	// moved books to other categories since the training.
	maxMoved = 4

	// A new book can have the fifth place of each ten, if the reader has one of
	// its series or its author on a shelf.
	newBookEvery = 10
	newBookPlace = 4
)

// onShelf is the least that a book counts that the reader has done more with
// than look at it.
var onShelf = recommender.Opinion{}.Apply(recommender.Event{Kind: recommender.Want}).Weight

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
	perAuthor int // 0 for the default
}

// authorCap is how many books of one author an answer has before all others.
func (q *question) authorCap() int {
	if q.perAuthor > 0 {
		return q.perAuthor
	}
	return max(2, q.limit/5)
}

// suggestion is one book of an answer.
type suggestion struct {
	book    *book
	index   int32 // in the model, when source is fromModel
	source  suggester
	score   float32
	reasons []reason
}

// suggester is what put a book into an answer.
type suggester uint8

const (
	fromModel      suggester = iota
	fromContent              // it is like the reader's own books
	fromPopularity           // of the catalogue
)

// reason is one term of the sum that ranked a book.
type reason struct {
	kind  reasonKind
	did   recommender.Kind // the reader, with the book; 0 when there is none
	book  *book            // the reader's own, where there is one
	share float32
}

type reasonKind uint8

const (
	yourBook reasonKind = iota
	bestSeller
	newBook
)

// answer is one list. Its memory belongs to the session.
type answer struct {
	suggestions []suggestion
	category    uint8
	history     int
	paused      bool // the reader wants nothing personal
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
	paused  bool   // the reader wants nothing personal: there are no entries then
	kept    *kept  // what is known of them, nil for nothing
	moment  moment // when they were read
	keeps   bool   // whether this question's rankings can be kept and have been
	tied    tied

	own         []recommender.Own
	strangers   []stranger // books of the reader's own that the model does not know
	exclude     []int32    // indices of the model
	others      int        // where those begin in exclude that are left out of this question only
	barred      []int32    // ids of books not to suggest that the model does not know
	skip        map[int32]struct{}
	taken       []int32 // ids of the books given in this session
	scored      []recommender.Scored
	liked       []liked
	compared    comparison
	explained   []int32 // indices of the model
	explainedAt []int   // their places in the list

	// The list in the making.
	first     int // where it begins in suggestions
	category  uint8
	limit     int
	perAuthor int
	reserved  []candidate // new books that have a place in it
	placed    int         // how many of them are in it

	suggestions []suggestion
	reasons     []reason
}

// stranger is a book of the reader's own that the model does not know.
type stranger struct {
	book   int32
	weight float32
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
	clear(c.liked)
	clear(c.compared.candidates)
	clear(c.reserved)
	c.reserved = c.reserved[:0]
	c.model, c.tie, c.loaded = nil, nil, false
	c.kept, c.moment = nil, moment{}
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

// rank answers one question: what the model says, in which new books have
// their places, then new books like the reader's own, then the most popular
// books of the catalogue; and only when all that leaves the list short, what
// the authors' cap has held back, in the same order.
func (c *session) rank(q *question) answer {
	c.read(q)
	c.first, c.category, c.limit = len(c.suggestions), q.category, q.limit
	if q.favourite > 0 {
		c.category = c.favourite(q.favourite)
	}
	c.perAuthor = q.authorCap()
	c.findNewBooks()
	c.fill(q)
	if c.missing() > 0 && c.perAuthor < c.limit {
		c.perAuthor = c.limit
		c.fill(q)
	}
	a := answer{
		paused:      c.paused,
		category:    c.category,
		history:     len(c.own) + len(c.strangers),
		suggestions: c.suggestions[c.first:len(c.suggestions):len(c.suggestions)],
	}
	for i := range a.suggestions {
		c.taken = append(c.taken, a.suggestions[i].book.id)
	}
	if q.reasons > 0 {
		c.explain(a.suggestions, q.reasons)
		c.tellDeeds(a.suggestions, q.recent)
	}
	switch {
	case c.paused:
		c.s.metrics.paused.Inc()
	case c.model != nil && len(c.own) > 0 || len(c.liked) > 0:
		c.s.metrics.personal.Inc()
	default:
		c.s.metrics.popular.Inc()
	}
	return a
}

// fill adds what there is under the authors' cap.
func (c *session) fill(q *question) {
	if c.model != nil {
		c.addFromModel(q.diversity)
	}
	c.reserved, c.placed = c.reserved[:0], 0
	c.addFromContent()
	c.addFromCatalogue(q)
}

// missing is how many books the list still needs.
func (c *session) missing() int { return c.limit - (len(c.suggestions) - c.first) }

// add appends a book to the list, unless the list has enough of its author or
// has it already; books with a place reserved count as in it. No book has a
// higher score than the one before it.
func (c *session) add(s suggestion) {
	byAuthor := 0
	list := c.suggestions[c.first:]
	for i := range list {
		if list[i].book.id == s.book.id {
			return
		}
		if list[i].book.author == s.book.author {
			byAuthor++
		}
	}
	for _, later := range c.reserved[c.placed:] {
		if later.book.id == s.book.id {
			return
		}
		if later.book.author == s.book.author {
			byAuthor++
		}
	}
	if s.book.author != 0 && byAuthor >= c.perAuthor {
		return
	}
	if len(list) > 0 {
		s.score = min(s.score, list[len(list)-1].score)
	}
	c.suggestions = append(c.suggestions, s)
}

// read puts together the reader's own books and those that must not be in the
// answer.
func (c *session) read(q *question) {
	if !c.loaded || c.reader != q.reader {
		c.entries, c.kept, c.paused = c.entries[:0], nil, false
		if q.reader != 0 {
			c.entries, c.kept, c.moment, c.paused = c.s.histories.Load().appendTo(c.entries, q.reader)
		}
		c.reader, c.loaded = q.reader, true
	}
	if c.paused {
		q.recent = nil
	}
	c.keeps = c.model != nil && len(c.entries) > 0 && len(q.recent) == 0 && q.diversity == 0 && c.s.keptMemory > 0
	c.own, c.strangers = c.own[:0], c.strangers[:0]
	c.exclude, c.barred = c.exclude[:0], c.barred[:0]
	if c.keeps {
		c.tied = tied{model: c.model.info.Version}
		if len(c.tie.missing) > 0 {
			c.tied.absent = c.tie.generation
		}
		if c.kept != nil && c.kept.tied != c.tied {
			c.kept = nil
		}
	}
	weights := &usualWeights
	if c.model != nil {
		weights = &c.model.weights
	}
	var ratings recommender.Ratings
	for _, e := range c.entries {
		ratings.Add(*e.state.opinion())
	}
	mean := ratings.Mean()
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
		if opinion.Seen {
			c.bar(e.book, index, known)
		}
		if i >= first && !slices.Contains(q.recent, e.book) {
			c.count(e.book, index, known, weights.Of(*opinion, mean))
		}
	}
	if c.tie != nil {
		c.exclude = append(c.exclude, c.tie.missing...)
	}
	c.others = len(c.exclude)
	for i, id := range q.recent {
		index, known := c.index(id)
		if slices.Contains(q.recent[i+1:], id) {
			continue
		}
		weight := recentWeight
		if at := slices.IndexFunc(c.entries, func(e entry) bool { return e.book == id }); at >= 0 {
			opinion := c.entries[at].state.opinion()
			if weight = max(weight, weights.Of(*opinion, mean)); opinion.Disliked() {
				weight = weights.Of(*opinion, mean) // a glance does not undo a dislike
			}
		}
		c.count(id, index, known, weight)
		c.bar(id, index, known)
	}
	for _, ids := range [...][]int32{q.excluded, c.taken} {
		for _, id := range ids {
			index, known := c.index(id)
			c.bar(id, index, known)
		}
	}
}

// usualWeights are those of a reader's own books without a model.
var usualWeights = recommender.DefaultWeights()

// count makes a book one of the reader's own. What a book pushes down only a
// model knows.
func (c *session) count(id, index int32, known bool, weight float32) {
	if known && weight != 0 {
		c.own = append(c.own, recommender.Own{Book: index, Weight: weight})
	} else if weight > 0 {
		c.strangers = append(c.strangers, stranger{book: id, weight: weight})
	}
}

// bar keeps a book out of the answer.
func (c *session) bar(id, index int32, known bool) {
	if known {
		c.exclude = append(c.exclude, index)
	} else {
		c.barred = append(c.barred, id)
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
			weights[b.category] += max(own.Weight, 0)
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

// addFromModel adds the model's suggestions in their order. A book that stands
// in another category than when the model was trained is left to
// addFromCatalogue.
func (c *session) addFromModel(diversity float32) {
	query := recommender.Query{Own: c.own, Category: c.category, Diversity: diversity}
	reached, moves := len(c.exclude), 0
	query.Limit = c.missing()
	if c.perAuthor < c.limit {
		query.Limit += query.Limit / 2 // for those the cap will hold back
	}
	// Each round leaves behind what it was given and asks for twice as much, so
	// that few are needed however many books the cap holds back.
	for ; c.missing() > 0 && moves < maxMoved; query.Limit *= 2 {
		query.Exclude = c.exclude
		c.ask(query)
		c.fetchScored()
		moved := false
		for _, scored := range c.scored {
			c.exclude = append(c.exclude, scored.Book)
			b := c.tie.books[scored.Book]
			if b == nil || c.category != 0 && b.category != c.category {
				moved = true
				continue
			}
			if c.placed < len(c.reserved) && (len(c.suggestions)-c.first)%newBookEvery == newBookPlace {
				c.placed++
				c.add(c.newBook(c.reserved[c.placed-1], math.MaxFloat32))
			}
			if c.missing() == 0 {
				break
			}
			c.add(suggestion{book: b, index: scored.Book, source: fromModel, score: scored.Score})
		}
		if c.missing() == 0 || len(c.scored) < query.Limit {
			break
		}
		if moved {
			moves++
		}
	}
	// What the cap has held back may come later.
	c.exclude = c.exclude[:reached]
	for i := range c.suggestions[c.first:] {
		if s := &c.suggestions[c.first+i]; s.source == fromModel {
			c.exclude = append(c.exclude, s.index)
		}
	}
}

// fetchScored has the books of c.scored brought near, all at once, and what is
// sent of them.
func (c *session) fetchScored() {
	for _, scored := range c.scored {
		if b := c.tie.books[scored.Book]; b != nil {
			vector.Prefetch(b.suggested)
		}
	}
}

// mostOthers is how many books a question may leave out of a ranking that is
// kept: it is made so much longer.
const mostOthers = 128

// ask leaves the model's answer to a query in c.scored, from what is kept of
// the reader where that has it.
func (c *session) ask(query recommender.Query) {
	others := query.Exclude[c.others:]
	if !c.keeps || len(others) > mostOthers {
		c.scored = c.model.Recommend(query, c.scored[:0])
		return
	}
	var known bool
	if c.scored, known = c.kept.of(c.category).appendTo(c.scored[:0], query.Limit, others); known {
		c.s.metrics.keptUsed.Inc()
		if !c.kept.used.Load() {
			c.kept.used.Store(true)
		}
		return
	}
	c.s.metrics.keptMade.Inc()
	limit := query.Limit
	query.Exclude, query.Limit = query.Exclude[:c.others], limit+len(others)
	c.scored = c.model.Recommend(query, c.scored[:0])
	r := ranking{category: c.category, whole: len(c.scored) < query.Limit, best: slices.Clone(c.scored)}
	c.keep(r)
	c.scored, _ = r.appendTo(c.scored[:0], limit, others)
}

func (c *session) keep(r ranking) {
	c.kept = c.kept.with(c.tied, r)
	c.moment.keep(c.reader, c.kept)
}

// findNewBooks compares books that the model has not learnt with the reader's
// own, and reserves the places of the best: of their authors and series only,
// which is little work and done for every answer.
func (c *session) findNewBooks() {
	c.liked, c.reserved = c.liked[:0], c.reserved[:0]
	if c.s.catalogue.unreadBooks.Load() == 0 || len(c.own)+len(c.strangers) == 0 {
		return
	}
	c.gatherLiked()
	if c.model == nil {
		return
	}
	candidates := c.s.catalogue.newLike(c.liked, byAuthorAndSeries, c.mayBeNew, &c.compared)
	for range (c.limit + newBookEvery - newBookPlace - 1) / newBookEvery {
		best := candidate{score: -1}
		for _, found := range candidates {
			if (found.score > best.score || found.score == best.score && found.book.id < best.book.id) &&
				c.deserves(found.book) {
				best = found
			}
		}
		if best.book == nil {
			return
		}
		c.reserved = append(c.reserved, best)
	}
}

// deserves reports whether a new book can have a place of its own: it is of a
// series or an author on the reader's shelves and fits under the authors' cap.
func (c *session) deserves(b *book) bool {
	byAuthor := 0
	for _, other := range c.reserved {
		if other.book == b {
			return false
		}
		if other.book.author == b.author {
			byAuthor++
		}
	}
	return (byAuthor < c.perAuthor || b.author == 0) && slices.ContainsFunc(c.liked, func(own liked) bool {
		return own.weight >= onShelf &&
			(own.book.author == b.author && b.author != 0 || own.book.series == b.series && b.series != 0)
	})
}

// gatherLiked puts together the reader's latest own books.
func (c *session) gatherLiked() {
	c.liked = c.liked[:0]
	for _, s := range c.strangers[max(0, len(c.strangers)-mostLiked):] {
		if b := c.s.catalogue.get(s.book); b != nil {
			c.liked = append(c.liked, liked{book: b, weight: s.weight})
		}
	}
	for _, own := range slices.Backward(c.own) {
		if len(c.liked) == mostLiked {
			return
		}
		if b := c.book(own.Book); b != nil && own.Weight > 0 {
			c.liked = append(c.liked, liked{book: b, weight: own.Weight})
		}
	}
}

// mayBeNew reports whether a book can be in the list as a new one. It asks this
// answer's own model: the catalogue may know of a later one.
func (c *session) mayBeNew(b *book) bool {
	if c.category != 0 && b.category != c.category {
		return false
	}
	index, known := c.index(b.id)
	if !known {
		return !slices.Contains(c.barred, b.id)
	}
	return (c.model == nil || c.model.Readers(index) == 0) && !slices.Contains(c.exclude, index)
}

// addFromContent adds the new books that are like the reader's own.
func (c *session) addFromContent() {
	if c.missing() == 0 || len(c.liked) == 0 {
		return
	}
	candidates := c.s.catalogue.newLike(c.liked, byAll, c.mayBeNew, &c.compared)
	sortCandidates(candidates, c.popularity)
	for _, found := range candidates {
		if c.missing() == 0 {
			return
		}
		if c.model == nil {
			c.add(c.newBook(found, found.score))
		} else {
			c.add(c.newBook(found, 0))
		}
	}
}

func (c *session) newBook(found candidate, score float32) suggestion {
	return suggestion{book: found.book, index: -1, source: fromContent, score: score}
}

// popularity is how many readers a book has had, as far as anybody knows.
func (c *session) popularity(b *book) int64 {
	if c.model != nil {
		if index, known := c.model.Index(b.id); known {
			return int64(c.model.Readers(index))
		}
	}
	return b.popularity
}

// addFromCatalogue adds books by their popularity in the catalogue: all there
// is before the first training, and after it the books that the model does not
// know yet, which it thereby does not hide.
func (c *session) addFromCatalogue(q *question) {
	shelf := c.s.catalogue.view().byCategory[c.category]
	if c.missing() == 0 || len(shelf) == 0 {
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
	for _, b := range shelf {
		if c.missing() == 0 {
			return
		}
		if _, skipped := c.skip[b.id]; skipped {
			continue
		}
		var score float32 // below all scores of a model
		if c.model == nil {
			score = float32(b.popularity)
		}
		c.add(suggestion{book: b, index: -1, source: fromPopularity, score: score})
	}
}

// explain adds the reasons of suggestions, the largest share first.
func (c *session) explain(suggestions []suggestion, limit int) {
	c.explained, c.explainedAt = c.explained[:0], c.explainedAt[:0]
	for i := range suggestions {
		s := &suggestions[i]
		if s.source == fromModel {
			c.explained, c.explainedAt = append(c.explained, s.index), append(c.explainedAt, i)
			continue
		}
		first := len(c.reasons)
		if s.source == fromContent {
			c.reasons = appendTerms(c.reasons, s.book, c.liked, &c.compared)
			c.reasons = c.reasons[:min(len(c.reasons), first+limit)]
		} else {
			kind := bestSeller
			if s.book.popularity == 0 {
				kind = newBook
			}
			c.reasons = append(c.reasons, reason{kind: kind, share: 1})
		}
		s.reasons = c.reasons[first:len(c.reasons):len(c.reasons)]
	}
	if len(c.explained) == 0 {
		return
	}
	var shelf *ranking
	if c.keeps {
		shelf = c.kept.of(c.category)
	}
	if shelf == nil {
		c.model.Explain(c.own, c.explained, limit, func(at int, parts []recommender.Share) {
			c.giveReasons(&suggestions[c.explainedAt[at]], parts)
		})
		return
	}
	known := shelf.told
	if known.limit != limit || !slices.Equal(known.books, c.explained) {
		known = told{limit: limit, books: slices.Clone(c.explained), ends: make([]int32, len(c.explained))}
		known.parts = make([]recommender.Share, 0, limit*len(c.explained))
		c.model.Explain(c.own, c.explained, limit, func(at int, parts []recommender.Share) {
			known.parts = append(known.parts, parts...)
			known.ends[at] = int32(len(known.parts))
		})
		next := *shelf
		next.told = known
		c.keep(next)
	}
	first := int32(0)
	for at, end := range known.ends {
		c.giveReasons(&suggestions[c.explainedAt[at]], known.parts[first:end])
		first = end
	}
}

// tellDeeds adds to reasons what the reader did with the books they name.
func (c *session) tellDeeds(suggestions []suggestion, recent []int32) {
	for i := range suggestions {
		reasons := suggestions[i].reasons
		for at := range reasons {
			if b := reasons[at].book; b != nil {
				reasons[at].did = c.did(b.id, recent)
			}
		}
	}
}

// did is what the reader did with an own book. Those behind reasons are among
// the latest, so that it is soon found.
func (c *session) did(id int32, recent []int32) recommender.Kind {
	var kind recommender.Kind
	if slices.Contains(recent, id) {
		kind = recommender.View
	}
	for _, e := range slices.Backward(c.entries) {
		if e.book == id {
			return max(kind, e.state.did())
		}
	}
	return kind
}

// giveReasons turns the parts of a book's score into its reasons.
func (c *session) giveReasons(s *suggestion, parts []recommender.Share) {
	first := len(c.reasons)
	for _, part := range parts {
		if part.Book == recommender.Popularity {
			c.reasons = append(c.reasons, reason{kind: bestSeller, share: part.Share})
		} else if b := c.tie.books[part.Book]; b != nil {
			c.reasons = append(c.reasons, reason{kind: yourBook, book: b, share: part.Share})
		}
	}
	s.reasons = c.reasons[first:len(c.reasons):len(c.reasons)]
}

// similar appends books like one: by the model, then by their content, then
// those of its category.
func (c *session) similar(id int32, limit int) ([]suggestion, error) {
	b := c.s.catalogue.get(id)
	if b == nil {
		return nil, fault.New(fault.NotFound, "Book not found")
	}
	c.first, c.limit, c.perAuthor = len(c.suggestions), limit, limit
	if c.model != nil {
		if index, known := c.model.Index(id); known {
			c.scored = c.model.Similar(index, limit, c.scored[:0])
			for _, scored := range c.scored {
				if like := c.tie.books[scored.Book]; like != nil {
					c.add(suggestion{book: like, index: scored.Book, source: fromModel, score: scored.Score})
				}
			}
		}
	}
	if c.missing() > 0 {
		another := func(like *book) bool { return like.id != id }
		c.liked = append(c.liked[:0], liked{book: b, weight: 1})
		for _, found := range c.s.catalogue.booksLike(c.liked, another, c.popularity, &c.compared) {
			if c.missing() == 0 {
				break
			}
			c.add(suggestion{book: found.book, index: -1, source: fromContent, score: found.score})
		}
	}
	if b.category != 0 && c.missing() > 0 {
		for _, like := range c.s.catalogue.view().byCategory[b.category] {
			if c.missing() == 0 {
				break
			}
			if like.id != id {
				c.add(suggestion{book: like, index: -1, source: fromPopularity})
			}
		}
	}
	return c.suggestions[c.first:], nil
}

// version is that of the session's model, empty without one.
func (c *session) version() string {
	if c.model == nil {
		return ""
	}
	return c.model.info.Version
}
