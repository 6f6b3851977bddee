// Command catalog runs the catalog service by itself.
package main

import (
	"os"

	"github.com/octavo-books/octavo/cmd/internal/catalogservice"
	"github.com/octavo-books/octavo/cmd/internal/program"
)

func main() {
	os.Exit(program.Serve("catalog", "The catalog of Octavo: books, search, import, and the feed of their changes, over gRPC.", "127.0.0.1:9092", &catalogservice.Service{}))
}
