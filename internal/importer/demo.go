package importer

import (
	"context"
	"fmt"
	"strconv"

	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/library"
)

// Demo is the embedded library with simulated readers, the same ones for the
// same seed.
func Demo(readers int, seed uint64) Source {
	return demo{readers: readers, seed: seed}
}

type demo struct {
	readers int
	seed    uint64
}

func (demo) Name() string { return "simulation" }

// Inputs implements Source.
func (d demo) Inputs() (Inputs, error) {
	return Inputs{Options: fmt.Sprintf("%d readers of seed %d", d.readers, d.seed)}, nil
}

func (d demo) Send(ctx context.Context, in *Intake) error {
	books := library.Books()
	readers, interactions := library.Simulate(books, d.readers, d.seed)

	bookKeys := make(map[int32]string, len(books))
	for i, b := range books {
		bookKeys[b.Id] = b.SourceId
		if err := in.Book(ctx, Place{}, b); err != nil {
			return err
		}
		in.Progress("books", i+1, len(books))
	}
	readerKeys := make(map[int32]string, len(readers))
	for i, r := range readers {
		if r.SourceId == "" {
			r.SourceId = strconv.Itoa(int(r.Id))
		}
		readerKeys[r.Id] = r.SourceId
		if err := in.Reader(ctx, Place{}, r); err != nil {
			return err
		}
		in.Progress("readers", i+1, len(readers))
	}
	for n, i := range interactions {
		err := in.Interaction(ctx, Place{}, demoInteraction(i, readerKeys, bookKeys))
		if err != nil {
			return err
		}
		if n%rowsPerContextCheck == 0 || n == len(interactions)-1 {
			in.Progress("interactions", n+1, len(interactions))
		}
	}
	// The simulation is our own: a record of it that is refused is a bug.
	if n := in.report.RefusedCount(); n > 0 {
		return fmt.Errorf("%d records of the demo library are not valid, the first: %v", n, in.report.Refused)
	}
	return nil
}

func demoInteraction(i *readersv1.Interaction, readers, books map[int32]string) Interaction {
	out := Interaction{Reader: readers[i.ReaderId], Book: books[i.BookId], Kind: i.Kind, Value: i.Value}
	if i.OccurredAt != nil {
		out.Time = i.OccurredAt.AsTime()
	}
	return out
}
