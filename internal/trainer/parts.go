package trainer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/recommender"
)

// What is kept of a run is in a folder with its name: the position of the log
// that its parts have agreed upon, which is that of the log's end when the first
// of them began; a folder of parts for each position, dataset, seed and
// parameters, named after them, so that parts of different data never come
// together; and, of a run with a name, what came of it.
const (
	positionObject = "position"
	outcomeObject  = "outcome"
	unnamedRun     = "unnamed"
	// runsKept is how long what is left of other runs is kept.
	runsKept = 7 * 24 * time.Hour
)

// Parts is where the parts of a model wait for one another. All machines of a
// training share it.
type Parts interface {
	// Create makes an object unless there is one of that name: it reports false
	// then. Of several at a time, one makes it.
	Create(ctx context.Context, name string, content []byte) (bool, error)
	// Put keeps the file that write makes, in place of what was there.
	Put(ctx context.Context, name string, write func(path string) error) error
	// Get lets read have the path of an object's file for as long as it runs. It is
	// NotFound when there is none.
	Get(ctx context.Context, name string, read func(path string) error) error
	// List says when each object was put, by its name.
	List(ctx context.Context) (map[string]time.Time, error)
	Remove(ctx context.Context, name string) error
	// Where names an object for a person.
	Where(name string) string
}

// Shard does what part index of count has to do for the model that Run would
// make, and keeps it among the parts, unless it is there already. Whoever finds
// that all parts are there merges them, checks and publishes the model as Run
// does, and removes the parts: the result has its name then, and otherwise says
// which parts are missing. However many attempts there are at a part, also at
// the same time, and wherever one of them ends, the model is published once.
//
// Parts belong together that are of the same run. Of a run with a name, Shard
// makes one model: after that it does no more than say what came of it.
func Shard(ctx context.Context, c Config, index, count int) (Result, error) {
	j := begin(c)
	err := j.shard(ctx, index, count)
	return j.end(), err
}

func (j *job) shard(ctx context.Context, index, count int) error {
	if over, err := j.over(ctx); over || err != nil {
		return err
	}
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
	s := &sharing{job: j, data: d, options: j.options(position, parameters), count: count}
	s.folder = j.in(fmt.Sprintf("%d-%s", position, s.key()))
	if err := s.ensure(ctx, index); err != nil {
		if errors.Is(err, recommender.ErrNoData) {
			return errors.Join(err, j.disagree(ctx, position)) // there may be more to learn from the next time
		}
		return err
	}
	return s.finish(ctx)
}

// sharing is the parts of one model.
type sharing struct {
	*job
	data    *recommender.Dataset
	options recommender.Options
	folder  string
	count   int
}

// key stands for all that parts of one model have in common.
func (s *sharing) key() string {
	chosen := "chosen"
	if p := s.options.Parameters; p != nil {
		given, err := json.Marshal(p.Map())
		if err != nil {
			panic(err) // numbers by name can be written
		}
		chosen = string(given)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %s", s.data.Digest(), s.options.Seed, chosen))
	return hex.EncodeToString(sum[:6])
}

func (s *sharing) object(index int) string {
	return fmt.Sprintf("%s/part-%d-of-%d.safetensors", s.folder, index, s.count)
}

// ensure makes a part unless it is there, whole.
func (s *sharing) ensure(ctx context.Context, index int) error {
	part, err := s.open(ctx, index)
	switch {
	case err == nil:
		s.tell(part.Info())
		s.Log.Info("the part is there already", "part", index, "of", s.count, "at", s.Parts.Where(s.object(index)))
		return part.Close()
	case fault.KindOf(err) == fault.NotFound:
	case errors.Is(err, errNoPart):
		s.Log.Warn("a part is damaged and is made again", "part", index, "of", s.count, "error", err)
	default:
		return err
	}
	made, err := recommender.TrainPart(ctx, s.data, s.options, index, s.count)
	if err != nil {
		return explain(s.data, err)
	}
	s.watch.enter(StageSave)
	if err := s.Parts.Put(ctx, s.object(index), made.Save); err != nil {
		return fmt.Errorf("keep the part: %w", err)
	}
	s.tell(made.Info())
	s.Log.Info("part saved", "part", index, "of", s.count, "at", s.Parts.Where(s.object(index)))
	return nil
}

func (s *sharing) tell(info recommender.PartInfo) {
	s.result.Parameters, s.result.Metrics = info.Parameters, info.Metrics
}

// errNoPart is in the error of open for a file that is no part.
var errNoPart = errors.New("it is no part that can be used")

func (s *sharing) open(ctx context.Context, index int) (*recommender.Part, error) {
	var part *recommender.Part
	err := s.Parts.Get(ctx, s.object(index), func(path string) (err error) {
		if part, err = recommender.OpenPart(path); err != nil {
			return fmt.Errorf("%w: %w", errNoPart, err)
		}
		return nil
	})
	return part, err
}

// finish makes the model of all parts when they are there.
func (s *sharing) finish(ctx context.Context) error {
	missing, err := s.missing(ctx)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		if over, err := s.over(ctx); over || err != nil {
			return errors.Join(err, s.clear(ctx)) // another attempt was quicker
		}
		s.result.Missing = missing
		s.Log.Info("the last part to be made merges all", "missing", missing, "of", s.count)
		return nil
	}
	model, err := s.join(ctx)
	if fault.KindOf(err) == fault.NotFound {
		s.Log.Info("another machine has merged the parts")
		_, err := s.over(ctx)
		return err
	}
	if err != nil {
		return fmt.Errorf("merge the parts in %s: %w", s.Parts.Where(s.folder), err)
	}
	err = s.publish(ctx, model, s.Models.PublishOnce)
	switch {
	case s.result.Name != "":
		return errors.Join(err, s.settle(ctx, "published "+s.result.Name))
	case fault.KindOf(err) == fault.Conflict:
		return errors.Join(err, s.settle(ctx, "refused "+err.Error()))
	}
	return err // what failed for a moment may not fail the next time: the parts stay
}

// missing are the parts that are not there, increasing.
func (s *sharing) missing(ctx context.Context) ([]int, error) {
	all, err := s.Parts.List(ctx)
	if err != nil {
		return nil, err
	}
	var missing []int
	for i := range s.count {
		if _, there := all[s.object(i)]; !there {
			missing = append(missing, i)
		}
	}
	return missing, nil
}

// join merges the parts. One that is damaged is made again.
func (s *sharing) join(ctx context.Context) (model *recommender.Model, err error) {
	s.watch.enter(StageParts)
	parts := make([]*recommender.Part, 0, s.count)
	defer func() {
		for _, p := range parts {
			err = errors.Join(err, p.Close())
		}
	}()
	for i := range s.count {
		p, err := s.open(ctx, i)
		if errors.Is(err, errNoPart) {
			if err := s.ensure(ctx, i); err != nil {
				return nil, err
			}
			p, err = s.open(ctx, i)
		}
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	s.watch.enter(StageMerge)
	return recommender.Merge(parts)
}

// settle says what came of the run, and removes its parts.
func (s *sharing) settle(ctx context.Context, outcome string) error {
	if s.Run == "" {
		return errors.Join(s.clear(ctx), s.disagree(ctx, s.options.Position))
	}
	if _, err := s.Parts.Create(ctx, s.in(outcomeObject), []byte(outcome+"\n")); err != nil {
		return fmt.Errorf("say what came of the run: %w", err)
	}
	return s.clear(ctx)
}

// clear removes the parts of the run up to the position, and what is left of
// other runs after some time.
func (s *sharing) clear(ctx context.Context) error {
	all, err := s.Parts.List(ctx)
	for name, put := range all {
		rest, own := strings.CutPrefix(name, s.in(""))
		at, _, part := strings.Cut(rest, "-")
		position, wrong := strconv.ParseInt(at, 10, 64)
		old := time.Since(put) > runsKept
		if own && part && wrong == nil && position <= s.options.Position || !own && old {
			err = errors.Join(err, s.Parts.Remove(ctx, name))
		}
	}
	if err != nil {
		return fmt.Errorf("remove the parts: %w", err)
	}
	return nil
}

// in is the name of an object of the run.
func (j *job) in(name string) string {
	if j.Run == "" {
		return unnamedRun + "/" + name
	}
	return "run-" + j.Run + "/" + name
}

// small reads a small object, nil when there is none.
func (j *job) small(ctx context.Context, name string) (content []byte, err error) {
	err = j.Parts.Get(ctx, j.in(name), func(path string) (err error) {
		content, err = os.ReadFile(path)
		return err
	})
	if fault.KindOf(err) == fault.NotFound {
		return nil, nil
	}
	return content, err
}

// over reports whether something came of a run with a name, and what: a model
// that was refused is a Conflict.
func (j *job) over(ctx context.Context) (bool, error) {
	if j.Run == "" {
		return false, nil
	}
	content, err := j.small(ctx, outcomeObject)
	if content == nil || err != nil {
		return false, err
	}
	outcome, about, _ := strings.Cut(strings.TrimSpace(string(content)), " ")
	if outcome != "published" {
		return true, fault.New(fault.Conflict, "the run %s is over: %s", j.Run, about)
	}
	j.result.Name = about
	j.Log.Info("the run is over", "run", j.Run, "model", about)
	return true, nil
}

// agree returns the position up to which all parts read the log.
func (j *job) agree(ctx context.Context) (int64, error) {
	if j.Position > 0 {
		return j.Position, nil
	}
	if position, err := j.agreed(ctx); position > 0 || err != nil {
		return position, err
	}
	end, err := head(ctx, j.Config)
	if end == 0 || err != nil {
		return 0, err
	}
	if _, err := j.Parts.Create(ctx, j.in(positionObject), fmt.Appendln(nil, end)); err != nil {
		return 0, err
	}
	return j.agreed(ctx)
}

// agreed is the position that parts have agreed upon, 0 when they have not.
func (j *job) agreed(ctx context.Context) (int64, error) {
	content, err := j.small(ctx, positionObject)
	if content == nil || err != nil {
		return 0, err
	}
	position, err := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
	if err != nil || position <= 0 {
		return 0, fault.New(fault.Conflict, "%s holds %.40q, which is no position: remove it", j.Parts.Where(j.in(positionObject)), content)
	}
	return position, nil
}

// disagree ends the agreement on a position.
func (j *job) disagree(ctx context.Context, position int64) error {
	if agreed, err := j.agreed(ctx); err != nil || agreed != position {
		return err
	}
	return j.Parts.Remove(ctx, j.in(positionObject))
}

// RunName reports whether a run may be called so.
func RunName(name string) bool {
	return len(name) <= 100 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == ""
}
