package trainer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/recommender"
)

// The folder of parts has a folder for each position of the log and dataset,
// named after both, and a file that holds the position which the parts that are
// being made have agreed upon: that of the log's end when the first of them
// began. So parts of different data never come together.
const positionFile = "position"

// Shard does what part index of count has to do for the model that Run would
// make, and leaves it in the folder of parts. All parts must be made of the same
// log up to the same position, the same books, parameters and seed; Merge
// refuses others. A part made again replaces the one before.
func Shard(ctx context.Context, c Config, index, count int) (Result, error) {
	j := begin(c)
	err := j.shard(ctx, index, count)
	return j.end(), err
}

func (j *job) shard(ctx context.Context, index, count int) error {
	parameters, err := j.parameters(ctx)
	if err != nil {
		return err
	}
	until, err := j.agree(ctx)
	if err != nil {
		return fmt.Errorf("agree on the position of the log: %w", err)
	}
	d, position, err := j.read(ctx, until)
	if err != nil {
		return err
	}
	part, err := recommender.TrainPart(ctx, d, j.options(position, parameters), index, count)
	if err != nil {
		if errors.Is(err, recommender.ErrNoData) {
			err = errors.Join(explain(d, err), j.disagree(position)) // there may be more to learn from the next time
			return err
		}
		return explain(d, err)
	}
	j.watch.enter(StageSave)
	info := part.Info()
	folder := filepath.Join(j.Parts, fmt.Sprintf("%d-%.12s", position, info.Digest))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make the folder of parts: %w", err)
	}
	if err := part.Save(filepath.Join(folder, partName(index, count))); err != nil {
		return err
	}
	j.result.Parameters, j.result.Metrics = info.Parameters, info.Metrics
	j.Log.Info("part saved", "part", index, "of", count, "folder", folder, "position", position)
	return nil
}

// agree returns the position up to which all parts read the log.
func (j *job) agree(ctx context.Context) (int64, error) {
	if j.Position > 0 {
		return j.Position, nil
	}
	if position, err := j.agreed(); position > 0 || err != nil {
		return position, err
	}
	end, err := head(ctx, j.Config)
	if end == 0 || err != nil {
		return 0, err
	}
	if err := os.MkdirAll(j.Parts, 0o755); err != nil {
		return 0, err
	}
	proposal, err := os.CreateTemp(j.Parts, "."+positionFile+".*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(proposal.Name())
	if _, err := fmt.Fprintln(proposal, end); err != nil {
		return 0, errors.Join(err, proposal.Close())
	}
	if err := errors.Join(proposal.Sync(), proposal.Close()); err != nil {
		return 0, err
	}
	// A link is made whole or not at all, and for one of several alone.
	if err := os.Link(proposal.Name(), filepath.Join(j.Parts, positionFile)); err != nil && !errors.Is(err, fs.ErrExist) {
		return 0, err
	}
	return j.agreed()
}

// agreed is the position that parts have agreed upon, 0 when they have not.
func (j *job) agreed() (int64, error) {
	path := filepath.Join(j.Parts, positionFile)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	position, err := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
	if err != nil || position <= 0 {
		return 0, fault.New(fault.Conflict, "%s holds %.40q, which is no position: remove it", path, content)
	}
	return position, nil
}

// disagree ends the agreement on a position.
func (j *job) disagree(position int64) error {
	if agreed, err := j.agreed(); err != nil || agreed != position {
		return err
	}
	err := os.Remove(filepath.Join(j.Parts, positionFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Merge makes a model of the parts in the folder of parts, checks and publishes
// it as Run does, and removes the parts. Parts that are not all there, are
// damaged or do not belong together are a Conflict, and are left.
func Merge(ctx context.Context, c Config) (Result, error) {
	j := begin(c)
	err := j.merge(ctx)
	return j.end(), err
}

func (j *job) merge(ctx context.Context) error {
	position := j.Position
	if position == 0 {
		var err error
		if position, err = j.agreed(); err != nil {
			return err
		}
	}
	set, err := j.find(position)
	if err != nil {
		return err
	}
	model, err := j.join(set)
	if err != nil {
		return fault.Wrap(fault.Conflict, err, "the parts in %s make no model; make those that are wrong again", set.folder)
	}
	err = j.publish(ctx, model)
	if err != nil && j.result.Name == "" && fault.KindOf(err) != fault.Conflict {
		return err // a store that failed may not fail the next time
	}
	return errors.Join(err, j.clear(position))
}

// join merges the parts of a set.
func (j *job) join(s partSet) (model *recommender.Model, err error) {
	j.watch.enter(StageParts)
	parts := make([]*recommender.Part, 0, s.count)
	defer func() {
		for _, p := range parts {
			err = errors.Join(err, p.Close())
		}
	}()
	for i := range s.count {
		p, err := recommender.OpenPart(filepath.Join(s.folder, partName(i, s.count)))
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	j.watch.enter(StageMerge)
	return recommender.Merge(parts)
}

// partSet is the parts of one model.
type partSet struct {
	folder string
	count  int
	there  []int     // which, increasing
	last   time.Time // when the last of them was written
}

func partName(index, count int) string { return fmt.Sprintf("part-%d-of-%d.safetensors", index, count) }

// find returns the set of parts of a position that is complete. Of several, of
// which all but one are left from an attempt that went wrong, it is the last
// written.
func (j *job) find(position int64) (partSet, error) {
	folders, err := filepath.Glob(filepath.Join(j.Parts, fmt.Sprintf("%d-*", position)))
	if err != nil {
		return partSet{}, err
	}
	var sets []partSet
	for _, folder := range folders {
		more, err := setsIn(folder)
		if err != nil {
			return partSet{}, fmt.Errorf("look for parts: %w", err)
		}
		sets = append(sets, more...)
	}
	slices.SortFunc(sets, func(a, b partSet) int { return b.last.Compare(a.last) })
	var found []string
	for _, s := range sets {
		if len(s.there) == s.count {
			return s, nil
		}
		found = append(found, fmt.Sprintf("%s has %v of 0 to %d", s.folder, s.there, s.count-1))
	}
	if len(found) == 0 {
		return partSet{}, fault.New(fault.Conflict, "there are no parts to merge in %s", j.Parts)
	}
	return partSet{}, fault.New(fault.Conflict, "the parts are not all there: %s; make those that are missing, all of the same books", strings.Join(found, ", and "))
}

func setsIn(folder string) ([]partSet, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var sets []partSet
	for _, entry := range entries {
		var index, count int
		if _, err := fmt.Sscanf(entry.Name(), "part-%d-of-%d.safetensors", &index, &count); err != nil || partName(index, count) != entry.Name() || index < 0 || index >= count {
			continue
		}
		at := slices.IndexFunc(sets, func(s partSet) bool { return s.count == count })
		if at < 0 {
			at, sets = len(sets), append(sets, partSet{folder: folder, count: count})
		}
		s := &sets[at]
		s.there = append(s.there, index)
		if info, err := entry.Info(); err == nil && info.ModTime().After(s.last) {
			s.last = info.ModTime()
		}
	}
	for _, s := range sets {
		slices.Sort(s.there)
	}
	return sets, nil
}

// clear removes the parts of a position and of those before it, and ends the
// agreement on it.
func (j *job) clear(position int64) error {
	entries, err := os.ReadDir(j.Parts)
	if err != nil {
		return fmt.Errorf("remove the parts: %w", err)
	}
	err = j.disagree(position)
	for _, entry := range entries {
		at, _, _ := strings.Cut(entry.Name(), "-")
		if p, wrong := strconv.ParseInt(at, 10, 64); wrong == nil && entry.IsDir() && p <= position {
			err = errors.Join(err, os.RemoveAll(filepath.Join(j.Parts, entry.Name())))
		}
	}
	if err != nil {
		return fmt.Errorf("remove the parts: %w", err)
	}
	return nil
}
