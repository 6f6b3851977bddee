// Command readers runs the readers service by itself.
package main

import (
	"os"

	"github.com/octavo-books/octavo/cmd/internal/program"
	"github.com/octavo-books/octavo/cmd/internal/readersservice"
)

func main() {
	os.Exit(program.Serve("readers", "The readers of Octavo: who they are, their shelves, and the log of what they do, over gRPC.", "127.0.0.1:9093", &readersservice.Service{}))
}
