package recommendations

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/octavo-books/octavo/internal/recommender"
)

// histories hold what every reader thinks of every book met, keyed by the
// services' own ids, so that a new model changes nothing in them. Safe for
// concurrent use.
type histories struct {
	shards  [64]historyShard
	readers atomic.Int64
	entries atomic.Int64
}

type historyShard struct {
	mu       sync.RWMutex
	byReader map[int32][]entry
	_        [32]byte // a cache line of its own
}

// entry is a reader's opinion of one book in twelve bytes. A reader's entries
// are in the order of their times, those of one second in that of the log.
type entry struct {
	book  int32
	time  uint32 // Unix seconds of the latest event
	state state
}

func newHistories() *histories {
	h := &histories{}
	for i := range h.shards {
		h.shards[i].byReader = make(map[int32][]entry)
	}
	return h
}

func (h *histories) shard(reader int32) *historyShard {
	return &h.shards[uint32(reader)%uint32(len(h.shards))]
}

// apply folds one event. Events are applied in the order of the log, by one
// goroutine.
func (h *histories) apply(e recommender.Event) {
	shard := h.shard(e.Reader)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	own, known := shard.byReader[e.Reader]
	if !known {
		h.readers.Add(1)
	}
	changed := entry{book: e.Book}
	for i, old := range slices.Backward(own) {
		if old.book == e.Book {
			changed = old
			copy(own[i:], own[i+1:])
			own = own[:len(own)-1]
			h.entries.Add(-1)
			break
		}
	}
	changed.state = changed.state.apply(e)
	changed.time = max(changed.time, uint32(min(max(e.Time, 0), math.MaxUint32)))
	shard.byReader[e.Reader] = insert(own, changed)
	h.entries.Add(1)
}

// erase forgets a reader.
func (h *histories) erase(reader int32) {
	shard := h.shard(reader)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if own, known := shard.byReader[reader]; known {
		delete(shard.byReader, reader)
		h.readers.Add(-1)
		h.entries.Add(-int64(len(own)))
	}
}

// insert puts e behind all entries that are not later. It grows in small
// steps: there are millions of histories, and most of them have stopped
// growing.
func insert(own []entry, e entry) []entry {
	if len(own) == cap(own) {
		grown := make([]entry, len(own), len(own)+4+len(own)/8)
		copy(grown, own)
		own = grown
	}
	at := len(own)
	for at > 0 && own[at-1].time > e.time {
		at--
	}
	own = append(own, entry{})
	copy(own[at+1:], own[at:])
	own[at] = e
	return own
}

// appendTo appends a copy of a reader's entries to dst, oldest first.
func (h *histories) appendTo(dst []entry, reader int32) []entry {
	shard := h.shard(reader)
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	return append(dst, shard.byReader[reader]...)
}

// state is a recommender.Opinion without its time in ten bits: the last shelf
// in the lowest four, the rating in half stars in the next four, the stronger
// of view and click in the last two.
type state uint16

const (
	shelfBits  = 0x0f
	ratingBits = 0xf0
	glanceBits = 0x300

	ratingShift = 4
	glanceShift = 8
)

func (s state) apply(e recommender.Event) state {
	switch e.Kind {
	case recommender.View, recommender.Click:
		return s&^glanceBits | max(s&glanceBits, state(e.Kind)<<glanceShift)
	case recommender.Want, recommender.Reading, recommender.Finished, recommender.Bought, recommender.NotInterested:
		return s&^shelfBits | state(e.Kind)
	case recommender.Rating:
		return s&^ratingBits | state(min(max(e.Value*2, 0), 10))<<ratingShift
	case recommender.Removed:
		return 0
	default:
		return s
	}
}

// opinions has the opinion of every state, made by the recommender itself, so
// that a book counts the same here as in training.
var opinions = func() (table [1 << 10]recommender.Opinion) {
	for i := range table {
		s, o := state(i), recommender.Opinion{}
		if glance := s & glanceBits >> glanceShift; glance != 0 {
			o = o.Apply(recommender.Event{Kind: recommender.Kind(glance)})
		}
		if shelf := s & shelfBits; shelf != 0 {
			o = o.Apply(recommender.Event{Kind: recommender.Kind(shelf)})
		}
		if rating := s & ratingBits >> ratingShift; rating != 0 {
			o = o.Apply(recommender.Event{Kind: recommender.Rating, Value: float32(rating) / 2})
		}
		table[i] = o
	}
	return table
}()

func (s state) opinion() *recommender.Opinion { return &opinions[s] }
