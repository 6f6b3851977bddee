// Command recommendations runs the recommendations service by itself.
package main

import (
	"os"

	"github.com/octavo-books/octavo/cmd/internal/program"
	"github.com/octavo-books/octavo/cmd/internal/recommendationsservice"
)

func main() {
	os.Exit(program.Serve("recommendations", "The recommendations of Octavo: books chosen for a reader, with exact reasons, over gRPC.", "127.0.0.1:9091", &recommendationsservice.Service{}))
}
