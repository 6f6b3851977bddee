// Package importer brings books, readers and what they did into Octavo. A
// Source reads them from somewhere (a folder of goodbooks-10k, CSV files, ONIX
// messages, dumps of Open Library, the embedded demo library); Load sends them to the catalog and readers services
// in batches and reports every row that was refused, with its place and reason.
//
// An import can be run again: records are known by their source and the key
// they have there, so nothing is doubled. One that stopped in the middle goes on
// where it was when it has a checkpoint, a file of the user's. Files are read as streams; what is kept in memory is
// the books' and readers' keys.
//
// It never writes to a database and never changes a file that it reads.
package importer

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"buf.build/go/protovalidate"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

// Source is somewhere to import from.
type Source interface {
	// Name is the name of the source in the records, such as "goodbooks". Keys
	// are unique under it, for ever.
	Name() string
	// Inputs are what Send reads, and what decides what it makes of that.
	Inputs() (Inputs, error)
	// Send gives everything the source has to the intake, the books before the
	// interactions that name them. A row that cannot be used is refused and the
	// next one read; an error ends the import.
	Send(ctx context.Context, in *Intake) error
}

// Target is where the records go.
type Target struct {
	Catalog catalogv1.CatalogServiceClient
	Readers readersv1.ReadersServiceClient
}

// Progress is told how far a stage is: done of total, in bytes of a file or in
// records. It is called from one goroutine and must return quickly.
type Progress func(stage string, done, total int)

// Options of Load. The zero value is usable.
type Options struct {
	Progress Progress // may be nil
	// KeepFindings is how many refusals, and how many warnings, the report
	// keeps; it counts all. 0 means 100.
	KeepFindings int
	// Checkpoint is a file that keeps how far the import is, so that one that was
	// stopped goes on there; none when empty. It is removed at the end. One that
	// is there already has to be of the same inputs.
	Checkpoint string
	// Findings gets all of them as CSV, each when it is found; nil for nobody.
	Findings io.Writer
}

// Place is where a row, or a field of it, begins.
type Place struct {
	File   string // as the user named it; empty when there is none
	Line   int    // from 1
	Column int    // in characters, from 1
}

// String is file:line:column, as editors understand it.
func (p Place) String() string {
	if p.File == "" {
		return "record"
	}
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Finding is something that is wrong with a row.
type Finding struct {
	Place
	Reason string
}

// String is the place and the reason on one line.
func (f Finding) String() string { return f.Place.String() + ": " + f.Reason }

// Count says what became of the records of a kind. Once an import is complete,
// Read is the sum of the others.
type Count struct {
	Read      int
	Imported  int // new, or changed since the last import
	Unchanged int // there already
	Refused   int
}

// Report says what an import did.
type Report struct {
	Source                       string
	Books, Readers, Interactions Count
	Refused                      []Finding // the first of them, see Options.KeepFindings
	Warnings                     []Finding // rows imported without a field that made no sense
	WarningCount                 int       // all of them
	Notes                        []string  // what else there is to know, in sentences
	Complete                     bool      // false: it stopped before the end, and can be run again
	// The positions of the feeds at which all of it can be seen; 0 when nothing
	// was sent.
	BooksPosition, InteractionsPosition int64
}

// RefusedCount is how many rows were refused, kept in the report or not.
func (r Report) RefusedCount() int {
	return r.Books.Refused + r.Readers.Refused + r.Interactions.Refused
}

// Begun is whether any record was read.
func (r Report) Begun() bool { return r.Books.Read+r.Readers.Read+r.Interactions.Read > 0 }

// String is the report in lines for a terminal.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-14s %10s %10s %10s %10s\n", r.Source, "read", "imported", "unchanged", "refused")
	for _, row := range []struct {
		name string
		Count
	}{{"books", r.Books}, {"readers", r.Readers}, {"interactions", r.Interactions}} {
		fmt.Fprintf(&b, "%-14s %10d %10d %10d %10d\n", row.name, row.Read, row.Imported, row.Unchanged, row.Refused)
	}
	list := func(name string, kept []Finding, all int) {
		if all == 0 {
			return
		}
		fmt.Fprintf(&b, "%s:\n", name)
		for _, f := range kept {
			fmt.Fprintf(&b, "  %s\n", f)
		}
		if more := all - len(kept); more > 0 {
			fmt.Fprintf(&b, "  and %d more\n", more)
		}
	}
	list("refused", r.Refused, r.RefusedCount())
	list("imported without a field", r.Warnings, r.WarningCount)
	for _, n := range r.Notes {
		fmt.Fprintln(&b, n)
	}
	if !r.Complete {
		fmt.Fprintln(&b, "The import stopped before its end. What is counted as imported is in; "+
			"run the same import again to go on: nothing is recorded twice.")
	}
	return b.String()
}

// Load imports everything the source has. The report is right even when there
// is an error: it counts what the services have acknowledged until then.
func Load(ctx context.Context, target Target, source Source, o Options) (Report, error) {
	validator, err := protovalidate.New(protovalidate.WithMessages(&catalogv1.Book{}, &readersv1.Reader{}))
	if err != nil {
		return Report{Source: source.Name()}, fmt.Errorf("compile the rules of the contracts: %w", err)
	}
	if o.KeepFindings == 0 {
		o.KeepFindings = 100
	}
	in := &Intake{
		target:    target,
		options:   o,
		source:    source.Name(),
		validator: validator,
		books:     map[string]known{},
		readers:   map[string]int32{},
		report:    Report{Source: source.Name()},
	}
	if o.Checkpoint != "" {
		if in.checkpoint, err = openCheckpoint(o.Checkpoint, source); err == nil {
			err = in.checkpoint.check(ctx, target)
		}
		if err != nil {
			return in.report, fmt.Errorf("import %s: %w", source.Name(), err)
		}
		if in.resumed = *in.checkpoint; in.resumed.begun() {
			in.Note("Went on where the import had stopped: after %s and %s, which are counted as unchanged.",
				plural(in.resumed.Books, "book"), plural(in.resumed.Interactions, "interaction"))
		}
	}
	if o.Findings != nil {
		in.findings = csv.NewWriter(o.Findings)
		if err := in.findings.Write([]string{"file", "line", "column", "outcome", "reason"}); err != nil {
			return in.report, fmt.Errorf("write the findings: %w", err)
		}
	}
	if err = source.Send(ctx, in); err == nil {
		err = in.flush(ctx)
	}
	if in.joined > 0 {
		in.Note("%s of books that the catalogue had from another record: each was joined to that book by an ISBN.", isOrAre(in.joined, "record"))
	}
	if in.findings != nil {
		in.findings.Flush()
		if failed := in.findings.Error(); failed != nil {
			err = errors.Join(err, fmt.Errorf("write the findings: %w", failed))
		}
	}
	if in.checkpoint != nil {
		if err == nil {
			err = in.checkpoint.remove()
		} else {
			err = errors.Join(err, in.checkpoint.save())
		}
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return in.report, fmt.Errorf("import %s: %w", source.Name(), err)
	}
	in.report.Complete = true
	return in.report, nil
}

// baseName is how findings name a file: short, as the rows of one import come
// from few files.
func baseName(path string) string { return filepath.Base(path) }
