package recommender

// matrix is what readers think of books as the arithmetic sees it: for each
// reader and for each book the entries that have weight.
type matrix struct {
	books int

	readerRows []int // by reader: the reader's books, oldest first
	book       []int32
	bookWeight []float32

	bookRows     []int // by book: its readers in order
	reader       []int32
	readerWeight []float32

	readerSize []float32 // the sum of a reader's weights
	bookSize   []float32 // the sum of a book's weights
	readersOf  []int32   // how many readers have weight for a book
}

// all is the range of all books.
func (m *matrix) all() span { return span{0, int32(m.books)} }

// newMatrix takes the opinions of d that keep returns a weight above 0 for.
func newMatrix(d *Dataset, weigh func(entry int) float32) *matrix {
	n, readers := d.Books(), d.Readers()
	m := &matrix{
		books:      n,
		readerRows: make([]int, readers+1),
		bookRows:   make([]int, n+1),
		readerSize: make([]float32, readers),
		bookSize:   make([]float32, n),
		readersOf:  make([]int32, n),
	}
	m.book = make([]int32, 0, len(d.book))
	m.bookWeight = make([]float32, 0, len(d.book))
	for r := range readers {
		for e := d.rows[r]; e < d.rows[r+1]; e++ {
			w := weigh(e)
			if w <= 0 {
				continue
			}
			b := d.book[e]
			m.book = append(m.book, b)
			m.bookWeight = append(m.bookWeight, w)
			m.readerSize[r] += w
			m.bookSize[b] += w
			m.readersOf[b]++
		}
		m.readerRows[r+1] = len(m.book)
	}
	for b, c := range m.readersOf {
		m.bookRows[b+1] = m.bookRows[b] + int(c)
	}
	m.reader = make([]int32, len(m.book))
	m.readerWeight = make([]float32, len(m.book))
	next := append([]int(nil), m.bookRows...)
	for r := range readers {
		for e := m.readerRows[r]; e < m.readerRows[r+1]; e++ {
			at := next[m.book[e]]
			next[m.book[e]]++
			m.reader[at] = int32(r)
			m.readerWeight[at] = m.bookWeight[e]
		}
	}
	return m
}
