package recommender

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// tiny is a model whose file is small enough to break in every way.
func tiny(t testing.TB) *Model {
	t.Helper()
	d := NewDataset([]Event{
		{Reader: 1, Book: 10, Kind: Finished}, {Reader: 1, Book: 20, Kind: Finished}, {Reader: 1, Book: 30, Kind: Want},
		{Reader: 2, Book: 10, Kind: Finished}, {Reader: 2, Book: 20, Kind: Bought},
	}, []Book{{ID: 10, Category: 1}, {ID: 20, Category: 2}, {ID: 40, Category: 2}})
	m, err := Train(context.Background(), d, Options{Position: 5, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	// So little teaches no factors.
	m.info.Parameters[factorsName] = 0.5
	m.factors = factors{width: 2, point: []float32{1, 0.5, 0.75, -0.5, 0.25, 0, 0, -1}}
	m.prepare()
	if err := m.seal(); err != nil {
		t.Fatal(err)
	}
	return m
}

// dropLast takes the last book out of a model in which it is no neighbour.
func dropLast(m *Model) {
	n := len(m.prior) - 1
	m.books.ids, m.readersOf, m.prior, m.categories = m.books.ids[:n], m.readersOf[:n], m.prior[:n], m.categories[:n]
	m.near.rows, m.near.scale = m.near.rows[:n+1], m.near.scale[:n]
	m.factors.point = m.factors.point[:n*m.factors.width]
}

func fileOf(t testing.TB, m *Model) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := m.write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// aligned copies data to where a mapping could lie.
func aligned(data []byte) []byte {
	words := make([]int64, len(data)/8+1)
	to := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), len(data))
	copy(to, data)
	return to
}

func TestAModelComesBackFromItsFile(t *testing.T) {
	m := trained(t)
	path := filepath.Join(t.TempDir(), "model.safetensors")
	for range 2 { // a file that is there is replaced
		if err := m.Save(path); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Info(), m.Info()) {
		t.Errorf("info %+v, want %+v", got.Info(), m.Info())
	}
	q := Query{Own: []Own{{3, 1}, {60, 0.5}}, Exclude: []int32{3, 60}, Category: 2, Limit: 20}
	if a, b := got.Recommend(q, nil), m.Recommend(q, nil); !slices.Equal(a, b) {
		t.Errorf("recommends %v, before %v", a, b)
	}
	if a, b := got.Similar(7, 5, nil), m.Similar(7, 5, nil); !slices.Equal(a, b) {
		t.Errorf("similar %v, before %v", a, b)
	}
	for i := range int32(120) {
		id := m.BookID(i)
		if at, ok := got.Index(id); !ok || at != i || got.BookID(i) != id || got.Readers(i) != m.Readers(i) {
			t.Errorf("book %d: index %d, %v", id, at, ok)
		}
	}
	if err := got.Check(); err != nil {
		t.Errorf("the gate: %v", err)
	}
	if err := got.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := got.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
	if left := got.Recommend(q, nil); len(left) != 0 {
		t.Errorf("a closed model recommends %v", left)
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("files left: %v, %v", files, err)
	}
}

func TestSaveSaysWhereItFailed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "model")
	if err := trained(t).Save(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Save: %v, want an error that names %s", err, path)
	}
}

// TestTheFileIsSafetensors reads the file by the rules of that format alone.
func TestTheFileIsSafetensors(t *testing.T) {
	data := fileOf(t, trained(t))
	length := binary.LittleEndian.Uint64(data)
	var header map[string]json.RawMessage
	if err := json.Unmarshal(data[8:8+length], &header); err != nil {
		t.Fatal(err)
	}
	var metadata map[string]string
	if err := json.Unmarshal(header["__metadata__"], &metadata); err != nil {
		t.Fatalf("__metadata__ is not of strings: %v", err)
	}
	delete(header, "__metadata__")
	widths := map[string]int64{"I64": 8, "I32": 4, "U32": 4, "F32": 4, "U8": 1}
	var tensors []entry
	for name, raw := range header {
		var e entry
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		size := widths[e.DType]
		for _, n := range e.Shape {
			size *= n
		}
		if size == 0 && name != "factors" || size != e.Offsets[1]-e.Offsets[0] {
			t.Errorf("%s: %+v does not fit", name, e)
		}
		if at := 8 + int64(length) + e.Offsets[0]; at%widths[e.DType] != 0 {
			t.Errorf("%s at %d is not aligned", name, at)
		}
		tensors = append(tensors, e)
	}
	slices.SortFunc(tensors, func(a, b entry) int { return int(a.Offsets[0] - b.Offsets[0] + a.Offsets[1] - b.Offsets[1]) })
	var at int64
	for _, e := range tensors {
		if e.Offsets[0] != at {
			t.Errorf("a hole from %d to %d", at, e.Offsets[0])
		}
		at = e.Offsets[1]
	}
	if at != int64(len(data))-8-int64(length) {
		t.Errorf("the tensors end at %d of %d bytes", at, int64(len(data))-8-int64(length))
	}
}

func TestEveryTruncationIsRefused(t *testing.T) {
	data := aligned(fileOf(t, tiny(t)))
	for n := range data {
		if _, err := decodeModel(data[:n:n]); err == nil {
			t.Fatalf("the first %d of %d bytes are taken for a model", n, len(data))
		}
	}
}

func TestEveryBitFlipIsRefused(t *testing.T) {
	data := aligned(fileOf(t, tiny(t)))
	if _, err := decodeModel(data); err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(data) {
		data[bit/8] ^= 1 << (bit % 8)
		if _, err := decodeModel(data); err == nil {
			t.Fatalf("bit %d of byte %d flipped: taken for a model", bit%8, bit/8)
		}
		data[bit/8] ^= 1 << (bit % 8)
	}
}

// TestNonsenseIsRefused: files whose checksums are right and whose content is
// not.
func TestNonsenseIsRefused(t *testing.T) {
	nan := float32(math.NaN())
	tests := []struct {
		name  string
		spoil func(*Model)
		want  string
	}{
		{"scale NaN", func(m *Model) { m.near.scale[0] = nan }, "the scale of the neighbours of book 0 is NaN"},
		{"scale infinite", func(m *Model) { m.near.scale[1] = float32(math.Inf(1)) }, "the scale of the neighbours of book 1"},
		{"scale negative", func(m *Model) { m.near.scale[1] = -1 }, "the scale of the neighbours of book 1"},
		{"scale beyond all bounds", func(m *Model) { m.near.scale[0] = mostWeight }, "the scale of the neighbours of book 0"},
		{"scale too small to add up", func(m *Model) { m.near.scale[0] = 1e-30 }, "the scale of the neighbours of book 0"},
		{"weight of nothing", func(m *Model) { m.near.word[0] &= 3 }, "neighbour weight 0 is 0"},
		{"prior NaN", func(m *Model) { m.prior[2] = nan }, "prior of book 2"},
		{"neighbour beyond the books", func(m *Model) { dropLast(m); m.near.word[0] |= 3 }, "neighbour 3 of 3 books"},
		{"a neighbour twice", func(m *Model) { m.near.word[1] = m.near.word[0] }, "out of order"},
		{"neighbours out of order", func(m *Model) { m.near.word[0], m.near.word[1] = m.near.word[1], m.near.word[0] }, "out of order"},
		{"rows not rising", func(m *Model) { m.near.rows[2] = m.near.rows[1] - 1 }, "neighbour_rows"},
		{"row beyond the neighbours", func(m *Model) { m.near.rows[2] = math.MaxInt64 }, "neighbour_rows"},
		{"rows do not begin at 0", func(m *Model) { m.near.rows[0] = 1 }, "neighbour_rows"},
		{"a row too few", func(m *Model) { m.near.rows = m.near.rows[1:] }, "neighbour_rows"},
		{"no rows", func(m *Model) { m.near.rows = nil }, "neighbour_rows"},
		{"a neighbour too few", func(m *Model) { m.near.word = m.near.word[1:] }, "neighbour_rows"},
		{"a scale too few", func(m *Model) { m.near.scale = m.near.scale[1:] }, "neighbour_scales"},
		{"a prior too few", func(m *Model) { m.prior = m.prior[1:] }, "priors"},
		{"a category too many", func(m *Model) { m.categories = append(m.categories, 1) }, "book_categories"},
		{"a count too few", func(m *Model) { m.readersOf = m.readersOf[1:] }, "book_readers"},
		{"a negative count", func(m *Model) { m.readersOf[0] = -1 }, "book_readers"},
		{"a factor NaN", func(m *Model) { m.factors.point[3] = nan }, "factor 1 of book 1 is NaN"},
		{"a factor infinite", func(m *Model) { m.factors.point[0] = float32(math.Inf(-1)) }, "factor 0 of book 0"},
		{"a factor beyond all bounds", func(m *Model) { m.factors.point[2] = 2 * mostFactor }, "factor 0 of book 1"},
		{"a factor too few", func(m *Model) { m.factors.point = m.factors.point[1:] }, "section factors"},
		{"no factors", func(m *Model) { m.factors.point = nil }, "there are 0 for each book"},
		{"factors of no weight", func(m *Model) { m.info.Parameters[factorsName] = 0 }, "factors count 0"},
		{"a negative weight of the factors", func(m *Model) { m.info.Parameters[factorsName] = -1 }, "factors count -1"},
		{"a huge weight of the factors", func(m *Model) { m.info.Parameters[factorsName] = 1e300 }, "factors count 1e+300"},
		{"ids twice", func(m *Model) { m.books.ids[1] = m.books.ids[0] }, "book_ids"},
		{"no books", func(m *Model) { *m = Model{info: m.info} }, "0 books"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := tiny(t)
			test.spoil(m)
			_, err := decodeModel(aligned(fileOf(t, m)))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("decodeModel: %v, want %q", err, test.want)
			}
		})
	}
}

func TestStrangeHeadersAreRefused(t *testing.T) {
	good := fileOf(t, tiny(t))
	length := func(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }
	text := good[8 : 8+binary.LittleEndian.Uint64(good)]
	edit := func(from, to string) []byte {
		if !bytes.Contains(text, []byte(from)) {
			t.Fatalf("no %s in the header", from)
		}
		return reseal(bytes.Replace(text, []byte(from), []byte(to), 1), good[8+len(text):])
	}
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "too short"},
		{"seven bytes", good[:7], "too short"},
		{"a header longer than the file", append(length(4096-8), good[8:100]...), "cut off"},
		{"a header of 2^63 bytes", append(length(1<<63), good[8:]...), "header of"},
		{"a header of 2^64-1 bytes", append(length(math.MaxUint64), good[8:]...), "header of"},
		{"no JSON", append(length(56), bytes.Repeat([]byte("x"), 56)...), "header"},
		{"nothing in it", append(length(56), []byte("{}"+strings.Repeat(" ", 54))...), "__metadata__"},
		{"null", append(length(56), []byte("null"+strings.Repeat(" ", 52))...), "__metadata__"},
		{"another program's file", edit("octavo-model", "pt"), `not a model of Octavo: the format is "pt"`},
		{"a newer version", edit(`"format_version":"4"`, `"format_version":"5"`), `format version "5"`},
		{"an older version", edit(`"format_version":"4"`, `"format_version":"3"`), `format version "3"`},
		{"a huge shape", edit(`"shape":[4]`, `"shape":[4611686018427387904]`), "does not fill"},
		{"a shape that overflows", edit(`"shape":[4]`, `"shape":[9223372036854775807]`), "does not fill"},
		{"a section beyond the file", edit(`"data_offsets":[0,`, `"data_offsets":[0,9223372036854775`), "cut off"},
		{"a section that goes back", edit(`"data_offsets":[0,`, `"data_offsets":[0,-`), "want a start at"},
		{"factors turned round", edit(`"shape":[4,2]`, `"shape":[2,4]`), "does not fill"},
		{"factors in one row", edit(`"shape":[4,2]`, `"shape":[8]`), "does not fill"},
		{"factors that overflow", edit(`"shape":[4,2]`, `"shape":[4,4611686018427387906]`), "does not fill"},
		{"another type", edit(`"F32"`, `"F16"`), `type "F16"`},
		{"a further section", edit(`{"__metadata__"`, `{"more":1,"__metadata__"`), "entries"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var before, after runtime.MemStats
			data := aligned(test.data)
			runtime.ReadMemStats(&before)
			_, err := decodeModel(data)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("decodeModel: %v, want %q", err, test.want)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
				t.Errorf("%d bytes allocated for a file of %d", used, len(data))
			}
		})
	}
}

func TestOpenNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string][]byte{"empty": nil, "broken": []byte("not a model at all")} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want an error that names it", name, err)
		}
	}
	for _, path := range []string{dir, filepath.Join(dir, "missing")} {
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want an error that names it", path, err)
		}
	}
}

// reseal makes a file of a header and arrays, with checksums that are right.
func reseal(header, body []byte) []byte {
	var all map[string]any
	if json.Unmarshal(header, &all) == nil {
		if metadata, ok := all["__metadata__"].(map[string]any); ok {
			for name := range all {
				var e entry
				if raw, err := json.Marshal(all[name]); err != nil || json.Unmarshal(raw, &e) != nil {
					continue
				}
				if from, to := e.Offsets[0], e.Offsets[1]; from >= 0 && from <= to && to <= int64(len(body)) && metadata["sha256."+name] != nil {
					sum := sha256.Sum256(body[from:to])
					if old, _ := metadata["sha256."+name].(string); len(old) == 2*len(sum) {
						header = bytes.ReplaceAll(header, []byte(old), []byte(hex.EncodeToString(sum[:])))
					}
				}
			}
		}
	}
	header = bytes.TrimRight(header, " ")
	for (8+len(header))%alignment != 0 {
		header = append(header[:len(header):len(header)], ' ')
	}
	head := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	if n := len(body) - sha256.Size; n >= 0 {
		digest := sha256.Sum256(head)
		body = append(body[:n:n], digest[:]...)
	}
	return append(head, body...)
}

// FuzzOpen: whatever the bytes, with wrong checksums or right ones, there is an
// error or a model that works.
func FuzzOpen(f *testing.F) {
	good := fileOf(f, tiny(f))
	n := 8 + binary.LittleEndian.Uint64(good)
	f.Add(good[8:n], good[n:], true)
	f.Add(good[:n], good[n:], false)
	f.Add([]byte(`{"__metadata__":{"format":"octavo-model"}}`), []byte{}, true)
	f.Fuzz(func(t *testing.T, header, body []byte, seal bool) {
		data := append(slices.Clone(header), body...)
		if seal {
			data = reseal(header, body)
		}
		m, err := decodeModel(aligned(data))
		if err != nil {
			return
		}
		last := int32(len(m.prior) - 1)
		own := []Own{{0, 1}, {last, 0.5}}
		for _, s := range m.Recommend(Query{Own: own, Exclude: []int32{last}, Limit: 10, Diversity: 0.5}, nil) {
			if math.IsNaN(float64(s.Score)) || math.IsInf(float64(s.Score), 0) || s.Book < 0 || s.Book > last {
				t.Fatalf("recommends %v", s)
			}
			m.explain(own, s.Book, 3)
			m.Similar(s.Book, 10, nil)
			if at, ok := m.Index(m.BookID(s.Book)); !ok || at != s.Book {
				t.Fatalf("book %d has index %d", s.Book, at)
			}
		}
		if err := m.write(io.Discard); err != nil {
			t.Fatalf("a model that was read cannot be written: %v", err)
		}
	})
}
