// Command octavo runs the whole of Octavo in one process, and holds the
// operator's commands.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"github.com/octavo-books/octavo/cmd/internal/program"
)

type commands struct {
	Serve     serveCommand     `cmd:"" help:"Run all services in this process, on embedded storage."`
	Import    importCommand    `cmd:"" help:"Bring in books, readers and what they read."`
	Export    exportCommand    `cmd:"" help:"Write out what the shop knows."`
	Train     trainCommand     `cmd:"" help:"Train a model from everything recorded, and publish it if it is good enough."`
	Evaluate  evaluateCommand  `cmd:"" help:"Measure the recommender on data that is split into training and test."`
	Recommend recommendCommand `cmd:"" help:"Ask a running Octavo for books."`
	Load      loadCommand      `cmd:"" help:"Send load to a running Octavo and measure it."`
	Models    modelsCommand    `cmd:"" help:"List the published models, or go back to the one before."`
	Config    configCommand    `cmd:"" help:"Look at the settings."`
	Version   versionCommand   `cmd:"" help:"Print the version."`
}

type versionCommand struct{}

func (versionCommand) Run(context.Context) error {
	_, err := fmt.Printf("octavo %s %s %s/%s\n", program.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

func main() {
	os.Exit(program.Main("octavo", "A book marketplace that knows its readers, and says why.", "127.0.0.1:9090", &commands{}))
}
