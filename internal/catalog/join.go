package catalog

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/octavo-books/octavo/internal/catalog/match"
)

// Identifier is what a book is known by, beside its id: an ISBN, or the key of a
// record. It is of one book only.
type Identifier struct{ Scheme, Value string }

// ISBN is that of an ISBN of thirteen digits.
func ISBN(number string) Identifier { return Identifier{"isbn", number} }

// RecordOf is that of a record of a source.
func RecordOf(source, id string) Identifier { return Identifier{"record:" + source, id} }

// Identifiers are those of the book, without that of its own record.
func (b *Book) Identifiers() []Identifier {
	var all []Identifier
	for _, number := range b.AllISBNs() {
		all = append(all, ISBN(number))
	}
	for _, j := range b.Joined {
		all = append(all, RecordOf(j.Source, j.SourceID))
	}
	return all
}

// AllISBNs are those of all records of the book, those of its own first.
func (b *Book) AllISBNs() []string {
	all := slices.Clone(b.ISBNs)
	for _, j := range b.Joined {
		for _, number := range j.ISBNs {
			if !slices.Contains(all, number) {
				all = append(all, number)
			}
		}
	}
	return all
}

// Known is what a store has of the books that an import may be about. The zero
// value knows none. It decides for all stores what becomes of a record.
type Known struct {
	books map[int32]Book
	by    map[Identifier]int32
}

// Put takes a book in, as it is now in the store.
func (k *Known) Put(b Book) {
	if k.books == nil {
		k.books, k.by = make(map[int32]Book), make(map[Identifier]int32)
	}
	if old, ok := k.books[b.ID]; ok {
		for _, i := range old.Identifiers() {
			if k.by[i] == b.ID {
				delete(k.by, i)
			}
		}
	}
	for _, i := range b.Identifiers() {
		k.by[i] = b.ID
	}
	k.by[RecordOf(b.Source, b.SourceID)] = b.ID
	k.books[b.ID] = b
}

// Has reports whether the book was put in.
func (k *Known) Has(id int32) bool { _, ok := k.books[id]; return ok }

// Join says what book a record makes: the one whose record it is or which it
// was joined to, changed; a book that it is joined to now; or one of its own,
// with the id it wishes for and known false. leftOut are ISBNs of other books.
// The book's popularity is 0 when the record says nothing of it.
func (k *Known) Join(record Book) (b Book, known bool, leftOut []LeftOut) {
	id, known := k.by[RecordOf(record.Source, record.SourceID)]
	if !known {
		id, known = k.same(&record)
	}
	own := record
	own.ISBNs, own.Joined = nil, nil
	for _, number := range record.ISBNs {
		if holder, held := k.by[ISBN(number)]; held && holder != id {
			leftOut = append(leftOut, LeftOut{ISBN: number, HeldBy: holder})
		} else if !slices.Contains(own.ISBNs, number) {
			own.ISBNs = append(own.ISBNs, number)
		}
	}
	if !known {
		return own, false, leftOut
	}
	b = k.books[id]
	if b.Source == record.Source && b.SourceID == record.SourceID {
		own.ID, own.Joined = b.ID, b.Joined
		return own, true, leftOut
	}
	b.Popularity = 0
	b.Joined = slices.DeleteFunc(slices.Clone(b.Joined), func(j Record) bool { return j.Source == record.Source && j.SourceID == record.SourceID })
	b.Joined = append(b.Joined, Record{record.Source, record.SourceID, own.ISBNs})
	slices.SortFunc(b.Joined, func(x, y Record) int {
		return cmp.Or(cmp.Compare(x.Source, y.Source), cmp.Compare(x.SourceID, y.SourceID))
	})
	return b, true, leftOut
}

// Join is Known.Join of a record with its index in the import, of which it notes
// the ISBNs that were left out and whether the book is that of another record.
func (d *Imported) Join(k *Known, index int, record Book) (b Book, known bool) {
	b, known, leftOut := k.Join(record)
	for _, l := range leftOut {
		l.Index = index
		d.LeftOut = append(d.LeftOut, l)
	}
	if b.Source != record.Source || b.SourceID != record.SourceID {
		d.Joined++
	}
	return b, known
}

// same is the one book that has an ISBN of the record and is called the same. Of
// authors it is enough that they do not contradict: an ISBN says much already.
func (k *Known) same(record *Book) (id int32, found bool) {
	for _, number := range record.ISBNs {
		holder, held := k.by[ISBN(number)]
		if !held || holder == id {
			continue
		}
		b := k.books[holder]
		if match.Titles(b.work(), record.work()) == match.Different ||
			len(b.Authors) > 0 && len(record.Authors) > 0 && !match.Authors(b.Authors, record.Authors) {
			continue
		}
		if found {
			return 0, false
		}
		id, found = holder, true
	}
	return id, found
}

func (b *Book) work() match.Work {
	return match.Work{Title: b.Title, Authors: b.Authors, Series: b.Series, Place: b.SeriesPosition}
}

// EncodeRecords is the text by which stores keep joined records: the same for
// the same ones.
func EncodeRecords(records []Record) (string, error) {
	if len(records) == 0 {
		return "[]", nil
	}
	text, err := json.Marshal(records)
	return string(text), err
}

// DecodeRecords reads what EncodeRecords wrote; no records are nil.
func DecodeRecords(text string, into *[]Record) error {
	if text == "[]" {
		return nil
	}
	return json.Unmarshal([]byte(text), into)
}
