package main

import (
	"io"
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/octavo-books/octavo/internal/recommender"
)

// progress draws a bar for each stage of long work, on a terminal only.
type progress struct {
	container *mpb.Progress // nil when nobody watches
	stage     string
	bar       *mpb.Bar
}

func newProgress(out *os.File) *progress {
	if !term.IsTerminal(int(out.Fd())) {
		return &progress{}
	}
	return &progress{container: mpb.New(mpb.WithOutput(io.Writer(out)), mpb.WithWidth(60))}
}

var _ recommender.Progress = (*progress)(nil).report

// report is called by the work. Stages follow one another; total may grow, and
// is 0 while it is not known.
func (p *progress) report(stage string, done, total int) {
	if p.container == nil {
		return
	}
	if stage != p.stage {
		p.finish()
		p.stage = stage
		p.bar = p.container.AddBar(int64(total),
			mpb.PrependDecorators(decor.Name(stage, decor.WC{W: 28, C: decor.DindentRight})),
			mpb.AppendDecorators(decor.CurrentNoUnit("%d"), decor.Name(" "), decor.Elapsed(decor.ET_STYLE_GO)))
	}
	p.bar.SetTotal(int64(total), false)
	p.bar.SetCurrent(int64(done))
}

// finish completes the bar of the present stage.
func (p *progress) finish() {
	if p.bar != nil {
		p.bar.SetTotal(-1, true)
	}
}

// Close leaves the bars as they are and waits until they are drawn.
func (p *progress) Close() {
	if p.container == nil {
		return
	}
	p.finish()
	p.container.Wait()
}
