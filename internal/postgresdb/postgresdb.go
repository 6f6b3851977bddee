// Package postgresdb opens the PostgreSQL databases of the services, brings
// them to the present schema, keeps the order of their feeds, and says in plain
// words what went wrong. Each service has a schema of its own and keeps its own
// queries; the one table known here is the counter of positions.
//
// A write is on disk when Update returns. Writers go one after the other,
// whatever process they are in: a position is given under the lock on the
// counter, which is held until the commit, so that positions have no gaps and
// become visible in their order. Group makes up for what that costs.
package postgresdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/feed"
)

const (
	// At the start the database is waited for this long.
	startTimeout = 30 * time.Second
	// Connections of the pool, unless the URL says otherwise, beside the one for
	// notifications. It does not follow the processors: a node may have many, and
	// all replicas together have to fit into what the server takes.
	poolSize = 4
	// A connection is made within this time, or not.
	connectTimeout = 3 * time.Second
	// How long a writer waits for another process, and how long one that has
	// stopped in the middle may keep the others waiting.
	lockTimeout = 5 * time.Second
	idleTimeout = 10 * time.Second
	// A query whose context has no deadline, as those of feeds, is given up after
	// this time, with its connection: the network may have lost the server
	// without telling. It waits for a connection no longer than acquireTimeout,
	// as those before it may all have been lost.
	queryTimeout   = 10 * time.Second
	acquireTimeout = 5 * time.Second
	// A connection that was idle answers within this time before it is used, or
	// another one is.
	pingTimeout = time.Second
	// So many connections are there before the first query, one to read and one to
	// write, so that the first callers do not wait for them.
	minConns = 2
	// A lost connection for notifications is made again after this time.
	retryInterval = 200 * time.Millisecond
	// What still runs when the database is closed gets this long before its
	// connections are cut: through a network that is silent it would take 15 s.
	closeTimeout = time.Second
	// Commits of other processes that no notification told of are noticed this
	// often.
	pollInterval = time.Second
)

// DB is one schema of one database.
type DB struct {
	// Read answers queries, each from a snapshot of what is committed. Changes
	// go through Update.
	Read *pgxpool.Pool

	schema  string
	writer  chan struct{} // holds one token: the writers of this process take turns
	changed feed.Signal
	stop    context.CancelFunc
	stopped <-chan struct{}
	cut     context.CancelFunc // ends all connections, whatever they wait for
	tasks   sync.WaitGroup
}

// Config says what to open.
type Config struct {
	URL        string // of the database; it may have a secret in it, and is never told
	Schema     string // made when missing
	Migrations fs.FS
	Settings   map[string]string // of the server, for all connections; may be nil
}

// Open connects to a database and applies the migrations that the schema lacks.
// Of several programs that start at once one applies them and the others wait.
// A schema that has migrations beyond these, of a newer program, is refused when
// one of them breaks programs that do not know it.
//
// A database that does not answer yet is waited for, half a minute at most.
func Open(ctx context.Context, c Config) (*DB, error) {
	config, err := parse(c.URL)
	if err != nil {
		return nil, err
	}
	conn := config.ConnConfig
	where := fmt.Sprintf("schema %s of database %s at %s", c.Schema, conn.Database, conn.Host)
	if conn.ConnectTimeout == 0 || conn.ConnectTimeout > connectTimeout {
		conn.ConnectTimeout = connectTimeout
	}
	maps.Copy(conn.RuntimeParams, map[string]string{
		"search_path":                         pgx.Identifier{c.Schema}.Sanitize() + ", public",
		"lock_timeout":                        fmt.Sprint(lockTimeout.Milliseconds()),
		"idle_in_transaction_session_timeout": fmt.Sprint(idleTimeout.Milliseconds()),
	})
	maps.Copy(conn.RuntimeParams, c.Settings)
	if conn.RuntimeParams["application_name"] == "" {
		conn.RuntimeParams["application_name"] = "octavo " + c.Schema
	}
	config.AfterConnect = durable
	config.MinConns = max(config.MinConns, min(minConns, config.MaxConns))
	connected, cut := context.WithCancel(context.Background())
	conn.DialFunc = within(connected, conn.DialFunc)

	if err := migrate(ctx, conn, c.Schema, c.Migrations); err != nil {
		cut()
		return nil, fmt.Errorf("%s: %w", where, Wrap(err, "migrate the database"))
	}
	conn.Tracer, config.PingTimeout = deadlines{}, pingTimeout
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		cut()
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	running, stop := context.WithCancel(context.Background())
	d := &DB{Read: pool, schema: c.Schema, writer: make(chan struct{}, 1), stop: stop, stopped: running.Done(), cut: cut}
	d.writer <- struct{}{}
	d.tasks.Go(func() { d.listen(running) })
	return d, nil
}

// durable makes commits wait for the disk also where the server or the role is
// set not to.
func durable(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
	return err
}

// deadlines gives queries that have none a deadline, and the wait for their
// connection another. It is a tracer because that is where pgx lets the context
// be another one, and tells of the end.
type deadlines struct{}

type deadlineEnd struct{}

func (deadlines) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	return begin(ctx, acquireTimeout)
}

func (deadlines) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireEndData) {
	end(ctx)
}

func (deadlines) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return begin(ctx, queryTimeout)
}

func (deadlines) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) { end(ctx) }

func begin(ctx context.Context, most time.Duration) context.Context {
	if _, has := ctx.Deadline(); has {
		return ctx
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	return context.WithValue(ctx, deadlineEnd{}, cancel)
}

func end(ctx context.Context) {
	if cancel, ok := ctx.Value(deadlineEnd{}).(context.CancelFunc); ok {
		cancel()
	}
}

// within makes dial's connections, and those that are being made, end with ctx.
func within(ctx context.Context, dial pgconn.DialFunc) pgconn.DialFunc {
	return func(asked context.Context, network, addr string) (net.Conn, error) {
		asked, giveUp := context.WithCancel(asked)
		defer giveUp()
		defer context.AfterFunc(ctx, giveUp)()
		conn, err := dial(asked, network, addr)
		if err != nil {
			return nil, err
		}
		return &socket{conn, context.AfterFunc(ctx, func() { _ = conn.Close() })}, nil
	}
}

// socket is a connection that forgets what would end it once it is closed.
type socket struct {
	net.Conn
	forget func() bool
}

func (s *socket) Close() error {
	s.forget()
	return s.Conn.Close()
}

// Close ends what runs and closes all connections, within closeTimeout also when
// the database does not answer. Updates that come later fail.
func (d *DB) Close() error {
	d.stop()
	defer d.cut()
	defer time.AfterFunc(closeTimeout, d.cut).Stop()
	d.tasks.Wait()
	d.Read.Close()
	return nil
}

// Changed returns a channel that is closed after the next commit.
func (d *DB) Changed() <-chan struct{} { return d.changed.Wait() }

// Head is the last position that was given.
func (d *DB) Head(ctx context.Context) (int64, error) { return head(ctx, d.Read, "") }

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func head(ctx context.Context, on querier, lock string) (position int64, err error) {
	err = on.QueryRow(ctx, "SELECT position FROM head"+lock).Scan(&position)
	return position, err
}

// Update makes one change, all of it or nothing, and returns when it is on
// disk. The change is told the last position that was given, and returns the
// last one that it has given itself. It sees all that was committed before,
// and nothing is committed by others until it is.
//
// When ctx ends, or the connection, while the change is committed, the outcome
// is not known.
func (d *DB) Update(ctx context.Context, change func(tx pgx.Tx, head int64) (int64, error)) error {
	select {
	case <-d.writer:
		defer func() { d.writer <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err()
	case <-d.stopped:
		return errClosed
	}
	select {
	case <-d.stopped:
		return errClosed
	default:
	}
	err := pgx.BeginFunc(ctx, d.Read, func(tx pgx.Tx) error {
		before, err := head(ctx, tx, " FOR UPDATE")
		if err != nil {
			return err
		}
		after, err := change(tx, before)
		if err != nil {
			return err
		}
		if after != before {
			if _, err := tx.Exec(ctx, "UPDATE head SET position = $1", after); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, "SELECT pg_notify($1, '')", d.channel())
		return err
	})
	if err == nil {
		d.changed.Fire()
	}
	return err
}

var errClosed = fault.New(fault.Unavailable, "the database is closed")

// channel is the name of the notifications of commits.
func (d *DB) channel() string { return "octavo_" + d.schema }

// listen wakes the followers when another process has committed, as soon as it
// can again after the connection was lost.
func (d *DB) listen(ctx context.Context) {
	for {
		// An error here will meet the followers too, who can report it.
		_ = d.listenOnce(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(retryInterval):
		}
	}
}

func (d *DB) listenOnce(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, d.Read.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{d.channel()}.Sanitize()); err != nil {
		return err
	}
	for seen := int64(-1); ; {
		// What was committed while nobody listened, or behind a pooler that
		// passes no notifications on.
		if seen, err = d.poll(ctx, conn, seen); err != nil {
			return err
		}
		switch err := notified(ctx, conn); {
		case err == nil:
			d.changed.Fire()
		case ctx.Err() != nil || conn.IsClosed():
			return err
		}
	}
}

func (d *DB) poll(ctx context.Context, conn *pgx.Conn, seen int64) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	now, err := head(ctx, conn, "")
	if err == nil && now != seen {
		d.changed.Fire()
	}
	return now, err
}

// notified waits for a notification, until it is time to poll.
func notified(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, pollInterval)
	defer cancel()
	_, err := conn.WaitForNotification(ctx)
	return err
}

// starting is whether the error of a connection is one that passes while a
// database starts.
func starting(err error) bool {
	var connect *pgconn.ConnectError
	if !errors.As(err, &connect) {
		return false
	}
	var answer *pgconn.PgError
	return !errors.As(err, &answer) || answer.Code == cannotConnectNow
}

// Try connects to the database at url and changes nothing.
func Try(ctx context.Context, url string) error {
	config, err := parse(url)
	if err != nil {
		return err
	}
	config.ConnConfig.ConnectTimeout = connectTimeout
	conn, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

func parse(url string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		// The text of a URL that cannot be parsed may be all secret.
		return nil, fault.New(fault.Invalid, "the database URL cannot be read; it has to be like postgres://user:password@host:5432/database")
	}
	// For pgx itself this is a setting of the server like others.
	if plain, err := pgx.ParseConfig(url); err != nil || plain.RuntimeParams["pool_max_conns"] == "" {
		config.MaxConns = poolSize
	}
	return config, nil
}
