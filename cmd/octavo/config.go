package main

import (
	"os"

	"github.com/alecthomas/kong"

	"github.com/octavo-books/octavo/cmd/internal/catalogservice"
	"github.com/octavo-books/octavo/cmd/internal/marketplaceservice"
	"github.com/octavo-books/octavo/cmd/internal/program"
	"github.com/octavo-books/octavo/cmd/internal/readersservice"
)

type configCommand struct {
	Check configCheckCommand `cmd:"" help:"Print the settings of 'octavo serve' with where each comes from, and try all that they name; end with 0 if it would start."`
}

type configCheckCommand struct{ serveFlags }

// Run tries everything and starts nothing.
func (c *configCheckCommand) Run(k *kong.Context) error {
	return program.Check(os.Stdout, k, c.Flags, func(r *program.Report) {
		r.HTTP("--http-addr", c.HTTPAddr, c.HTTPTLSDir)
		r.GRPC("--recommendations-addr", "recommendations", c.RecommendationsAddr)
		r.GRPC("--catalog-addr", "catalog", c.CatalogAddr)
		r.GRPC("--readers-addr", "readers", c.ReadersAddr)
		if file := c.CatalogDatabaseURLFile; file != "" {
			(&catalogservice.Service{DatabaseURLFile: file}).CheckURL(r, "--catalog-database-url-file")
		}
		if file := c.ReadersDatabaseURLFile; file != "" {
			(&readersservice.Service{DatabaseURLFile: file}).CheckURL(r, "--readers-database-url-file")
		}
		if c.Models != "" {
			c.place(c.DataDir).Check(r, "--models", "--models-cache")
		}
		folder := dataFolder{path: c.DataDir}
		r.Folder("--data-dir", c.DataDir, func() error { return folder.check() })
	})
}

// check says what is wrong with a data folder that is there.
func (f *dataFolder) check() error {
	if _, err := os.Stat(f.versionFile()); err == nil {
		if err := f.checkFormat(); err != nil {
			return err
		}
	}
	for _, path := range []string{f.catalogDB(), f.readersDB()} {
		if _, err := os.Stat(path); err == nil {
			if err := program.SQLite(path)(); err != nil {
				return err
			}
		}
	}
	if _, err := os.Stat(f.sessionKey()); err == nil {
		_, err := marketplaceservice.SessionKey(f.sessionKey())
		return err
	}
	return nil
}
