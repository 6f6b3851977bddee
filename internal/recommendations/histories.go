package recommendations

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/octavo-books/octavo/internal/recommender"
)

// histories hold what every reader thinks of every book met, keyed by the
// services' own ids, so that a new model changes nothing in them. Safe for
// concurrent use.
type histories struct {
	shards  [historyShards]historyShard
	readers atomic.Int64
	entries atomic.Int64
	scratch []entry // of apply
}

const historyShards = 64

type historyShard struct {
	mu       sync.RWMutex
	byReader map[int32]history
	paused   map[int32]struct{} // readers of whom nothing is to be used
	changes  uint64             // events applied

	// What is kept, within a bound, and the readers in the order in which it
	// began: each that has something or is forgotten, once.
	keptBytes, mostKept int64
	keptReaders         []int32
	_                   [64]byte // a cache line of its own
}

// history is a reader's entries and what follows from them.
type history struct {
	entries packed
	kept    *kept // nil for nothing
}

// moment is a state of histories, to keep what was made of it.
type moment struct {
	histories *histories
	changes   uint64
}

// entry is a reader's opinion of one book. A reader's entries are in the order
// of their times, those of one second in that of the log.
type entry struct {
	book  int32
	time  uint32 // Unix seconds of the latest event
	state state
}

// newHistories returns empty ones that keep at most so many bytes of what
// follows from them.
func newHistories(mostKept int64) *histories {
	h := &histories{}
	for i := range h.shards {
		h.shards[i].byReader = make(map[int32]history)
		h.shards[i].paused = make(map[int32]struct{})
		h.shards[i].mostKept = mostKept / historyShards
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
	shard.changes++
	old, known := shard.byReader[e.Reader]
	if !known {
		h.readers.Add(1)
	}
	if old.kept != nil {
		shard.keptBytes -= old.kept.size()
		old.kept = forgotten
	}
	entries, added := old.entries.with(e, &h.scratch)
	if added {
		h.entries.Add(1)
	}
	shard.byReader[e.Reader] = history{entries, old.kept}
}

// pause has nothing of a reader used, until it is called with false. The
// history is kept and goes on all the same.
func (h *histories) pause(reader int32, paused bool) {
	shard := h.shard(reader)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if paused {
		shard.paused[reader] = struct{}{}
	} else {
		delete(shard.paused, reader)
	}
}

// erase forgets a reader, and what is kept.
func (h *histories) erase(reader int32) {
	shard := h.shard(reader)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	delete(shard.paused, reader)
	if own, known := shard.byReader[reader]; known {
		shard.changes++
		if own.kept != nil {
			shard.keptBytes -= own.kept.size()
			at := slices.Index(shard.keptReaders, reader)
			shard.keptReaders = slices.Delete(shard.keptReaders, at, at+1)
		}
		delete(shard.byReader, reader)
		h.readers.Add(-1)
		h.entries.Add(-int64(len(own.entries.appendTo(nil))))
	}
}

// appendTo appends a copy of a reader's entries to dst, oldest first, and
// returns what is kept of them, nil for nothing. Of a reader who has paused there
// is neither.
func (h *histories) appendTo(dst []entry, reader int32) (entries []entry, k *kept, m moment, paused bool) {
	shard := h.shard(reader)
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	if _, paused := shard.paused[reader]; paused {
		return dst, nil, moment{h, shard.changes}, true
	}
	own := shard.byReader[reader]
	if k = own.kept; k == forgotten {
		k = nil
	}
	return own.entries.appendTo(dst), k, moment{h, shard.changes}, false
}

// keep keeps what was made of a reader's entries at a moment, unless anything
// in their part of the histories has changed since. Others make room for it,
// those first that were kept early and not used.
func (m moment) keep(reader int32, k *kept) {
	shard := m.histories.shard(reader)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	own, known := shard.byReader[reader]
	if !known || shard.changes != m.changes {
		return
	}
	if own.kept == nil {
		shard.keptReaders = append(shard.keptReaders, reader)
	}
	shard.keptBytes += k.size() - own.kept.size()
	shard.byReader[reader] = history{own.entries, k}
	for shard.keptBytes > shard.mostKept {
		oldest := shard.keptReaders[0]
		shard.keptReaders = shard.keptReaders[1:]
		own := shard.byReader[oldest]
		if own.kept != forgotten && own.kept.used.Swap(false) {
			shard.keptReaders = append(shard.keptReaders, oldest)
			continue
		}
		shard.keptBytes -= own.kept.size()
		shard.byReader[oldest] = history{entries: own.entries}
	}
}

// keptBytes is the memory of all that is kept.
func (h *histories) keptBytes() (sum int64) {
	for i := range h.shards {
		shard := &h.shards[i]
		shard.mu.RLock()
		sum += shard.keptBytes
		shard.mu.RUnlock()
	}
	return sum
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

// did is what says most about the reader and the book: the shelf it is on, then
// the rating, then that it is not wanted, then that it was looked at.
func (s state) did() recommender.Kind {
	shelf, glance := recommender.Kind(s&shelfBits), recommender.Kind(s&glanceBits>>glanceShift)
	switch {
	case shelf != 0 && shelf != recommender.NotInterested:
		return shelf
	case s&ratingBits != 0:
		return recommender.Rating
	default:
		return max(shelf, glance)
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
