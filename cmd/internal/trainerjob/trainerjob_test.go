package trainerjob

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/octavo-books/octavo/internal/modelstore"
	"github.com/octavo-books/octavo/internal/trainer"
)

func TestTheKindOfTrainingIsOnTheCommandLine(t *testing.T) {
	for _, test := range []struct {
		args string
		want Mode
		err  string
	}{
		{"", Mode{Parameters: "chosen"}, ""},
		{"--shard 0/1", Mode{Shard: &Shard{0, 1}, Parameters: "chosen"}, ""},
		{"--shard=3/8 --parameters current --position 77", Mode{Shard: &Shard{3, 8}, Parameters: "current", Position: 77}, ""},
		{"--shard 0/2 --run octavo-train-29401", Mode{Shard: &Shard{0, 2}, Run: "octavo-train-29401", Parameters: "chosen"}, ""},
		{"--refresh", Mode{Refresh: true, Parameters: "chosen"}, ""},
		{"--shard 8/8", Mode{}, "0/4"},
		{"--shard -1/8", Mode{}, "0/4"},
		{"--shard 1", Mode{}, "0/4"},
		{"--shard 1/0", Mode{}, "0/4"},
		{"--shard 1/2/3", Mode{}, "0/4"},
		{"--shard first", Mode{}, "0/4"},
		{"--shard 0/2 --refresh", Mode{}, "--refresh"},
		{"--run nightly", Mode{}, "--shard too"},
		{"--shard 0/2 --run ../other", Mode{}, "letters, digits"},
		{"--parameters best", Mode{}, "--parameters"},
		{"--refresh --parameters current", Mode{}, "keeps those"},
		{"--refresh --position 3", Mode{}, "--position"},
		{"--position -3", Mode{}, "--position"},
	} {
		var got struct{ Mode }
		parser, err := kong.New(&got, kong.WithHyphenPrefixedParameters(true), kong.Writers(io.Discard, io.Discard))
		if err != nil {
			t.Fatal(err)
		}
		_, err = parser.Parse(strings.Fields(test.args))
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: %v, want %q", test.args, err, test.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.args, err)
			continue
		}
		shard, want := got.Shard, test.want.Shard
		got.Shard, test.want.Shard = nil, nil
		if got.Mode != test.want || (shard == nil) != (want == nil) || shard != nil && *shard != *want {
			t.Errorf("%s: %+v %v, want %+v %v", test.args, got.Mode, shard, test.want, want)
		}
	}
}

func TestPrintSaysWhatARunTook(t *testing.T) {
	stages := []trainer.Stage{{Name: "read the log", Seconds: 1}, {Name: "training", Seconds: 2.5}}
	for name, test := range map[string]struct {
		mode   Mode
		result trainer.Result
		want   []string
		not    string
	}{
		"a model": {Mode{}, trainer.Result{Name: "model-1", Version: "abc", Position: 7, LearntPosition: 7, Stages: stages, PeakMemory: 20 << 20},
			[]string{"published", "model-1 (abc)", "training", "2.50 s", "in all", "3.50 s", "peak memory", "20 MB"}, "parameters of"},
		"a refreshed model": {Mode{Refresh: true}, trainer.Result{Name: "model-2", Position: 9, LearntPosition: 7},
			[]string{"position       9", "parameters of  7"}, "peak memory"},
		"a part": {Mode{Shard: &Shard{1, 4}}, trainer.Result{Position: 9, Missing: []int{0, 3}},
			[]string{"part", "1 of 4", "missing", "0 3"}, "published"},
		"the last part": {Mode{Shard: &Shard{1, 4}}, trainer.Result{Name: "model-1", Version: "abc", Position: 7, LearntPosition: 7},
			[]string{"1 of 4", "model-1 (abc)"}, "missing"},
		"a part of a run that is over": {Mode{Shard: &Shard{1, 4}}, trainer.Result{Name: "model-1"},
			[]string{"1 of 4", "published before", "model-1"}, "books"},
	} {
		var out bytes.Buffer
		if err := Print(&out, test.mode, test.result, nil); err != nil {
			t.Fatal(err)
		}
		for _, want := range test.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in\n%s", name, want, &out)
			}
		}
		if strings.Contains(out.String(), test.not) {
			t.Errorf("%s: %q in\n%s", name, test.not, &out)
		}
	}
}

// A refresh that a scheduler starts alerts nobody before there is a model, and
// does when there is one that cannot be read.
func TestPrintTakesNoFailureForAResult(t *testing.T) {
	none := fmt.Errorf("%w: %w", trainer.ErrNoModel, modelstore.ErrNone)
	damaged := fmt.Errorf("%w: a checksum does not match", trainer.ErrNoModel)
	for _, test := range []struct {
		name    string
		mode    Mode
		failure error
		fails   bool
	}{
		{"a refresh before the first model", Mode{Refresh: true}, none, false},
		{"a refresh of a model that cannot be read", Mode{Refresh: true}, damaged, true},
		{"a refresh without readers", Mode{Refresh: true}, errors.New("readers cannot be reached"), true},
		{"a training with parameters of no model", Mode{Parameters: "current"}, none, true},
	} {
		var out bytes.Buffer
		err := Print(&out, test.mode, trainer.Result{}, test.failure)
		switch {
		case test.fails && (!errors.Is(err, test.failure) || out.Len() > 0):
			t.Errorf("%s: %v and %q, want only the failure", test.name, err, &out)
		case !test.fails && (err != nil || !strings.Contains(out.String(), "nothing to refresh")):
			t.Errorf("%s: %v and %q, want only that there is nothing to do", test.name, err, &out)
		}
	}
}
