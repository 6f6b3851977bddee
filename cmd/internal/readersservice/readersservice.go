// Package readersservice wires the readers service into a chassis.App: its
// store and its server. The program readers and octavo share it.
package readersservice

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/program"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/postgresdb"
	"github.com/octavo-books/octavo/internal/readers"
	"github.com/octavo-books/octavo/internal/readers/accounts"
	"github.com/octavo-books/octavo/internal/readers/postgres"
	"github.com/octavo-books/octavo/internal/readers/sqlite"
)

// access says who may call what: the storefront keeps shelves and signs people
// in, recommendations and the trainer follow the log, and octavo brings readers
// in.
var access = chassis.Access{
	readersv1.ReadersService_CreateReader_FullMethodName:       {"marketplace", "octavo"},
	readersv1.ReadersService_GetReader_FullMethodName:          {"marketplace", "octavo"},
	readersv1.ReadersService_ListReaders_FullMethodName:        {"marketplace", "octavo"},
	readersv1.ReadersService_RecordInteractions_FullMethodName: {"marketplace", "octavo"},
	readersv1.ReadersService_ListShelf_FullMethodName:          {"marketplace", "octavo"},
	readersv1.ReadersService_ExportReader_FullMethodName:       {"marketplace", "octavo"},
	readersv1.ReadersService_EraseReader_FullMethodName:        {"marketplace", "octavo"},
	readersv1.ReadersService_SetPersonalisation_FullMethodName: {"marketplace", "octavo"},
	readersv1.ReadersService_WatchInteractions_FullMethodName:  {"recommendations", "trainer", "octavo"},
	readersv1.ReadersService_ImportReaders_FullMethodName:      {"octavo"},

	readersv1.AccountsService_CreateAccount_FullMethodName:             {"marketplace"},
	readersv1.AccountsService_SignIn_FullMethodName:                    {"marketplace"},
	readersv1.AccountsService_CheckSession_FullMethodName:              {"marketplace"},
	readersv1.AccountsService_ListSessions_FullMethodName:              {"marketplace"},
	readersv1.AccountsService_EndSessions_FullMethodName:               {"marketplace"},
	readersv1.AccountsService_ChangePassword_FullMethodName:            {"marketplace"},
	readersv1.AccountsService_BeginPasskeyRegistration_FullMethodName:  {"marketplace"},
	readersv1.AccountsService_FinishPasskeyRegistration_FullMethodName: {"marketplace"},
	readersv1.AccountsService_BeginPasskeySignIn_FullMethodName:        {"marketplace"},
	readersv1.AccountsService_FinishPasskeySignIn_FullMethodName:       {"marketplace"},
	readersv1.AccountsService_ListPasskeys_FullMethodName:              {"marketplace"},
	readersv1.AccountsService_RenamePasskey_FullMethodName:             {"marketplace"},
	readersv1.AccountsService_RemovePasskey_FullMethodName:             {"marketplace"},
}

// Service is the readers service with its settings.
type Service struct {
	Addr     string `aliases:"readers-addr" env:"OCTAVO_READERS_ADDR" default:"127.0.0.1:50053" group:"addresses" help:"Address to listen on (${env})."`
	Database string `name:"db" env:"OCTAVO_READERS_DB" default:"octavo-data/readers.db" type:"path" group:"data" help:"SQLite database of the readers and their log, made when missing (${env})."`

	DatabaseURLFile string `name:"database-url-file" env:"OCTAVO_READERS_DATABASE_URL_FILE" type:"path" placeholder:"FILE" group:"data" help:"File with the URL of a PostgreSQL database, to use in place of SQLite: postgres://user:password@host:5432/database (${env})."`
}

type store interface {
	readers.Store
	accounts.Store
	accounts.Tallies
	accounts.Passkeys
	Close() error
}

func (s *Service) open(ctx context.Context) (store, error) {
	if s.DatabaseURLFile == "" {
		return sqlite.Open(ctx, s.Database)
	}
	url, err := program.DatabaseURL(s.DatabaseURLFile)
	if err != nil {
		return nil, err
	}
	return postgres.Open(ctx, string(url.Reveal()))
}

// Add adds the service, over its database, to the app. It returns the address
// it listens on.
func (s *Service) Add(ctx context.Context, app *chassis.App) (net.Addr, error) {
	store, err := s.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("open readers database: %w", err)
	}
	app.OnClose("readers database", store.Close)
	server := readers.NewServer(store, app.Log())
	server.Measure(app.Metrics())
	app.Go("readers", server.Run)
	signing := accounts.NewServer(accounts.Config{Store: store, Tallies: store, Passkeys: store, Readers: store, Log: app.Log()})
	signing.Measure(app.Metrics())
	app.Allow(access)
	app.Background(readersv1.ReadersService_ImportReaders_FullMethodName)
	return app.GRPC("readers", s.Addr, nil, func(r grpc.ServiceRegistrar) {
		server.Register(r)
		signing.Register(r)
	})
}

// Check tries what Add needs.
func (s *Service) Check(r *program.Report) {
	r.GRPC("--addr", "readers", s.Addr)
	if s.DatabaseURLFile == "" {
		r.File("--db", s.Database, program.SQLite(s.Database))
		return
	}
	s.CheckURL(r, "--database-url-file")
}

// CheckURL tries the database that a flag names a file for.
func (s *Service) CheckURL(r *program.Report, flag string) {
	url, err := program.DatabaseURL(s.DatabaseURLFile)
	if err == nil {
		err = postgresdb.Try(context.Background(), string(url.Reveal()))
	}
	r.Tried(flag, "the database answers", err)
}
