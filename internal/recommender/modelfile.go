package recommender

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"unsafe"
)

// The model file has the layout of safetensors: the length of the header in
// eight bytes, little-endian; the header, JSON padded with spaces; and the
// arrays one behind the other, little-endian, the widest numbers first so that
// each is aligned. The header names each array, its type, its shape and its
// place, and under __metadata__ the SHA-256 of each. The last array is the
// SHA-256 of the header with its length. So every byte of the file is covered.

const (
	formatName    = "octavo-model"
	formatVersion = 4
	// mostHeader bounds the header, bytes.
	mostHeader = 1 << 20
	// mostWidth bounds how many factors a book has.
	mostWidth = 4096
	alignment = 64
)

// section is one array of the file.
type section struct {
	name, dtype string
	width       int // bytes of an element
	data        []byte
	rows        int // of an array in two dimensions, oneRow for one of one
}

// oneRow is the rows of an array of one dimension.
const oneRow = -1

// shape is how the elements lie.
func (s section) shape() []int64 {
	n := int64(len(s.data) / s.width)
	if s.rows == oneRow {
		return []int64{n}
	}
	return []int64{int64(s.rows), n / int64(max(s.rows, 1))}
}

// fits reports whether a shape is right for n elements.
func (s section) fits(shape []int64, n int64) bool {
	if s.rows == oneRow {
		return len(shape) == 1 && shape[0] == n
	}
	return len(shape) == 2 && shape[0] == int64(s.rows) && shape[1] >= 0 && shape[1] <= mostWidth && shape[0]*shape[1] == n
}

const digestName = "header_sha256"

// booksAt is the place among the sections of one with an element for each book.
const booksAt = 1

// sections are the model's arrays in the order of the file, as bytes.
func (m *Model) sections() []section {
	return []section{
		{"neighbour_rows", "I64", 8, encode(m.near.rows), oneRow},
		{"book_ids", "I32", 4, encode(m.books.ids), oneRow},
		{"book_readers", "I32", 4, encode(m.readersOf), oneRow},
		{"neighbours", "U32", 4, encode(m.near.word), oneRow},
		{"neighbour_scales", "F32", 4, encode(m.near.scale), oneRow},
		{"factors", "F32", 4, encode(m.factors.point), len(m.books.ids)},
		{"priors", "F32", 4, encode(m.prior), oneRow},
		{"book_categories", "U8", 1, m.categories, oneRow},
	}
}

// number is what the arrays hold.
type number interface {
	int32 | uint32 | int64 | float32
}

// encode gives the bytes of values in little-endian order, in place where that
// is the machine's.
func encode[T number](values []T) []byte {
	if len(values) == 0 {
		return nil
	}
	width := int(unsafe.Sizeof(values[0]))
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&values[0])), len(values)*width)
	return littleEndian(raw, width)
}

// decode is the reverse of encode. Its result may lie in data, which must be
// aligned for T.
func decode[T number](data []byte) []T {
	var zero T
	width := int(unsafe.Sizeof(zero))
	if len(data) == 0 {
		return nil
	}
	raw := littleEndian(data, width)
	return unsafe.Slice((*T)(unsafe.Pointer(&raw[0])), len(raw)/width)
}

// littleEndian returns raw itself, or on a big-endian machine a copy with the
// bytes of each number turned round.
func littleEndian(raw []byte, width int) []byte {
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return raw
	}
	turned := bytes.Clone(raw)
	for number := range slices.Chunk(turned, width) {
		slices.Reverse(number)
	}
	return turned
}

// entry describes an array in the header.
type entry struct {
	DType   string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// learntName is there only in a model that was refreshed.
const learntName = "learnt_position"

// header is the length and the padded JSON with which the file begins.
func (m *Model) header(sections []section) ([]byte, error) {
	metadata, err := numbersOf(m.info.Parameters, m.info.Metrics)
	if err != nil {
		return nil, err
	}
	metadata["format"] = formatName
	metadata["format_version"] = strconv.Itoa(formatVersion)
	metadata["readers"] = strconv.Itoa(m.info.Readers)
	metadata["interactions"] = strconv.FormatInt(m.info.Interactions, 10)
	metadata["position"] = strconv.FormatInt(m.info.Position, 10)
	metadata["seed"] = strconv.FormatUint(m.info.Seed, 10)
	if m.info.LearntPosition != m.info.Position {
		metadata[learntName] = strconv.FormatInt(m.info.LearntPosition, 10)
	}
	return headerOf(metadata, sections)
}

// numbersOf are the parameters and the metrics as the header has them.
func numbersOf(parameters, metrics map[string]float64) (map[string]string, error) {
	p, err := json.Marshal(parameters)
	if err != nil {
		return nil, fmt.Errorf("encode parameters: %w", err)
	}
	m, err := json.Marshal(metrics)
	if err != nil {
		return nil, fmt.Errorf("encode metrics: %w", err)
	}
	return map[string]string{"parameters": string(p), "metrics": string(m)}, nil
}

// headerOf adds to the metadata the checksums of the sections.
func headerOf(metadata map[string]string, sections []section) ([]byte, error) {
	all := map[string]any{"__metadata__": metadata}
	var at int64
	for _, s := range sections {
		sum := sha256.Sum256(s.data)
		metadata["sha256."+s.name] = hex.EncodeToString(sum[:])
		end := at + int64(len(s.data))
		all[s.name] = entry{s.dtype, s.shape(), [2]int64{at, end}}
		at = end
	}
	all[digestName] = entry{"U8", []int64{sha256.Size}, [2]int64{at, at + sha256.Size}}
	text, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("encode header: %w", err)
	}
	for (8+len(text))%alignment != 0 {
		text = append(text, ' ')
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), nil
}

// seal computes the digest that names the model.
func (m *Model) seal() error {
	head, err := m.header(m.sections())
	if err != nil {
		return err
	}
	m.setDigest(sha256.Sum256(head))
	return nil
}

func (m *Model) setDigest(d [sha256.Size]byte) {
	m.digest = d
	m.info.Version = hex.EncodeToString(d[:6])
}

// Save writes the model to a file, which is there either whole or not at all.
func (m *Model) Save(path string) error {
	if err := saveFile(path, m.write); err != nil {
		return fmt.Errorf("save model %s: %w", path, err)
	}
	return nil
}

// saveFile makes a file, or replaces it, as a whole.
func saveFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if err = write(f); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func (m *Model) write(w io.Writer) error {
	sections := m.sections()
	head, err := m.header(sections)
	if err != nil {
		return err
	}
	return writeFile(w, head, sections)
}

func writeFile(w io.Writer, head []byte, sections []section) error {
	if _, err := w.Write(head); err != nil {
		return err
	}
	for _, s := range sections {
		if _, err := w.Write(s.data); err != nil {
			return err
		}
	}
	digest := sha256.Sum256(head)
	_, err := w.Write(digest[:])
	return err
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Open maps a model file and verifies all of it. Whatever the bytes, it returns
// a model that can be used or an error that says what is wrong with the file,
// and allocates no more than in proportion to the file's size. The file must not
// be written to afterwards, only replaced.
func Open(path string) (*Model, error) {
	data, err := mapFile(path)
	if err != nil {
		return nil, fmt.Errorf("open model %s: %w", path, err)
	}
	m, err := decodeModel(data)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open model %s: %w", path, err), unmapFile(data))
	}
	m.mapping = data
	return m, nil
}

// Close gives the file's memory back. No call may be under way or follow: keep
// the model open until the last user of it is done.
func (m *Model) Close() error {
	data := m.mapping
	m.mapping, m.near, m.factors, m.bounds, m.prior, m.categories, m.readersOf, m.order = nil, postings{}, factors{}, bounds{}, nil, nil, nil, nil
	m.books, m.shelves = idIndex{}, [256]span{}
	if data == nil {
		return nil
	}
	if err := unmapFile(data); err != nil {
		return fmt.Errorf("close model: %w", err)
	}
	return nil
}

// decodeModel makes a model that lies in data, which must be aligned.
func decodeModel(data []byte) (*Model, error) {
	m := &Model{}
	sections := m.sections()
	metadata, digest, err := decodeFile(data, "model", formatName, formatVersion, sections)
	if err != nil {
		return nil, err
	}
	if err := m.read(sections, metadata); err != nil {
		return nil, err
	}
	m.setDigest(digest)
	m.prepare()
	return m, nil
}

// decodeFile fills in the sections, as they lie in data, and verifies all that
// the checksums cover.
func decodeFile(data []byte, what, format string, version int, sections []section) (metadata map[string]string, digest [sha256.Size]byte, err error) {
	head, body, err := splitHeader(data, what)
	if err != nil {
		return nil, digest, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(head[8:], &all); err != nil {
		return nil, digest, fmt.Errorf("header: %w", err)
	}
	if err := json.Unmarshal(all["__metadata__"], &metadata); err != nil {
		return nil, digest, fmt.Errorf("header: __metadata__: %w", err)
	}
	if metadata["format"] != format {
		return nil, digest, fmt.Errorf("not a %s of Octavo: the format is %q", what, metadata["format"])
	}
	if v := metadata["format_version"]; v != strconv.Itoa(version) {
		return nil, digest, fmt.Errorf("format version %q, this program reads version %d", v, version)
	}
	if len(all) != len(sections)+2 {
		return nil, digest, fmt.Errorf("header: %d entries, want %d", len(all), len(sections)+2)
	}
	rest := body
	for i := range sections {
		s := &sections[i]
		if s.rows != oneRow {
			s.rows = len(sections[booksAt].data) / sections[booksAt].width
		}
		if s.data, rest, err = cut(all, rest, int64(len(body)), *s); err != nil {
			return nil, digest, err
		}
	}
	stored, rest, err := cut(all, rest, int64(len(body)), section{name: digestName, dtype: "U8", width: 1, rows: oneRow})
	if err != nil {
		return nil, digest, err
	}
	if len(rest) != 0 {
		return nil, digest, fmt.Errorf("%d bytes after the last section", len(rest))
	}
	digest = sha256.Sum256(head)
	if !bytes.Equal(stored, digest[:]) {
		return nil, digest, errors.New("header: the checksum does not match")
	}
	for _, s := range sections {
		if sum := sha256.Sum256(s.data); metadata["sha256."+s.name] != hex.EncodeToString(sum[:]) {
			return nil, digest, fmt.Errorf("section %s: the checksum does not match", s.name)
		}
	}
	return metadata, digest, nil
}

// splitHeader separates the header, its length included, from the arrays.
func splitHeader(data []byte, what string) (head, body []byte, err error) {
	if len(data) < 8 {
		return nil, nil, fmt.Errorf("%d bytes, too short for a %s", len(data), what)
	}
	length := binary.LittleEndian.Uint64(data)
	if length > mostHeader {
		return nil, nil, fmt.Errorf("header of %d bytes, more than %d", length, mostHeader)
	}
	if length > uint64(len(data)-8) {
		return nil, nil, fmt.Errorf("cut off: header of %d bytes in a file of %d", length, len(data))
	}
	if (8+length)%alignment != 0 {
		return nil, nil, fmt.Errorf("header of %d bytes: the arrays are not aligned", length)
	}
	return data[:8+length], data[8+length:], nil
}

// cut takes one section off the front of rest, the end of size bytes.
func cut(all map[string]json.RawMessage, rest []byte, size int64, s section) (data, left []byte, err error) {
	var e entry
	if err := json.Unmarshal(all[s.name], &e); err != nil {
		return nil, nil, fmt.Errorf("header: section %s: %w", s.name, err)
	}
	at := size - int64(len(rest))
	switch {
	case e.DType != s.dtype:
		return nil, nil, fmt.Errorf("header: section %s: type %q, want %s", s.name, e.DType, s.dtype)
	case e.Offsets[0] != at || e.Offsets[1] < at:
		return nil, nil, fmt.Errorf("header: section %s: at %d to %d, want a start at %d", s.name, e.Offsets[0], e.Offsets[1], at)
	case e.Offsets[1] > size:
		return nil, nil, fmt.Errorf("cut off: section %s ends at %d of %d bytes", s.name, e.Offsets[1], size)
	}
	n := e.Offsets[1] - at
	if n%int64(s.width) != 0 || !s.fits(e.Shape, n/int64(s.width)) {
		return nil, nil, fmt.Errorf("header: section %s: shape %v does not fill %d bytes", s.name, e.Shape, n)
	}
	return rest[:n:n], rest[n:], nil
}

// read takes the arrays and the metadata in, and checks that they make sense.
func (m *Model) read(sections []section, metadata map[string]string) error {
	m.near.rows = decode[int64](sections[0].data)
	m.books = newIDIndex(nil)
	ids := decode[int32](sections[1].data)
	m.readersOf = decode[int32](sections[2].data)
	m.near.word = decode[uint32](sections[3].data)
	m.near.scale = decode[float32](sections[4].data)
	m.factors.point = decode[float32](sections[5].data)
	m.prior = decode[float32](sections[6].data)
	m.categories = sections[7].data
	if err := m.checkBooks(ids); err != nil {
		return err
	}
	m.near.low = lowBits(len(ids))
	if err := m.near.check(m.categories); err != nil {
		return err
	}
	if err := m.readInfo(metadata); err != nil {
		return err
	}
	if err := m.checkFactors(); err != nil {
		return err
	}
	if err := m.checkNumbers(); err != nil {
		return err
	}
	m.books = newIDIndex(ids)
	m.info.Books, m.info.FormatVersion = len(ids), formatVersion
	return nil
}

func (m *Model) checkBooks(ids []int32) error {
	n := len(ids)
	if n == 0 || n > mostBooks {
		return fmt.Errorf("%d books", n)
	}
	for name, got := range map[string]int{
		"book_readers": len(m.readersOf), "priors": len(m.prior), "book_categories": len(m.categories), "neighbour_rows": len(m.near.rows) - 1,
		"neighbour_scales": len(m.near.scale),
	} {
		if got != n {
			return fmt.Errorf("section %s: for %d books, there are %d", name, got, n)
		}
	}
	for i := 1; i < n; i++ {
		if ids[i] <= ids[i-1] {
			return fmt.Errorf("section book_ids: book %d has id %d after %d", i, ids[i], ids[i-1])
		}
	}
	for i, r := range m.readersOf {
		if r < 0 {
			return fmt.Errorf("section book_readers: book %d has %d", i, r)
		}
	}
	return nil
}

// checkFactors looks at the width, which the length of the section says, and at
// the weight, which is among the parameters.
func (m *Model) checkFactors() error {
	m.factors.width = len(m.factors.point) / len(m.prior)
	weight := m.info.Parameters[factorsName]
	if !(weight >= 0 && weight <= mostFactorWeight) || (weight > 0) != (m.factors.width > 0) {
		return fmt.Errorf("header: parameters: factors count %v, and there are %d for each book", weight, m.factors.width)
	}
	return nil
}

func (m *Model) readInfo(metadata map[string]string) error {
	var err error
	if m.info.Readers, err = strconv.Atoi(metadata["readers"]); err != nil {
		return fmt.Errorf("header: readers: %w", err)
	}
	if m.info.Interactions, err = strconv.ParseInt(metadata["interactions"], 10, 64); err != nil {
		return fmt.Errorf("header: interactions: %w", err)
	}
	if m.info.Position, err = strconv.ParseInt(metadata["position"], 10, 64); err != nil {
		return fmt.Errorf("header: position: %w", err)
	}
	m.info.LearntPosition = m.info.Position
	if learnt, refreshed := metadata[learntName]; refreshed {
		if m.info.LearntPosition, err = strconv.ParseInt(learnt, 10, 64); err != nil {
			return fmt.Errorf("header: %s: %w", learntName, err)
		}
	}
	if m.info.Seed, err = strconv.ParseUint(metadata["seed"], 10, 64); err != nil {
		return fmt.Errorf("header: seed: %w", err)
	}
	if err := json.Unmarshal([]byte(metadata["parameters"]), &m.info.Parameters); err != nil {
		return fmt.Errorf("header: parameters: %w", err)
	}
	if err := json.Unmarshal([]byte(metadata["metrics"]), &m.info.Metrics); err != nil {
		return fmt.Errorf("header: metrics: %w", err)
	}
	return nil
}
