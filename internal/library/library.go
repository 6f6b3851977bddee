// Package library is the demo library: some hundreds of real books, embedded
// in the program, and simulated readers of them. With it Octavo shows all it
// does without a network, an account or anybody's data.
//
// It never talks to a service and never reads a clock: what it returns depends
// on its arguments alone. Who sends it where is package importer's business.
package library

import (
	_ "embed"
	"fmt"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
)

// Source names the demo library in Book.source.
const Source = "octavo"

//go:embed books.tsv
var table string

// Books returns the library, each category from its best known book to its
// least. Ids are 1 to n in that order, and source ids are slugs that stay with
// their books for ever. Years of ancient works are those scholars settle on,
// and some plays have that of their first night. The caller owns the result.
func Books() []*catalogv1.Book {
	books, err := decode(table)
	if err != nil {
		// The table is part of the program, and the tests read all of it.
		panic(fmt.Sprintf("books.tsv: %v", err))
	}
	return books
}
