// Package storetest says what a readers.Store does, as tests that every store
// runs.
package storetest

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/feed/followtest"
	"github.com/octavo-books/octavo/internal/readers"
)

// Run tests the stores that open returns, each of them empty, and closed by
// t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) readers.Store) {
	for name, test := range map[string]func(*testing.T, readers.Store){
		"readers":            testReaders,
		"list":               testList,
		"import":             testImport,
		"ids":                testIDs,
		"record":             testRecord,
		"record once":        testRecordOnce,
		"record all or none": testRecordAllOrNone,
		"shelf":              testShelf,
		"shelf order":        testShelfOrder,
		"log":                testLog,
		"log and writers":    testLogAndWriters,
		"pause":              testPause,
		"erase":              testErase,
		"erased ids":         testErasedIDs,
		"canceled":           testCanceled,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

var start = time.UnixMilli(1_700_000_000_000)

// At is a time that many minutes into the test.
func at(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }

func create(t *testing.T, s readers.Store, n int) []int32 {
	t.Helper()
	ids := make([]int32, n)
	for i := range ids {
		id, err := s.Create(t.Context(), readers.Reader{Origin: readers.Anonymous, CreatedAt: start})
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = id
	}
	return ids
}

func record(t *testing.T, s readers.Store, interactions ...readers.Interaction) (position int64, recorded int32) {
	t.Helper()
	position, recorded, err := s.Record(t.Context(), interactions)
	if err != nil {
		t.Fatal(err)
	}
	return position, recorded
}

func readLog(t *testing.T, s readers.Store) []readers.Interaction {
	t.Helper()
	log, err := s.Log(t.Context(), 0, math.MaxInt32)
	if err != nil {
		t.Fatal(err)
	}
	return bare(t, log.Interactions)
}

// bare are interactions without the times at which they were recorded, which
// must be now.
func bare(t *testing.T, list []readers.Interaction) []readers.Interaction {
	t.Helper()
	list = slices.Clone(list)
	for i, before := range list {
		if since := time.Since(before.RecordedAt); since < -time.Second || since > time.Hour {
			t.Errorf("position %d was recorded at %v", before.Position, before.RecordedAt)
		}
		list[i].RecordedAt = time.Time{}
	}
	return list
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func testReaders(t *testing.T, s readers.Store) {
	want := readers.Reader{Origin: readers.Anonymous, DisplayName: "Zoë", CreatedAt: start}
	var err error
	if want.ID, err = s.Create(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if want.ID < 1 {
		t.Errorf("id %d, want one from 1", want.ID)
	}
	got, err := s.Reader(t.Context(), want.ID)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "reader", got, want)
	if other := create(t, s, 1)[0]; other == want.ID {
		t.Errorf("two visitors have the id %d", other)
	}
	if _, err := s.Reader(t.Context(), 99); fault.KindOf(err) != fault.NotFound {
		t.Errorf("Reader(99): %v, want NotFound", err)
	}
}

func testList(t *testing.T, s readers.Store) {
	batch := make([]readers.Reader, 5)
	for i := range batch {
		batch[i] = readers.Reader{Origin: readers.Simulated, Source: "s", SourceID: fmt.Sprint(i), CreatedAt: start}
	}
	batch[2].Origin = readers.Imported
	ids, _, err := s.Import(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		origin readers.Origin
		after  int32
		limit  int
		want   []int32
	}{
		{0, 0, 10, ids},
		{0, ids[1], 2, ids[2:4]},
		{0, ids[4], 2, []int32{}},
		{readers.Simulated, 0, 3, []int32{ids[0], ids[1], ids[3]}},
		{readers.Imported, 0, 3, []int32{ids[2]}},
		{readers.Anonymous, 0, 3, []int32{}},
	} {
		list, err := s.List(t.Context(), c.origin, c.after, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]int32, len(list))
		for i, r := range list {
			got[i] = r.ID
		}
		equal(t, fmt.Sprintf("List(%d, after %d, %d)", c.origin, c.after, c.limit), got, c.want)
	}
}

func testImport(t *testing.T, s readers.Store) {
	batch := []readers.Reader{
		{ID: 7, Origin: readers.Imported, Source: "g", SourceID: "a", DisplayName: "A", CreatedAt: start},
		{ID: 7, Origin: readers.Imported, Source: "g", SourceID: "b", CreatedAt: start},
		{Origin: readers.Imported, Source: "g", SourceID: "a", CreatedAt: start},
	}
	ids, created, err := s.Import(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	if created != 2 || ids[0] != 7 || ids[1] == 7 || ids[2] != 7 {
		t.Errorf("Import = %v, %d created; want 7, another, 7 and 2 created", ids, created)
	}
	again, created, err := s.Import(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "ids when imported again", again, ids)
	equal(t, "created when imported again", created, 0)
	n, err := s.Size(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "readers", n, 2)
	got, err := s.Reader(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "reader 7", got, batch[0])
}

func testIDs(t *testing.T, s readers.Store) {
	importIDs := func(name string, wanted ...int32) []int32 {
		batch := make([]readers.Reader, len(wanted))
		for i, id := range wanted {
			batch[i] = readers.Reader{ID: id, Origin: readers.Imported, Source: name, SourceID: fmt.Sprint(i), CreatedAt: start}
		}
		ids, _, err := s.Import(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		return ids
	}
	equal(t, "a wanted id is not given to an earlier one", importIDs("a", 0, 1, 0), []int32{2, 1, 3})
	equal(t, "the largest id", importIDs("b", math.MaxInt32), []int32{math.MaxInt32})
	equal(t, "ids after the largest", importIDs("c", 0, 0), []int32{4, 5})
}

func testRecord(t *testing.T, s readers.Store) {
	ids := create(t, s, 2)
	sent := []readers.Interaction{
		{Reader: ids[0], Book: 5, Kind: readers.View, OccurredAt: at(3)},
		{Reader: ids[1], Book: 5, Kind: readers.Rating, Stars: 3.5, OccurredAt: at(2), ClientID: "x"},
		{Reader: ids[0], Book: math.MaxInt32, Kind: readers.Removed, OccurredAt: time.UnixMilli(-5)},
	}
	changed := s.Changed()
	position, recorded := record(t, s, sent...)
	if position != 3 || recorded != 3 {
		t.Errorf("Record = position %d, %d recorded; want 3, 3", position, recorded)
	}
	select {
	case <-changed:
	case <-time.After(5 * time.Second):
		t.Error("the commit woke nobody")
	}
	for i := range sent {
		sent[i].Position = int64(i + 1)
		sent[i].ClientID = ""
	}
	equal(t, "log", readLog(t, s), sent)
}

func testRecordOnce(t *testing.T, s readers.Store) {
	ids := create(t, s, 2)
	var batch []readers.Interaction
	for i := range 120 {
		batch = append(batch, readers.Interaction{
			Reader: ids[0], Book: int32(i + 1), Kind: readers.Want, OccurredAt: start, ClientID: fmt.Sprint(i),
		})
	}
	record(t, s, batch[10:60]...)
	if position, recorded := record(t, s, batch[10:60]...); position != 50 || recorded != 0 {
		t.Errorf("sent again: position %d, %d recorded; want 50, 0", position, recorded)
	}
	if position, recorded := record(t, s, append(batch, batch...)...); position != 120 || recorded != 70 {
		t.Errorf("50 of 120 sent again, all twice: position %d, %d recorded; want 120, 70", position, recorded)
	}
	other := batch[0]
	other.Reader = ids[1]
	if _, recorded := record(t, s, other); recorded != 1 {
		t.Error("an id of one reader was taken for that of another")
	}
	other.ClientID = ""
	if _, recorded := record(t, s, other, other); recorded != 2 {
		t.Error("interactions without an id were taken for the same")
	}
	books := map[int32]int{}
	log := readLog(t, s)
	for i, in := range log {
		if in.Position != int64(i+1) {
			t.Fatalf("position %d at place %d", in.Position, i+1)
		}
		if in.Reader == ids[0] {
			books[in.Book]++
		}
	}
	for _, in := range batch {
		if books[in.Book] != 1 {
			t.Errorf("book %d is in the log %d times, want once", in.Book, books[in.Book])
		}
	}
}

func testRecordAllOrNone(t *testing.T, s readers.Store) {
	id := create(t, s, 1)[0]
	good := readers.Interaction{Reader: id, Book: 1, Kind: readers.Want, OccurredAt: start, ClientID: "a"}
	bad := good
	bad.Reader = id + 1
	if _, _, err := s.Record(t.Context(), []readers.Interaction{good, bad}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("Record for a reader that does not exist: %v, want NotFound", err)
	}
	if log := readLog(t, s); len(log) > 0 {
		t.Errorf("the log has %v", log)
	}
	if _, recorded := record(t, s, good); recorded != 1 {
		t.Error("the refused interaction's id was kept")
	}
}

func testShelf(t *testing.T, s readers.Store) {
	const book = 4
	in := func(kind readers.Kind, minutes int) readers.Interaction {
		return readers.Interaction{Book: book, Kind: kind, OccurredAt: at(minutes)}
	}
	rated := func(stars float32, minutes int) readers.Interaction {
		r := in(readers.Rating, minutes)
		r.Stars = stars
		return r
	}
	entry := func(shelf readers.Kind, stars float32, minutes int) []readers.Entry {
		return []readers.Entry{{Book: book, Shelf: shelf, Stars: stars, UpdatedAt: at(minutes)}}
	}
	for name, c := range map[string]struct {
		did  []readers.Interaction
		want []readers.Entry
	}{
		"looked at":              {[]readers.Interaction{in(readers.View, 0), in(readers.Click, 1)}, []readers.Entry{}},
		"want":                   {[]readers.Interaction{in(readers.Want, 0)}, entry(readers.Want, 0, 0)},
		"bought":                 {[]readers.Interaction{in(readers.Want, 0), in(readers.Bought, 1)}, entry(readers.Bought, 0, 1)},
		"reading, finished":      {[]readers.Interaction{in(readers.Reading, 0), in(readers.Finished, 1)}, entry(readers.Finished, 0, 1)},
		"not interested":         {[]readers.Interaction{in(readers.Want, 0), in(readers.NotInterested, 1)}, entry(readers.NotInterested, 0, 1)},
		"rated only":             {[]readers.Interaction{rated(4.5, 0)}, entry(0, 4.5, 0)},
		"rated twice":            {[]readers.Interaction{rated(4.5, 0), rated(0.5, 1)}, entry(0, 0.5, 1)},
		"finished and rated":     {[]readers.Interaction{in(readers.Finished, 0), rated(5, 1)}, entry(readers.Finished, 5, 1)},
		"rated, then shelved":    {[]readers.Interaction{rated(5, 0), in(readers.Finished, 1)}, entry(readers.Finished, 5, 1)},
		"a look changes nothing": {[]readers.Interaction{in(readers.Want, 0), in(readers.View, 1)}, entry(readers.Want, 0, 0)},
		"removed":                {[]readers.Interaction{in(readers.Want, 0), rated(5, 1), in(readers.Removed, 2)}, []readers.Entry{}},
		"removed, then wanted":   {[]readers.Interaction{rated(5, 0), in(readers.Removed, 1), in(readers.Want, 2)}, entry(readers.Want, 0, 2)},
	} {
		for _, together := range []bool{true, false} {
			did := slices.Clone(c.did)
			id := create(t, s, 1)[0]
			for i := range did {
				did[i].Reader = id
			}
			if together {
				record(t, s, did...)
			} else {
				for _, in := range did {
					record(t, s, in)
				}
			}
			got, err := s.Shelf(t.Context(), id, nil, 10)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, fmt.Sprintf("%s (in one batch: %v)", name, together), got, c.want)
		}
	}
}

func testShelfOrder(t *testing.T, s readers.Store) {
	ids := create(t, s, 2)
	do := func(reader, book int32, kind readers.Kind, minutes int) readers.Interaction {
		return readers.Interaction{Reader: reader, Book: book, Kind: kind, OccurredAt: at(minutes)}
	}
	record(t, s, do(ids[0], 3, readers.Want, 0))
	record(t, s, do(ids[0], 1, readers.Want, 0))
	// The clock goes forward by an hour, then back by two. Books that changed in
	// one batch are in its order.
	record(t, s, do(ids[0], 2, readers.Want, 60), do(ids[0], 4, readers.Want, 60), do(ids[0], 2, readers.Finished, 60))
	record(t, s, do(ids[0], 1, readers.Reading, -60))
	record(t, s, do(ids[0], 4, readers.View, 120)) // a look changes nothing
	record(t, s, do(ids[1], 6, readers.Want, 0))
	for _, c := range []struct {
		books []int32
		limit int
		want  []int32
	}{
		{nil, 10, []int32{1, 2, 4, 3}},
		{nil, 2, []int32{1, 2}},
		{[]int32{3, 1, 6, 1}, 10, []int32{1, 3}},
		{[]int32{3, 1}, 1, []int32{1}},
		{[]int32{6}, 10, []int32{}},
	} {
		entries, err := s.Shelf(t.Context(), ids[0], c.books, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]int32, len(entries))
		for i, e := range entries {
			got[i] = e.Book
		}
		equal(t, fmt.Sprintf("Shelf(%v, %d)", c.books, c.limit), got, c.want)
	}
	if entries, err := s.Shelf(t.Context(), 99, nil, 10); err != nil || len(entries) > 0 {
		t.Errorf("Shelf of nobody = %v, %v; want nothing", entries, err)
	}
}

func testLog(t *testing.T, s readers.Store) {
	empty, err := s.Log(t.Context(), 0, 10)
	if err != nil || len(empty.Interactions) > 0 || empty.Position != 0 || empty.Head != 0 {
		t.Errorf("Log of an empty store = %+v, %v", empty, err)
	}
	id := create(t, s, 1)[0]
	for book := range int32(5) {
		record(t, s, readers.Interaction{Reader: id, Book: book + 1, Kind: readers.View, OccurredAt: start})
	}
	for _, c := range []struct {
		after    int64
		limit    int
		want     []int32
		position int64
	}{
		{0, 10, []int32{1, 2, 3, 4, 5}, 5},
		{0, 2, []int32{1, 2}, 2},
		{3, 2, []int32{4, 5}, 5},
		{5, 2, []int32{}, 5},
	} {
		log, err := s.Log(t.Context(), c.after, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]int32, len(log.Interactions))
		for i, in := range log.Interactions {
			got[i] = in.Book
		}
		what := fmt.Sprintf("Log(%d, %d)", c.after, c.limit)
		equal(t, what, got, c.want)
		equal(t, what+" position", log.Position, c.position)
		equal(t, what+" head", log.Head, 5)
	}
	if _, err := s.Log(t.Context(), 6, 1); fault.KindOf(err) != fault.Conflict {
		t.Errorf("Log beyond the end: %v, want Conflict", err)
	}
}

// A follower sees every position once and in order, whoever writes meanwhile.
func testLogAndWriters(t *testing.T, s readers.Store) {
	const writers, writes, size = 8, 25, 3
	ids := create(t, s, writers)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wait sync.WaitGroup
	for _, id := range ids {
		wait.Go(func() {
			for n := range writes {
				batch := make([]readers.Interaction, size)
				for i := range batch {
					batch[i] = readers.Interaction{Reader: id, Book: int32(n*size + i + 1), Kind: readers.View, OccurredAt: start}
				}
				if n%5 == 4 {
					refused := slices.Clone(batch)
					refused[size-1].Reader = math.MaxInt32
					if _, _, err := s.Record(ctx, refused); fault.KindOf(err) != fault.NotFound {
						t.Errorf("Record for a reader that does not exist: %v", err)
					}
				}
				if _, _, err := s.Record(ctx, batch); err != nil {
					t.Error(err)
					cancel()
				}
			}
		})
	}
	last := map[int32]int32{}
	const all = writers * writes * size
	for after := int64(0); after < all; {
		changed := s.Changed()
		log, err := s.Log(ctx, after, 50)
		if err != nil {
			t.Error(err)
			break
		}
		for _, in := range log.Interactions {
			after++
			if in.Position != after {
				t.Fatalf("position %d follows %d", in.Position, after-1)
			}
			if in.Book != last[in.Reader]+1 {
				t.Fatalf("reader %d: book %d follows %d", in.Reader, in.Book, last[in.Reader])
			}
			last[in.Reader] = in.Book
		}
		if log.Position != after {
			t.Fatalf("part ends at %d, says %d", after, log.Position)
		}
		if after == log.Head && after < all { // after the last nothing comes any more
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
	wait.Wait()
}

// What is left of an erased reader is one line at the end of the log.
func testErase(t *testing.T, s readers.Store) {
	ids := create(t, s, 2)
	do := func(reader, book int32, kind readers.Kind) readers.Interaction {
		return readers.Interaction{Reader: reader, Book: book, Kind: kind, OccurredAt: start, ClientID: fmt.Sprint(reader, book, kind)}
	}
	var sent []readers.Interaction
	for book := int32(1); book <= 3; book++ {
		sent = append(sent, do(ids[0], book, readers.View), do(ids[1], book, readers.Want), do(ids[0], book, readers.Finished))
	}
	record(t, s, sent...)
	changed := s.Changed()
	position, err := s.Erase(t.Context(), ids[0], at(1))
	if err != nil || position != 10 {
		t.Fatalf("Erase = %d, %v; want position 10", position, err)
	}
	select {
	case <-changed:
	case <-time.After(5 * time.Second):
		t.Error("the commit woke nobody")
	}

	if _, err := s.Reader(t.Context(), ids[0]); fault.KindOf(err) != fault.NotFound {
		t.Errorf("Reader: %v, want NotFound", err)
	}
	if entries, err := s.Shelf(t.Context(), ids[0], nil, 10); err != nil || len(entries) > 0 {
		t.Errorf("Shelf = %v, %v; want nothing", entries, err)
	}
	if _, _, err := s.Record(t.Context(), sent[:3]); fault.KindOf(err) != fault.NotFound {
		t.Errorf("Record: %v, want NotFound", err)
	}
	if _, err := s.Erase(t.Context(), ids[0], at(2)); fault.KindOf(err) != fault.NotFound {
		t.Errorf("Erase again: %v, want NotFound", err)
	}
	if _, err := s.Erase(t.Context(), math.MaxInt32, at(2)); fault.KindOf(err) != fault.NotFound {
		t.Errorf("Erase somebody who never was: %v, want NotFound", err)
	}

	tombstone := readers.Interaction{Position: 10, Reader: ids[0], Kind: readers.Erased, OccurredAt: at(1)}
	var want []readers.Interaction
	for i, in := range sent {
		if in.Reader == ids[1] {
			in.Position, in.ClientID = int64(i+1), ""
			want = append(want, in)
		}
	}
	equal(t, "log", readLog(t, s), append(slices.Clone(want), tombstone))
	history, err := s.History(t.Context(), ids[1], 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "History of the other reader", bare(t, history), want[1:2])
	part, err := s.Log(t.Context(), 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	part.Interactions = bare(t, part.Interactions)
	equal(t, "Log over a gap", part, readers.Log{Interactions: want[1:], Position: 8, Head: 10})

	if entries, err := s.Shelf(t.Context(), ids[1], nil, 10); err != nil || len(entries) != 3 {
		t.Errorf("the other reader's shelf = %v, %v; want 3 books", entries, err)
	}
	if position, recorded := record(t, s, sent[1], do(ids[1], 9, readers.Want)); position != 11 || recorded != 1 {
		t.Errorf("the other reader goes on at %d with %d recorded, want 11 and 1", position, recorded)
	}
}

func testPause(t *testing.T, s readers.Store) {
	ids := create(t, s, 2)
	set := func(id int32, paused bool, minutes int, want int64) {
		t.Helper()
		position, err := s.SetPaused(t.Context(), id, paused, at(minutes))
		if err != nil || position != want {
			t.Errorf("SetPaused(%d, %t) = %d, %v; want position %d", id, paused, position, err, want)
		}
	}
	isPaused := func(id int32, want bool) {
		t.Helper()
		reader, err := s.Reader(t.Context(), id)
		if err != nil || reader.Paused != want {
			t.Errorf("reader %d is paused: %t, %v; want %t", id, reader.Paused, err, want)
		}
	}
	wanted := func(book int32, minutes int) readers.Interaction {
		return readers.Interaction{Reader: ids[0], Book: book, Kind: readers.Want, OccurredAt: at(minutes)}
	}
	set(ids[0], false, 0, 0) // as everybody begins
	record(t, s, wanted(1, 1))
	changed := s.Changed()
	set(ids[0], true, 2, 2)
	select {
	case <-changed:
	case <-time.After(5 * time.Second):
		t.Error("the commit woke nobody")
	}
	set(ids[0], true, 3, 2)
	isPaused(ids[0], true)
	isPaused(ids[1], false)
	listed, err := s.List(t.Context(), 0, 0, 10)
	if err != nil || len(listed) != 2 || !listed[0].Paused || listed[1].Paused {
		t.Errorf("List = %+v, %v", listed, err)
	}
	record(t, s, wanted(2, 4)) // is kept all the same
	set(ids[0], false, 5, 4)
	isPaused(ids[0], false)
	set(ids[1], true, 6, 5)

	want := []readers.Interaction{
		wanted(1, 1),
		{Reader: ids[0], Kind: readers.Paused, OccurredAt: at(2)},
		wanted(2, 4),
		{Reader: ids[0], Kind: readers.Resumed, OccurredAt: at(5)},
		{Reader: ids[1], Kind: readers.Paused, OccurredAt: at(6)},
	}
	for i := range want {
		want[i].Position = int64(i + 1)
	}
	equal(t, "log", readLog(t, s), want)
	history, err := s.History(t.Context(), ids[0], 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "History", bare(t, history), want[:4])
	shelf, err := s.Shelf(t.Context(), ids[0], nil, 10)
	if err != nil || len(shelf) != 2 {
		t.Errorf("the shelf has %v, %v; want the two books", shelf, err)
	}

	// Nothing of it outlives the reader.
	if _, err := s.Erase(t.Context(), ids[1], at(7)); err != nil {
		t.Fatal(err)
	}
	equal(t, "log after an erasure", readLog(t, s), append(want[:4], readers.Interaction{
		Position: 6, Reader: ids[1], Kind: readers.Erased, OccurredAt: at(7),
	}))
	for _, id := range []int32{ids[1], math.MaxInt32} {
		if _, err := s.SetPaused(t.Context(), id, true, at(8)); fault.KindOf(err) != fault.NotFound {
			t.Errorf("SetPaused of reader %d, who is not there: %v, want NotFound", id, err)
		}
	}
}

// The id of an erased reader, which a cookie somewhere may still have, is never
// that of another.
func testErasedIDs(t *testing.T, s readers.Store) {
	ids := create(t, s, 3)
	for _, id := range ids[1:] {
		if _, err := s.Erase(t.Context(), id, start); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "the next id", create(t, s, 1), []int32{4})
	imported, _, err := s.Import(t.Context(), []readers.Reader{
		{ID: ids[1], Origin: readers.Imported, Source: "g", SourceID: "a", CreatedAt: start},
		{ID: math.MaxInt32, Origin: readers.Imported, Source: "g", SourceID: "b", CreatedAt: start},
		{Origin: readers.Imported, Source: "g", SourceID: "c", CreatedAt: start},
		{Origin: readers.Imported, Source: "g", SourceID: "d", CreatedAt: start},
	})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "ids of an import", imported, []int32{5, math.MaxInt32, 6, 7})
	next, err := s.Create(t.Context(), readers.Reader{Origin: readers.Anonymous, CreatedAt: start})
	if err != nil || next == ids[1] || next == ids[2] {
		t.Errorf("when the numbers have run out, the next id is %d, %v", next, err)
	}
}

func testCanceled(t *testing.T, s readers.Store) {
	id := create(t, s, 1)[0]
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	in := readers.Interaction{Reader: id, Book: 1, Kind: readers.View, OccurredAt: start}
	if _, _, err := s.Record(ctx, []readers.Interaction{in}); fault.KindOf(err) != fault.Canceled {
		t.Errorf("Record: %v, want Canceled", err)
	}
	if _, err := s.Log(ctx, 0, 1); fault.KindOf(err) != fault.Canceled {
		t.Errorf("Log: %v, want Canceled", err)
	}
	if position, _ := record(t, s, in); position > 2 {
		t.Errorf("position %d after one interaction that was canceled", position)
	}
}

// Shared tests stores over one and the same database, as of several processes:
// who follows misses nothing, whoever writes. Writes may take their time to
// commit.
func Shared(t *testing.T, stores ...readers.Store) {
	const writers, each = 12, 12
	ids := create(t, stores[0], writers)
	writer := map[int32]int{}
	for w, id := range ids {
		writer[id] = w
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := followtest.Follow(ctx, followtest.Feed{
		Write: func(ctx context.Context, l followtest.Line) error {
			in := readers.Interaction{Reader: ids[l.Writer], Book: int32(l.N), Kind: readers.Want, OccurredAt: start}
			_, _, err := stores[l.Writer%len(stores)].Record(ctx, []readers.Interaction{in})
			return err
		},
		Next: func(ctx context.Context, after int64) (lines []followtest.Line, position int64, err error) {
			log, err := stores[0].Log(ctx, after, 50)
			for i, in := range log.Interactions {
				if want := after + int64(i) + 1; in.Position != want {
					t.Errorf("position %d, want %d", in.Position, want)
				}
				lines = append(lines, followtest.Line{Writer: writer[in.Reader], N: int(in.Book)})
			}
			return lines, log.Position, err
		},
	}, writers, each)
	if err != nil {
		t.Error(err)
	}
}

// BenchmarkRecord has so many writers record one interaction at a time, in
// turns over stores of one database.
func BenchmarkRecord(b *testing.B, writers int, stores ...readers.Store) {
	ids := make([]int32, writers)
	for i := range ids {
		var err error
		if ids[i], err = stores[0].Create(b.Context(), readers.Reader{Origin: readers.Anonymous, CreatedAt: start}); err != nil {
			b.Fatal(err)
		}
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	var wait sync.WaitGroup
	b.ResetTimer()
	for w := range writers {
		wait.Go(func() {
			for book := int32(1); left.Add(-1) >= 0; book++ {
				in := readers.Interaction{Reader: ids[w], Book: book, Kind: readers.Want, OccurredAt: start, ClientID: fmt.Sprint(book)}
				if _, _, err := stores[w%len(stores)].Record(b.Context(), []readers.Interaction{in}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "interactions/s")
}
