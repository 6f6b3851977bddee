// Command up starts a cluster and leaves it up until it is interrupted, to look
// around in it and to run single tests against it:
//
//	go run -C test/kubernetes ./up -scratch=FOLDER
//	go test -C test/kubernetes -run=... -cluster=FOLDER
//
// The last line it prints is how to run kubectl.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/octavo-books/octavo/test/kubernetes/cluster"
)

func main() {
	cluster.Main()
	scratch := flag.String("scratch", "", "`folder` for what the cluster writes; it is removed at the end")
	nodes := flag.Int("nodes", 2, "how many nodes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *scratch, *nodes); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, scratch string, nodes int) error {
	if scratch == "" {
		return errors.New("name a folder with -scratch")
	}
	programs, err := filepath.Abs("../../bin/kubernetes")
	if err != nil {
		return err
	}
	images, err := cluster.Build(ctx, "programs", programs)
	if err != nil {
		return err
	}
	c, err := cluster.Start(ctx, cluster.Config{
		Programs: programs, Scratch: scratch, Nodes: nodes, Images: images, Logs: filepath.Join(programs, "logs"),
	})
	if err != nil {
		return err
	}
	fmt.Println(c.In(ctx, 1, "kubectl").String())
	<-ctx.Done()
	return c.Stop()
}
