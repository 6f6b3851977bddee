// Command marketplace runs the storefront by itself.
package main

import (
	"os"

	"github.com/octavo-books/octavo/cmd/internal/marketplaceservice"
	"github.com/octavo-books/octavo/cmd/internal/program"
)

func main() {
	os.Exit(program.Serve("marketplace", "The storefront of Octavo, for browsers.", "127.0.0.1:9094", &marketplaceservice.Service{}))
}
