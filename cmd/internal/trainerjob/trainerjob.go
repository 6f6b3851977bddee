// Package trainerjob wires the trainer: its clients, the place of models, and the
// flags that say what kind of training it is. The program trainer and octavo
// share it.
package trainerjob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/octavo-books/octavo/chassis"
	"github.com/octavo-books/octavo/cmd/internal/models"
	"github.com/octavo-books/octavo/cmd/internal/peers"
	"github.com/octavo-books/octavo/internal/modelstore"
	"github.com/octavo-books/octavo/internal/recommender"
	"github.com/octavo-books/octavo/internal/trainer"
)

// Flags are the settings of the trainer program.
type Flags struct {
	CatalogAddr string `env:"OCTAVO_CATALOG_ADDR" default:"127.0.0.1:50052" group:"addresses" help:"Address of the catalog service (${env})."`
	ReadersAddr string `env:"OCTAVO_READERS_ADDR" default:"127.0.0.1:50053" group:"addresses" help:"Address of the readers service (${env})."`

	models.Flags `embed:""`
	Mode         `embed:""`

	Chassis chassis.Flags `embed:""`
}

// Mode says what kind of training it is. The zero Mode trains a model of
// everything, with parameters chosen for it.
type Mode struct {
	Shard      *Shard `placeholder:"I/N" xor:"kind" help:"Do part I of N, counted from 0, of a training that N machines share. Whoever makes the last part also makes the model of all, and publishes it."`
	Run        string `placeholder:"NAME" help:"The training that the part belongs to, such as the name of a Kubernetes Job; when its model has been published, further attempts at its parts do nothing. Without a name, it is the one that is under way."`
	Refresh    bool   `xor:"kind" help:"Keep the current model's parameters and factors, and count everything else anew: exact, and much faster than to train. Before the first model there is nothing to refresh, which is no failure."`
	Parameters string `enum:"chosen,current" default:"chosen" help:"chosen: on a part of the data held aside. current: those of the current model, which saves most of the time."`
	Position   int64  `default:"0" help:"Position of the log to read up to. 0: to its end, and for parts to where it ended when the first of them began."`
}

// Shard is one part of a training.
type Shard struct{ Index, Count int }

// UnmarshalText reads "i/n".
func (s *Shard) UnmarshalText(text []byte) error {
	var rest string
	n, _ := fmt.Sscanf(string(text)+" .", "%d/%d %s", &s.Index, &s.Count, &rest)
	if n != 3 || rest != "." || s.Count < 1 || s.Index < 0 || s.Index >= s.Count {
		return fmt.Errorf("%q is no part: want I/N with I from 0 to N-1, such as 0/4", text)
	}
	return nil
}

// Validate refuses what does not go together. It is called by kong.
func (m Mode) Validate() error {
	switch {
	case m.Position < 0:
		return errors.New("--position is below 0")
	case m.Parameters == "current" && m.Refresh:
		return errors.New("--parameters has no meaning here: a refresh keeps those of the current model anyway")
	case m.Run != "" && m.Shard == nil:
		return errors.New("--run is for the parts of a training: give --shard too")
	case !trainer.RunName(m.Run):
		return fmt.Errorf("--run %q: a name has at most 100 letters, digits, dots, hyphens and underscores", m.Run)
	case m.Position > 0 && m.Refresh:
		return errors.New("--refresh reads the log to its end: leave --position out")
	}
	return nil
}

// Run trains from the feeds of the peers as the mode says, and publishes at the
// place of models. Progress may be nil.
func Run(ctx context.Context, app *chassis.App, place models.Place, clients *peers.Peers, m Mode, progress recommender.Progress) (trainer.Result, error) {
	store, parts, err := place.Open(nil)
	if err != nil {
		return trainer.Result{}, err
	}
	config := trainer.Config{
		Catalog:        clients.Catalog,
		Readers:        clients.Readers,
		Models:         store,
		Log:            app.Log(),
		Progress:       progress,
		KeepParameters: m.Parameters == "current",
		Position:       m.Position,
		Parts:          parts,
		Run:            m.Run,
	}
	switch {
	case m.Shard != nil:
		return trainer.Shard(ctx, config, m.Shard.Index, m.Shard.Count)
	case m.Refresh:
		return trainer.Refresh(ctx, config)
	default:
		return trainer.Run(ctx, config)
	}
}

// Print tells an operator what a run made and what it took, and returns the
// error that the run failed with. A refresh before the first model has not
// failed: it runs on a schedule, and there is nothing to refresh yet.
func Print(out io.Writer, m Mode, r trainer.Result, failure error) error {
	if m.Refresh && errors.Is(failure, modelstore.ErrNone) {
		_, err := fmt.Fprintln(out, "nothing to refresh: no model has been published yet; train one of everything first")
		return err
	}
	if failure != nil {
		return failure
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	if m.Shard != nil {
		fmt.Fprintf(w, "part\t%d of %d\n", m.Shard.Index, m.Shard.Count)
	}
	switch {
	case m.Shard == nil || r.Version != "":
		fmt.Fprintf(w, "published\t%s (%s)\n", r.Name, r.Version)
	case r.Name != "":
		fmt.Fprintf(w, "published before\t%s\n", r.Name)
		if r.Books == 0 { // the run was over
			return w.Flush()
		}
	case len(r.Missing) > 0:
		fmt.Fprintf(w, "missing\t%s\n", strings.Trim(fmt.Sprint(r.Missing), "[]"))
	}
	fmt.Fprintf(w, "books\t%d\n", r.Books)
	fmt.Fprintf(w, "readers\t%d\n", r.Readers)
	fmt.Fprintf(w, "interactions\t%d\n", r.Interactions)
	fmt.Fprintf(w, "position\t%d\n", r.Position)
	if r.Name != "" && r.LearntPosition != r.Position {
		fmt.Fprintf(w, "parameters of\t%d\n", r.LearntPosition)
	}
	var all float64
	for _, stage := range r.Stages {
		fmt.Fprintf(w, "%s\t%.2f s\n", stage.Name, stage.Seconds)
		all += stage.Seconds
	}
	fmt.Fprintf(w, "in all\t%.2f s\n", all)
	if r.PeakMemory > 0 {
		fmt.Fprintf(w, "peak memory\t%d MB\n", r.PeakMemory>>20)
	}
	return w.Flush()
}
