package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/octavo-books/octavo/cmd/internal/program"
	"github.com/octavo-books/octavo/internal/eventfile"
	"github.com/octavo-books/octavo/internal/recommender"
	"github.com/octavo-books/octavo/internal/report"
)

type evaluateCommand struct {
	Split    string   `enum:"files,temporal" default:"files" help:"files: --train and --test are given. temporal: --events is split by time, to learn from the past and be measured on the future."`
	Train    string   `type:"existingfile" placeholder:"FILE" help:"What readers read before: lines of reader, tab, book, and, where known, rating and unix time."`
	Test     string   `type:"existingfile" placeholder:"FILE" help:"What they read after; used only to measure."`
	Valid    string   `type:"existingfile" placeholder:"FILE" help:"A part to choose the parameters on; held out of the training file when left out."`
	Events   string   `type:"existingfile" placeholder:"FILE" help:"For --split temporal: what readers read, with the time on each line."`
	Past     *float64 `help:"For --split temporal: the share of the events that is the past, 0.8 unless given." placeholder:"SHARE"`
	K        int      `default:"20" help:"Length of the rankings that are measured."`
	Format   string   `enum:"table,json" default:"table" help:"table or json."`
	Report   string   `type:"path" placeholder:"FILE" help:"Write one HTML page with tables and plots to this file."`
	Rankings string   `type:"path" placeholder:"FILE" help:"Write each reader and the K books chosen, in order, to this file."`
	Workers  int      `default:"0" help:"Cores to use; 0 for all. The figures do not depend on it."`
}

// defaultPast is the share of the past unless --past is given.
const defaultPast = 0.8

func (evaluateCommand) Help() string {
	return `All books are ranked for each reader, without those of the reader's training file. Recall is the share of the reader's test books among the first K; NDCG also looks at their places, against the best order there could be. Both are means over the readers with at least one test book. Every parameter is chosen on a part of the training data; the test file is read once.

Coverage is the share of the books shown to anybody, novelty the mean -log2 of the share of readers a shown book has, diversity 1 less the mean cosine of the readers of two books shown together, and the long tail the share of shown books that are not among the most-read ones with 80 % of the interactions. Intervals are at 95 %, by bootstrap over readers. With --split temporal, readers and books without a past are told apart.`
}

// Validate explains flags that make no sense, or do not go together. It is
// called by kong.
func (c *evaluateCommand) Validate() error {
	if c.K < 1 {
		return fmt.Errorf("--k is %d; it must be at least 1", c.K)
	}
	if c.Split != "temporal" {
		switch {
		case c.Events != "":
			return errors.New("--events is split by time: add --split temporal, or give --train and --test instead")
		case c.Past != nil:
			return errors.New("--past is the share of the past in a split by time: add --split temporal and --events, or leave it out")
		case c.Train == "" && c.Test == "":
			return errors.New("there is nothing to measure on: give --train and --test, or --split temporal and --events")
		case c.Train == "":
			return errors.New("--train is missing: it names the file to learn from, as --test names the one to measure on")
		case c.Test == "":
			return errors.New("--test is missing: it names the file to measure on, as --train names the one to learn from")
		}
		return nil
	}
	for _, flag := range []struct{ name, value string }{{"--train", c.Train}, {"--test", c.Test}, {"--valid", c.Valid}} {
		if flag.value != "" {
			return fmt.Errorf("%s does not go with --split temporal, which makes the training, validation and test part out of --events", flag.name)
		}
	}
	if c.Events == "" {
		return errors.New("--events is missing: it names the file that --split temporal splits by the times in it")
	}
	if c.Past != nil && !(*c.Past > 0 && *c.Past < 1) {
		return fmt.Errorf("--past is %v; it is a share of the events, above 0 and below 1", *c.Past)
	}
	return nil
}

func (c *evaluateCommand) Run(ctx context.Context) error {
	config, about, err := c.read()
	if err != nil {
		return err
	}
	config.K, config.Workers = c.K, c.Workers
	config.PeakMemory, about.Memory = peakMemory()
	var page *reportFile
	if c.Report != "" {
		if page, err = createReport(c.Report); err != nil {
			return err
		}
		defer page.discard()
	}
	var rankings *rankingsFile
	if c.Rankings != "" {
		if rankings, err = createRankings(c.Rankings); err != nil {
			return err
		}
		config.Rankings = rankings.write
	}
	bars := newProgress(os.Stderr)
	config.Progress = bars.report
	result, err := recommender.Evaluate(ctx, config)
	bars.Close()
	if err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	if rankings != nil {
		if err := rankings.Close(); err != nil {
			return err
		}
	}
	if page != nil {
		about.Made = time.Now()
		if err := page.write(result, about); err != nil {
			return err
		}
	}
	if c.Format == "json" {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(result)
	}
	return report.WriteText(os.Stdout, result, about)
}

// read reads the files, and says of the measurement what is known before it.
func (c *evaluateCommand) read() (recommender.EvaluateConfig, report.About, error) {
	about := report.About{Program: fmt.Sprintf("octavo %s, %s, %s/%s, %d cores",
		program.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))}
	var config recommender.EvaluateConfig
	if c.Split == "temporal" {
		events, err := eventfile.ReadTimed(c.Events)
		if err != nil {
			return config, about, err
		}
		about.Past = defaultPast
		if c.Past != nil {
			about.Past = *c.Past
		}
		parts, err := recommender.SplitByTime(events, about.Past)
		if err != nil {
			return config, about, fmt.Errorf("split %s by time: %w", c.Events, err)
		}
		config.Train, config.Valid, config.Test, config.ByTime = parts.Train, parts.Valid, parts.Test, true
		about.Files = []report.File{{Part: "events", Name: filepath.Base(c.Events)}}
		return config, about, nil
	}
	for _, part := range []struct {
		name, path string
		events     *[]recommender.Event
	}{{"training", c.Train, &config.Train}, {"validation", c.Valid, &config.Valid}, {"test", c.Test, &config.Test}} {
		if part.path == "" {
			continue
		}
		var err error
		if *part.events, err = eventfile.Read(part.path); err != nil {
			return config, about, err
		}
		about.Files = append(about.Files, report.File{Part: part.name, Name: filepath.Base(part.path)})
	}
	return config, about, nil
}

// reportFile is written whole or not at all.
type reportFile struct {
	file *os.File
	path string
}

// createReport fails before the work is done rather than after it.
func createReport(path string) (*reportFile, error) {
	file, err := os.CreateTemp(filepath.Dir(path), ".octavo-report-*")
	if err != nil {
		return nil, fmt.Errorf("create the report: %w", err)
	}
	return &reportFile{file, path}, nil
}

func (r *reportFile) write(e *recommender.Evaluation, about report.About) error {
	err := report.WritePage(r.file, e, about)
	if err == nil {
		err = r.file.Chmod(0o644)
	}
	if err = errors.Join(err, r.file.Close()); err == nil {
		err = os.Rename(r.file.Name(), r.path)
	}
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// discard removes what write has not put in place.
func (r *reportFile) discard() {
	r.file.Close()
	os.Remove(r.file.Name())
}

// rankingsFile holds lines of reader, tab, and the chosen books in order,
// separated by spaces.
type rankingsFile struct {
	file   *os.File
	buffer *bufio.Writer
}

func createRankings(path string) (*rankingsFile, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("create the rankings: %w", err)
	}
	return &rankingsFile{file: file, buffer: bufio.NewWriterSize(file, 1<<20)}, nil
}

// write keeps its first error in the buffer, which Close reports.
func (r *rankingsFile) write(reader int32, books []int32) {
	line := strconv.AppendInt(nil, int64(reader), 10)
	separator := byte('\t')
	for _, book := range books {
		line = append(line, separator)
		line = strconv.AppendInt(line, int64(book), 10)
		separator = ' '
	}
	r.buffer.Write(append(line, '\n'))
}

func (r *rankingsFile) Close() error {
	if err := r.buffer.Flush(); err != nil {
		r.file.Close()
		return fmt.Errorf("write the rankings: %w", err)
	}
	if err := r.file.Close(); err != nil {
		return fmt.Errorf("write the rankings: %w", err)
	}
	return nil
}
