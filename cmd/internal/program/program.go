// Package program is what the main of every program of this repository has in
// common: the command line, signals, the exit code. It is the one place where
// a program says why it failed.
//
// It knows no service, so that a change in one leaves the other programs as
// they were.
package program

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // in an image from nothing there are no time zones

	"github.com/alecthomas/kong"
	_ "golang.org/x/crypto/x509roots/fallback" // and no certificates of public authorities

	"github.com/octavo-books/octavo/chassis"
)

// Service is a service with its settings, a pointer to a kong struct, of which
// octavo sets the fields itself. Main and octavo run the same one.
type Service interface {
	// Add adds the service to the app and returns the address it listens on.
	Add(ctx context.Context, app *chassis.App) (net.Addr, error)
}

// Serve is the main of a program that runs one service: see Main.
func Serve(name, description, adminAddr string, s Service) int {
	return Main(name, description, adminAddr, &server{name: name, Service: s})
}

// server is the command line of such a program.
type server struct {
	name string

	Service       Service `embed:""`
	chassis.Flags `embed:""`
	CheckFlag     `embed:""`
}

// Run is called by kong.
func (s *server) Run(ctx context.Context, k *kong.Context) error {
	if s.CheckConfig {
		return s.check(k)
	}
	app, err := chassis.New(s.name, Version(), s.Flags, os.Stderr)
	if err != nil {
		return err
	}
	if _, err := s.Service.Add(ctx, app); err != nil {
		return errors.Join(err, app.Close())
	}
	return app.Run(ctx)
}

// groups are the groups of settings in --help and in the reference.
var groups = []kong.Group{
	{Key: "addresses", Title: "Addresses:"},
	{Key: "data", Title: "Data:"},
	{Key: "access", Title: "Access:"},
	{Key: "tls", Title: "TLS:"},
	{Key: "limits", Title: "Limits:"},
	{Key: "telemetry", Title: "Telemetry:"},
	{Key: "logging", Title: "Logging:"},
	{Key: "shutdown", Title: "Shutdown:"},
}

// Main parses the command line into flags, a pointer to a kong struct, and
// runs it until it ends or the process is told to stop. It returns the exit
// code: 0, 1 for a failure, 2 for a wrong command line. The admin port listens
// on adminAddr unless the flags say otherwise; each program has one of its own,
// so that all can run on one machine.
func Main(name, description, adminAddr string, flags any) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	tuneRuntime()

	parser, err := kong.New(flags,
		kong.Name(name),
		kong.Description(description),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.WithHyphenPrefixedParameters(true),
		kong.Vars{"admin_addr": adminAddr},
		kong.ExplicitGroups(groups),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(duration)),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	if err := refuseUnknownEnvironment(os.Environ()); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 2
	}
	parsed, err := parser.Parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\nRun '%s --help' for the commands and flags there are.\n", name, err, name)
		return 2
	}
	if err := parsed.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s\n", name, describe(err))
		return 1
	}
	return 0
}

// duration reads a time with its unit. No setting of ours can be negative.
func duration(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("duration", &text); err != nil {
		return err
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return fmt.Errorf("%q is no duration: want a number with its unit, such as 90s, 10m or 24h", text)
	}
	target.SetInt(int64(d))
	return nil
}

// describe is the whole of an error for the operator, who may see causes.
func describe(err error) string {
	if errors.Is(err, context.Canceled) {
		return "interrupted"
	}
	return err.Error()
}

// refuseUnknownEnvironment reports variables that look like settings of Octavo
// and are not: a misspelt one would otherwise be ignored in silence. Variables
// of another program of Octavo are known to all of them.
func refuseUnknownEnvironment(environ []string) error {
	for _, entry := range environ {
		key, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(key, "OCTAVO_") && !slices.Contains(environment, key) {
			return fmt.Errorf("the environment variable %s is no setting of Octavo%s; unset it, or see --help for those there are", key, didYouMean(key, environment))
		}
	}
	return nil
}

// environment holds the variables of all programs: one that is meant for
// another program of Octavo is no mistake. A test compares it with the flags.
var environment = []string{
	"OCTAVO_ADDRESSES_FILE",
	"OCTAVO_ADMIN_ADDR",
	"OCTAVO_ADMIN_EXPOSED",
	"OCTAVO_ADMIN_TLS",
	"OCTAVO_CATALOG_ADDR",
	"OCTAVO_CATALOG_DATABASE_URL_FILE",
	"OCTAVO_CATALOG_DB",
	"OCTAVO_CONNECTION_AGE",
	"OCTAVO_DATA_DIR",
	"OCTAVO_DEMO",
	"OCTAVO_DEMO_READERS",
	"OCTAVO_FLOOD_WAIT",
	"OCTAVO_HANDSHAKES",
	"OCTAVO_HTTP_ADDR",
	"OCTAVO_HTTP_TLS_DIR",
	"OCTAVO_KEPT_RANKINGS_MIB",
	"OCTAVO_LOG_FORMAT",
	"OCTAVO_LOG_LEVEL",
	"OCTAVO_MODELS",
	"OCTAVO_MODELS_CACHE",
	"OCTAVO_MODELS_DIR",
	"OCTAVO_OTLP_ENDPOINT",
	"OCTAVO_OTLP_HEADERS_FILE",
	"OCTAVO_OTLP_PROTOCOL",
	"OCTAVO_PLAINTEXT",
	"OCTAVO_PUBLIC_URL",
	"OCTAVO_READERS_ADDR",
	"OCTAVO_READERS_DATABASE_URL_FILE",
	"OCTAVO_READERS_DB",
	"OCTAVO_RECOMMENDATIONS_ADDR",
	"OCTAVO_REFLECTION",
	"OCTAVO_REFRESH_EVERY",
	"OCTAVO_S3_ADDRESSING",
	"OCTAVO_S3_CREDENTIALS_DIR",
	"OCTAVO_S3_ENDPOINT",
	"OCTAVO_S3_REGION",
	"OCTAVO_SESSION_KEY_FILE",
	"OCTAVO_SHUTDOWN_DELAY",
	"OCTAVO_SHUTDOWN_TIMEOUT",
	"OCTAVO_TLS_DIR",
	"OCTAVO_TLS_IDENTITY_PREFIX",
	"OCTAVO_TRACE_SAMPLE",
	"OCTAVO_TRACE_SLOW",
	"OCTAVO_TRAIN_EVERY",
	"OCTAVO_TRUSTED_PROXIES",
}

// Environment is the names of all variables that a program of Octavo reads.
func Environment() []string { return slices.Clone(environment) }

// version is set by the linker, for programs in images.
var version string

// Version is that of the image or the module this program was built from,
// "(devel)" for a build from a checkout.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// Job runs the app until work is done or fails, for programs that end.
func Job(ctx context.Context, app *chassis.App, work func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failure error
	app.Go("job", func(ctx context.Context) error {
		if failure = work(ctx); failure == nil {
			cancel()
		}
		return failure
	})
	if err := app.Run(ctx); failure == nil {
		return err
	}
	return failure
}
