package importer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

const (
	// What is done between two saves is done again after a kill.
	saveEvery = 250 * time.Millisecond
	// So much of a file tells it from others, beside its size and time.
	markBytes = 64 << 10

	checkpointFormat = 1
	maxCheckpoint    = 1 << 20 // bytes
)

// Inputs are what decides what an import sends: the same inputs give the same
// records in the same order.
type Inputs struct {
	Files   []string
	Options string
}

// checkpoint is how far an import is. It counts what has been acknowledged from
// the beginning of the inputs: what comes before that is not sent again.
type checkpoint struct {
	Format  int        `json:"format"`
	Source  string     `json:"source"`
	Options string     `json:"options,omitempty"`
	Files   []fileMark `json:"files"`

	Books        int `json:"books"`
	Interactions int `json:"interactions"`
	// By these the databases are known again.
	LastBook *lastBook `json:"last_book,omitempty"`
	Position int64     `json:"interactions_position"`

	path  string
	saved time.Time
}

// lastBook is one that was acknowledged.
type lastBook struct {
	ID       int32  `json:"id"`
	Source   string `json:"source"`
	SourceID string `json:"source_id"`
}

// fileMark tells a file from others, and from itself after a change.
type fileMark struct {
	Name     string    `json:"name"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	Start    string    `json:"start"` // SHA-256 of its first bytes
}

func markOf(path string) (fileMark, error) {
	f, err := os.Open(path)
	if err != nil {
		return fileMark{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fileMark{}, err
	}
	start := sha256.New()
	if _, err := io.CopyN(start, f, markBytes); err != nil && !errors.Is(err, io.EOF) {
		return fileMark{}, fmt.Errorf("read %s: %w", path, err)
	}
	return fileMark{
		Name: baseName(path), Size: info.Size(), Modified: info.ModTime().UTC(), Start: hex.EncodeToString(start.Sum(nil)),
	}, nil
}

// openCheckpoint reads the checkpoint at path, or begins one when there is no
// file. One of another import is refused, in words that say what differs.
func openCheckpoint(path string, source Source) (*checkpoint, error) {
	inputs, err := source.Inputs()
	if err != nil {
		return nil, err
	}
	now := &checkpoint{Format: checkpointFormat, Source: source.Name(), Options: inputs.Options, path: path}
	for _, name := range inputs.Files {
		mark, err := markOf(name)
		if err != nil {
			return nil, err
		}
		now.Files = append(now.Files, mark)
	}
	content, err := readShort(path)
	if errors.Is(err, fs.ErrNotExist) {
		// What cannot be written is better known before anything is sent.
		return now, now.save()
	}
	if err != nil {
		return nil, fmt.Errorf("read the checkpoint: %w", err)
	}
	var before checkpoint
	if err := json.Unmarshal(content, &before); err != nil || before.Format != checkpointFormat {
		return nil, fault.New(fault.Conflict, "%s is not a checkpoint that this program wrote. Give another file, or remove it to begin from the start", path)
	}
	if reason := before.differs(now); reason != "" {
		return nil, fault.New(fault.Conflict, "the checkpoint %s is of another import: %s. Repeat the command that was stopped, or remove the file to begin from the start", path, reason)
	}
	if before.Books < 0 || before.Interactions < 0 {
		return nil, fault.New(fault.Conflict, "%s is damaged. Remove it to begin from the start", path)
	}
	before.path = path
	return &before, nil
}

func readShort(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxCheckpoint))
}

// differs says what is not as it was; empty for nothing.
func (c *checkpoint) differs(now *checkpoint) string {
	switch {
	case c.Source != now.Source:
		return fmt.Sprintf("that was of the source %q, this is of %q", c.Source, now.Source)
	case c.Options != now.Options:
		return "its options were others"
	case len(c.Files) != len(now.Files):
		return fmt.Sprintf("it was of %s, this is of %s", plural(len(c.Files), "file"), plural(len(now.Files), "file"))
	}
	for i, before := range c.Files {
		f := now.Files[i]
		switch {
		case before.Name != f.Name:
			return fmt.Sprintf("where it had the file %s, this has %s", before.Name, f.Name)
		case before.Size != f.Size, before.Start != f.Start, !before.Modified.Equal(f.Modified):
			return fmt.Sprintf("the file %s has changed since", f.Name)
		}
	}
	return ""
}

// check refuses to go on with other databases than those that have what was
// acknowledged.
func (c *checkpoint) check(ctx context.Context, target Target) error {
	ctx, cancel := context.WithTimeout(ctx, catalogTimeout)
	defer cancel()
	other := func(what string) error {
		return fault.New(fault.Conflict, "the checkpoint %s is of an import into other databases: %s. Remove the file to begin from the start", c.path, what)
	}
	if last := c.LastBook; last != nil {
		resp, err := target.Catalog.BatchGetBooks(ctx, &catalogv1.BatchGetBooksRequest{Ids: []int32{last.ID}})
		if err != nil {
			return fmt.Errorf("read the catalogue: %w", plain(err))
		}
		found := false
		for _, b := range resp.GetBooks() {
			found = b.GetSource() == last.Source && b.GetSourceId() == last.SourceID
			for _, r := range b.GetJoined() {
				found = found || r.GetSource() == last.Source && r.GetSourceId() == last.SourceID
			}
		}
		if !found {
			return other(fmt.Sprintf("this catalogue has not the book %q, which was imported already", last.SourceID))
		}
	}
	if c.Position > 0 {
		log, err := target.Readers.WatchInteractions(ctx, &readersv1.WatchInteractionsRequest{AfterPosition: c.Position})
		if err == nil {
			_, err = log.Recv()
		}
		switch {
		case fault.KindOf(err) == fault.Conflict:
			return other("this log is shorter than it was")
		case err != nil:
			return fmt.Errorf("read the log: %w", plain(err))
		}
	}
	return nil
}

// begun reports whether there is anything that need not be done again.
func (c *checkpoint) begun() bool { return c.Books > 0 || c.Interactions > 0 }

// saveInTime saves when that was not done just before.
func (c *checkpoint) saveInTime() error {
	if time.Since(c.saved) < saveEvery {
		return nil
	}
	return c.save()
}

// save puts the file in place of the one before, whole or not at all.
func (c *checkpoint) save() (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("save the checkpoint: %w", err)
		}
	}()
	content, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(c.path), "."+filepath.Base(c.path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(content, '\n'))
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), c.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	c.saved = time.Now()
	return nil
}

// remove takes the file away once all is in.
func (c *checkpoint) remove() error {
	if err := os.Remove(c.path); err != nil {
		return fmt.Errorf("remove the checkpoint: %w", err)
	}
	return nil
}
