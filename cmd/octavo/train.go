package main

import (
	"context"
	"fmt"
	"os"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/models"
	"github.com/octavo-books/octavo/cmd/internal/peers"
	"github.com/octavo-books/octavo/cmd/internal/trainerjob"
)

type trainCommand struct {
	workFlags `embed:""`

	trainerjob.Mode `embed:""`
}

func (trainCommand) Help() string {
	return "Reads the catalogue and the log of the data folder, also while 'octavo serve' runs on it, which takes up the new model by itself. Where there are several machines, each does a part (--shard 0/4, --shard 1/4, ...), and whoever makes the last one makes of all parts the very model that one machine would have made."
}

func (c *trainCommand) Run(ctx context.Context) error {
	if err := c.needData(); err != nil {
		return err
	}
	return withServices(ctx, c.workFlags, func(ctx context.Context, app *chassis.App, clients *peers.Peers) error {
		bars := newProgress(os.Stderr)
		result, err := trainerjob.Run(ctx, app, c.place(c.DataDir), clients, c.Mode, bars.report)
		bars.Close()
		return trainerjob.Print(os.Stdout, c.Mode, result, err)
	})
}

type modelsCommand struct {
	List     modelsListCommand     `cmd:"" default:"withargs" help:"List the published models (the default)."`
	Rollback modelsRollbackCommand `cmd:"" help:"Make the model before the current one, or the one named, current again. A running Octavo follows by itself."`
}

// modelsFlags say where the models are that there are.
type modelsFlags struct {
	dataFlags  `embed:""`
	modelFlags `embed:""`
}

func (f modelsFlags) open() (models.Store, error) {
	if f.Models == "" {
		if err := needDataFolder(f.DataDir); err != nil {
			return nil, err
		}
	}
	store, _, err := f.place(f.DataDir).Open(nil)
	return store, err
}

type modelsListCommand struct{ modelsFlags }

func (c *modelsListCommand) Run(ctx context.Context) error {
	store, err := c.open()
	if err != nil {
		return err
	}
	names, err := store.List(ctx)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		fmt.Println("no model has been published yet: run 'octavo train'")
		return nil
	}
	current, _, err := store.Current(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		mark := " "
		if name == current {
			mark = "*"
		}
		fmt.Println(mark, name)
	}
	return nil
}

type modelsRollbackCommand struct {
	modelsFlags

	To string `help:"Name of the model to go to, as 'octavo models' lists it; the one before the current one unless given." placeholder:"NAME"`
}

func (c *modelsRollbackCommand) Run(ctx context.Context) error {
	store, err := c.open()
	if err != nil {
		return err
	}
	name := c.To
	if name != "" {
		err = store.RollbackTo(ctx, name)
	} else {
		name, err = store.Rollback(ctx)
	}
	if err != nil {
		return err
	}
	fmt.Println("current is", name)
	return nil
}
