package recommendations

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/octavo-books/octavo/internal/recommender"
)

// packed is a reader's entries as they are kept: of each the seconds since the
// one before it, the book and the state, as the varints of protobuf. That is
// some seven bytes, and of an import without times five.
type packed []byte

// with folds an event into the entry of its book, or appends one. It says
// whether that is fresh. What p held is gone; scratch is room to work in.
func (p packed) with(e recommender.Event, scratch *[]entry) (changed packed, added bool) {
	fresh := entry{book: e.Book, time: uint32(min(max(e.Time, 0), math.MaxUint32))}
	last, met := p.find(e.Book)
	if !met && fresh.time >= last {
		fresh.state = fresh.state.apply(e)
		return p.push(fresh, last), true
	}
	entries := p.appendTo((*scratch)[:0])
	if met {
		at := slices.IndexFunc(entries, func(old entry) bool { return old.book == e.Book })
		fresh.state, fresh.time = entries[at].state, max(fresh.time, entries[at].time)
		entries = slices.Delete(entries, at, at+1)
	}
	fresh.state = fresh.state.apply(e)
	at := len(entries)
	for at > 0 && entries[at-1].time > fresh.time {
		at--
	}
	entries = slices.Insert(entries, at, fresh)
	p, last = p[:0], 0
	for _, e := range entries {
		p = p.push(e, last)
		last = e.time
	}
	*scratch = entries
	return p, !met
}

// find returns the time of the last entry, and whether one is of the book.
func (p packed) find(book int32) (last uint32, met bool) {
	var value uint32
	for at := 0; at < len(p); {
		value, at = p.varint(at)
		last += value
		value, at = p.varint(at)
		met = met || value == uint32(book)
		_, at = p.varint(at)
	}
	return last, met
}

func (p packed) varint(at int) (value uint32, next int) {
	for shift := 0; ; shift += 7 {
		b := p[at]
		at++
		value |= uint32(b&0x7f) << shift
		if b < 0x80 {
			return value, at
		}
	}
}

// push appends an entry that is not before the last. It grows in small steps,
// each as large as what is allocated for it anyway: there are millions of
// histories, and most of them have stopped growing.
func (p packed) push(e entry, last uint32) packed {
	const most = 5 + 5 + 2
	if cap(p)-len(p) < most {
		grown := append(packed(nil), make([]byte, len(p)+most+len(p)/16)...)
		p = grown[:copy(grown, p)]
	}
	for _, value := range [...]uint32{e.time - last, uint32(e.book), uint32(e.state)} {
		p = binary.AppendUvarint(p, uint64(value))
	}
	return p
}

func (p packed) appendTo(dst []entry) []entry {
	var e entry
	for at := 0; at < len(p); {
		var since, book, bits uint32
		since, at = p.varint(at)
		book, at = p.varint(at)
		bits, at = p.varint(at)
		e = entry{book: int32(book), time: e.time + since, state: state(bits)}
		dst = append(dst, e)
	}
	return dst
}
