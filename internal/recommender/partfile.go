package recommender

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
)

// The file of a part has the layout of a model's.
const (
	partFormat        = "octavo-part"
	partFormatVersion = 2
)

// rowsOf lays rows out one behind the other.
func rowsOf(rows []row) (ends []int64, books []int32, values []float32) {
	ends = make([]int64, len(rows))
	for i, r := range rows {
		books, values = append(books, r.book...), append(values, r.value...)
		ends[i] = int64(len(books))
	}
	return ends, books, values
}

// sections are the part's arrays in the order of the file, as bytes.
func (p *Part) sections() []section {
	nearEnds, near, nearValues := rowsOf(p.near)
	predictorEnds, predictors, predictorWeights := rowsOf(p.predicted)
	return []section{
		{"neighbour_ends", "I64", 8, encode(nearEnds), oneRow},
		{"predictor_ends", "I64", 8, encode(predictorEnds), oneRow},
		{"book_ids", "I32", 4, encode(p.books.ids), oneRow},
		{"book_readers", "I32", 4, encode(p.readersOf), oneRow},
		{"book_sizes", "F32", 4, encode(p.size), oneRow},
		{"neighbours", "I32", 4, encode(near), oneRow},
		{"neighbour_values", "F32", 4, encode(nearValues), oneRow},
		{"predictors", "I32", 4, encode(predictors), oneRow},
		{"predictor_weights", "F32", 4, encode(predictorWeights), oneRow},
		{"factors", "F32", 4, encode(p.factors.point), oneRow},
		{"book_categories", "U8", 1, p.categories, oneRow},
	}
}

// Save writes the part to a file, which is there either whole or not at all.
func (p *Part) Save(path string) error {
	if err := saveFile(path, p.write); err != nil {
		return fmt.Errorf("save part %s: %w", path, err)
	}
	return nil
}

func (p *Part) write(w io.Writer) error {
	metadata, err := numbersOf(p.parameters.Map(), p.info.Metrics)
	if err != nil {
		return err
	}
	metadata["format"], metadata["format_version"] = partFormat, strconv.Itoa(partFormatVersion)
	metadata["digest"] = p.info.Digest
	metadata["seed"] = strconv.FormatUint(p.info.Seed, 10)
	for name, value := range map[string]int64{
		"index": int64(p.info.Index), "count": int64(p.info.Count), "first": int64(p.info.First), "books": int64(p.info.Books),
		"readers": int64(p.info.Readers), "interactions": p.info.Interactions, "position": p.info.Position,
	} {
		metadata[name] = strconv.FormatInt(value, 10)
	}
	sections := p.sections()
	head, err := headerOf(metadata, sections)
	if err != nil {
		return err
	}
	return writeFile(w, head, sections)
}

// OpenPart maps the file of a part and verifies all of it. Whatever the bytes,
// it returns a part that can be merged or an error that says what is wrong with
// the file, and allocates no more than in proportion to the file's size. The
// file must not be written to until the part is closed, only replaced.
func OpenPart(path string) (*Part, error) {
	data, err := mapFile(path)
	if err != nil {
		return nil, fmt.Errorf("open part %s: %w", path, err)
	}
	p, err := decodePart(data)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open part %s: %w", path, err), unmapFile(data))
	}
	p.mapping = data
	return p, nil
}

// Close gives the part's memory back. A model merged of it stays good.
func (p *Part) Close() error {
	data := p.mapping
	*p = Part{info: PartInfo{Metrics: p.info.Metrics}}
	if data == nil {
		return nil
	}
	if err := unmapFile(data); err != nil {
		return fmt.Errorf("close part: %w", err)
	}
	return nil
}

// decodePart makes a part that lies in data, which must be aligned.
func decodePart(data []byte) (*Part, error) {
	p := &Part{}
	sections := p.sections()
	metadata, _, err := decodeFile(data, "part", partFormat, partFormatVersion, sections)
	if err != nil {
		return nil, err
	}
	if err := p.readInfo(metadata); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	p.books = idIndex{ids: decode[int32](sections[2].data)}
	p.readersOf = decode[int32](sections[3].data)
	p.size = decode[float32](sections[4].data)
	p.factors.point = decode[float32](sections[9].data)
	p.categories = sections[10].data
	if err := p.checkShelf(); err != nil {
		return nil, err
	}
	if p.near, err = p.readRows(sections, 0, 5, 6, perBook); err != nil {
		return nil, err
	}
	for j, r := range p.near {
		if i := slices.IndexFunc(r.value, func(v float32) bool { return !(v >= 0) || math.IsInf(float64(v), 0) }); i >= 0 {
			return nil, fmt.Errorf("section neighbour_values: book %d has %v", j, r.value[i])
		}
		if !slices.IsSorted(r.book) {
			return nil, fmt.Errorf("section neighbours: those of book %d are not in order", j)
		}
	}
	if p.parameters.Regression > 0 {
		if p.predicted, err = p.readRows(sections, 1, 7, 8, regressors); err != nil {
			return nil, err
		}
	} else if len(sections[1].data)+len(sections[7].data)+len(sections[8].data) > 0 {
		return nil, errors.New("section predictors: there is no regression")
	}
	for j, r := range p.predicted {
		if i := slices.IndexFunc(r.value, func(v float32) bool { return !(magnitude(v) <= math.MaxFloat32) }); i >= 0 {
			return nil, fmt.Errorf("section predictor_weights: book %d has %v", j, r.value[i])
		}
	}
	return p, p.checkFactors()
}

func (p *Part) readInfo(metadata map[string]string) error {
	numbers := map[string]int64{}
	for _, n := range []struct {
		name        string
		least, most int64
	}{
		{"index", 0, mostParts - 1}, {"count", 1, mostParts},
		{"first", 0, math.MaxInt32 / 2}, {"books", 1, math.MaxInt32 / 2}, {"readers", 0, math.MaxInt32},
		{"interactions", 0, math.MaxInt64}, {"position", 0, math.MaxInt64},
	} {
		v, err := strconv.ParseInt(metadata[n.name], 10, 64)
		if err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
		if v < n.least || v > n.most {
			return fmt.Errorf("%s is %d", n.name, v)
		}
		numbers[n.name] = v
	}
	p.info = PartInfo{
		Index: int(numbers["index"]), Count: int(numbers["count"]), First: int(numbers["first"]), Books: int(numbers["books"]),
		Readers: int(numbers["readers"]), Interactions: numbers["interactions"], Position: numbers["position"], Digest: metadata["digest"],
	}
	if p.info.Index >= p.info.Count {
		return fmt.Errorf("index is %d of %d", p.info.Index, p.info.Count)
	}
	var err error
	if p.info.Seed, err = strconv.ParseUint(metadata["seed"], 10, 64); err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	var parameters map[string]float64
	if err := json.Unmarshal([]byte(metadata["parameters"]), &parameters); err != nil {
		return fmt.Errorf("parameters: %w", err)
	}
	if p.parameters, err = parametersFrom(parameters); err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(metadata["metrics"]), &p.info.Metrics); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

func (p *Part) checkShelf() error {
	n := len(p.books.ids)
	if p.info.First+n > p.info.Books {
		return fmt.Errorf("section book_ids: %d from %d, of %d books", n, p.info.First, p.info.Books)
	}
	for name, got := range map[string]int{"book_readers": len(p.readersOf), "book_sizes": len(p.size), "book_categories": len(p.categories)} {
		if got != n {
			return fmt.Errorf("section %s: for %d books, there are %d", name, got, n)
		}
	}
	for j := range n {
		switch {
		case j > 0 && p.books.ids[j] <= p.books.ids[j-1]:
			return fmt.Errorf("section book_ids: book %d has id %d after %d", j, p.books.ids[j], p.books.ids[j-1])
		case p.readersOf[j] < 0:
			return fmt.Errorf("section book_readers: book %d has %d", j, p.readersOf[j])
		case !(p.size[j] >= 0 && p.size[j] <= math.MaxFloat32):
			return fmt.Errorf("section book_sizes: book %d has %v", j, p.size[j])
		}
	}
	return nil
}

// readRows takes in the rows of the part's books, with at most so many entries
// each, of different books of the model.
func (p *Part) readRows(sections []section, ends, books, values, most int) ([]row, error) {
	n := len(p.books.ids)
	at := decode[int64](sections[ends].data)
	ids, numbers := decode[int32](sections[books].data), decode[float32](sections[values].data)
	if len(at) != n || len(ids) != len(numbers) || n == 0 && len(ids) > 0 || n > 0 && at[n-1] != int64(len(ids)) {
		return nil, fmt.Errorf("section %s: %d rows for %d books, of %d books and %d numbers", sections[ends].name, len(at), n, len(ids), len(numbers))
	}
	rows := make([]row, n)
	var from int64
	var sorted []int32
	for j, to := range at {
		if to < from || to > int64(len(ids)) || to-from > int64(most) {
			return nil, fmt.Errorf("section %s: the row of book %d goes from %d to %d", sections[ends].name, j, from, to)
		}
		rows[j] = row{ids[from:to:to], numbers[from:to:to]}
		from = to
		sorted = append(sorted[:0], rows[j].book...)
		slices.Sort(sorted)
		last := int32(-1)
		for _, b := range sorted {
			if b <= last || int(b) >= p.info.Books || int(b) == p.info.First+j {
				return nil, fmt.Errorf("section %s: book %d has %d after %d", sections[books].name, j, b, last)
			}
			last = b
		}
	}
	return rows, nil
}

// checkFactors looks at the width too, which the length of the section says.
func (p *Part) checkFactors() error {
	n := len(p.factors.point)
	p.factors.width = n / p.info.Books
	wanted := p.parameters.Factors > 0 && p.info.Index == 0
	if n%p.info.Books != 0 || p.factors.width > mostWidth || wanted != (n > 0) {
		return fmt.Errorf("section factors: %d for %d books", n, p.info.Books)
	}
	for i, v := range p.factors.point {
		if !(magnitude(v) <= mostFactor) {
			return fmt.Errorf("section factors: factor %d is %v", i, v)
		}
	}
	return nil
}
