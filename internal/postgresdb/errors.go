package postgresdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/octavo-books/octavo/fault"
)

const cannotConnectNow = "57P03"

// states are the conditions of SQLSTATE that have a kind, most exact first: a
// code of two letters is its whole class. See "PostgreSQL Error Codes" in its
// manual.
var states = []struct {
	code, text string
	kind       fault.Kind
}{
	{"53100", "the disk of the database is full, so nothing was saved; try again when there is space", fault.Unavailable},
	{"53300", "the database has too many connections; try again", fault.Unavailable},
	{"53", "the database is short of memory or disk; try again later", fault.Unavailable},
	{"25006", "the database cannot be written to, so nothing was saved", fault.Unavailable},
	{"25P03", "the change took too long, so nothing was saved; try again", fault.Unavailable},
	{"55P03", "the database is busy; try again", fault.Unavailable},
	{"40", "the database is busy; try again", fault.Unavailable},
	{"57014", "the database took too long; try again", fault.Unavailable},
	{"57", "the database is restarting; try again", fault.Unavailable},
	{"58", "the disk of the database does not work; try again later", fault.Unavailable},
	{"08", noAnswer, fault.Unavailable},
	{"28", noAnswer, fault.Unavailable},
	{"3D000", noAnswer, fault.Unavailable},
	{"23", "the change does not fit what is stored", fault.Conflict},
	{"22021", "a text has a character that cannot be stored", fault.Invalid},
	{"22P05", "a text has a character that cannot be stored", fault.Invalid},
}

const noAnswer = "the database cannot be reached; try again"

// Wrap says what was being done when err happened, and gives the failures of a
// database or of the way to it their kind and a text for users. Faults stay as
// they are; an error it does not know stays unknown.
func Wrap(err error, doing string) error {
	if err == nil {
		return nil
	}
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	err = fmt.Errorf("%s: %w", doing, err)
	var answer *pgconn.PgError
	switch {
	case errors.As(err, &answer):
		for _, s := range states {
			if len(answer.Code) >= len(s.code) && answer.Code[:len(s.code)] == s.code {
				return fault.Wrap(s.kind, err, "%s", s.text)
			}
		}
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) && !dialling(err):
	case lost(err):
		return fault.Wrap(fault.Unavailable, err, noAnswer)
	}
	return err
}

// dialling is whether err came about while a connection was made, which has a
// deadline of its own.
func dialling(err error) bool {
	var connect *pgconn.ConnectError
	return errors.As(err, &connect)
}

// lost is whether a connection ended, or was never made.
func lost(err error) bool {
	var network net.Error
	return dialling(err) || errors.As(err, &network) || errors.Is(err, net.ErrClosed) || errors.Is(err, pgconn.ErrConnClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
