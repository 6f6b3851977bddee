package sqlitedb

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/octavo-books/octavo/fault"
)

// Wrap says what was being done when err happened, and gives the failures of a
// disk or a database their kind and a text for users. Faults stay as they are;
// an error it does not know stays unknown.
func Wrap(err error, doing string) error {
	if err == nil {
		return nil
	}
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	err = fmt.Errorf("%s: %w", doing, err)
	var driver *sqlite.Error
	if !errors.As(err, &driver) {
		return err
	}
	// The low byte is the kind of error, the rest its particulars.
	switch driver.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return fault.Wrap(fault.Unavailable, err, "the disk is full, so nothing was saved; try again when there is space")
	case sqlite3.SQLITE_READONLY:
		return fault.Wrap(fault.Unavailable, err, "the database cannot be written to, so nothing was saved")
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN:
		return fault.Wrap(fault.Unavailable, err, "the disk of the database does not work; try again later")
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fault.Wrap(fault.Unavailable, err, "the database is busy; try again")
	case sqlite3.SQLITE_NOMEM:
		return fault.Wrap(fault.Unavailable, err, "the database is out of memory; try again later")
	case sqlite3.SQLITE_CONSTRAINT:
		return fault.Wrap(fault.Conflict, err, "the change does not fit what is stored")
	}
	return err
}
