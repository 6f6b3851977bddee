package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/octavo-books/octavo/cmd/internal/program"
	"github.com/octavo-books/octavo/internal/importer"
	"github.com/octavo-books/octavo/internal/recommender"
)

type evaluateCommand struct {
	Train    string `required:"" type:"existingfile" help:"What readers read before: lines of reader, tab, book, and, where known, rating and unix time."`
	Test     string `required:"" type:"existingfile" help:"What they read after; used only to measure."`
	Valid    string `type:"existingfile" help:"A part to choose the parameters on; held out of the training file when left out."`
	K        int    `default:"20" help:"Length of the rankings that are measured."`
	Format   string `enum:"table,json" default:"table" help:"table or json."`
	Rankings string `type:"path" help:"Write each reader and the K books chosen, in order, to this file."`
	Workers  int    `default:"0" help:"Cores to use; 0 for all. The figures do not depend on it."`
}

func (evaluateCommand) Help() string {
	return `All books are ranked for each reader, without those of the reader's training file. Recall is the share of the reader's test books among the first K; NDCG also looks at their places, against the best order there could be. Both are means over the readers with at least one test book. Every parameter is chosen on a part of the training data; the test file is read once.`
}

func (c *evaluateCommand) Run(ctx context.Context) error {
	if c.K < 1 {
		return fmt.Errorf("--k is %d; it must be at least 1", c.K)
	}
	config := recommender.EvaluateConfig{K: c.K, Workers: c.Workers}
	var err error
	if config.Train, err = importer.ReadEvents(c.Train); err != nil {
		return err
	}
	if config.Test, err = importer.ReadEvents(c.Test); err != nil {
		return err
	}
	if c.Valid != "" {
		if config.Valid, err = importer.ReadEvents(c.Valid); err != nil {
			return err
		}
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
	restore := program.SaveMemory()
	result, err := recommender.Evaluate(ctx, config)
	restore()
	bars.Close()
	if err != nil {
		return fmt.Errorf("evaluate: %w", err)
	}
	if rankings != nil {
		if err := rankings.Close(); err != nil {
			return err
		}
	}
	if c.Format == "json" {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(result)
	}
	return printEvaluation(os.Stdout, result)
}

func printEvaluation(out io.Writer, e *recommender.Evaluation) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\trecall@%d\tndcg@%d\treaders\tseconds\t\n", e.K, e.K)
	for _, row := range []struct {
		name    string
		figures recommender.Figures
	}{{"octavo", e.Figures}, {"item_knn", e.ItemKNN}, {"popularity", e.Popularity}} {
		fmt.Fprintf(w, "%s\t%.4f\t%.4f\t%d\t%.1f\t\n", row.name, row.figures.Recall, row.figures.NDCG, row.figures.Readers, row.figures.Seconds)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprint(out, "\nparameters chosen:")
	for _, name := range slices.Sorted(maps.Keys(e.Parameters)) {
		fmt.Fprintf(out, " %s=%.4g", name, e.Parameters[name])
	}
	_, err := fmt.Fprintln(out)
	return err
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
