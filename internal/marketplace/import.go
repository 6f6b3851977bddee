package marketplace

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/importer"
	"github.com/octavo-books/octavo/internal/marketplace/view"
)

const (
	// An upload may have a form around the file.
	maxUpload = importer.MaxShelfBytes + 64<<10
	// importPatience is how long matching and recording may take.
	importPatience = 5 * time.Minute
	// importsAtOnce bounds the memory that files take.
	importsAtOnce = 2
	// mostShown is how many refused rows the page lists; the file has all.
	mostShown = 200
)

// importShelves takes a file of another site's, and answers with what came of
// it: as a page, or as the file of the rows that gave nothing. The file can be
// sent again for the other answer, because an import done twice is one.
func (s *shop) importShelves(v *visit) error {
	if v.session.Reader != 0 && !own(v.session) {
		return notOwn("add to")
	}
	select {
	case s.importing <- struct{}{}:
		defer func() { <-s.importing }()
	default:
		return fault.New(fault.Exhausted, "Others are importing their shelves just now. Please try again in a minute.")
	}
	// For large files and slow lines. Where there is no deadline there is none to
	// extend.
	control := http.NewResponseController(v.w)
	_ = control.SetReadDeadline(time.Now().Add(importPatience))
	_ = control.SetWriteDeadline(time.Now().Add(2 * importPatience))
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxUpload)
	file, asFile, err := uploaded(v.r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), importPatience)
	defer cancel()
	if v.session.Reader == 0 {
		if _, err := s.become(ctx, v); err != nil {
			return err
		}
	}
	target := importer.Target{Catalog: s.Catalog, Readers: s.Readers}
	done, err := importer.ImportShelves(ctx, target, v.session.Reader, "", file)
	stopped := err != nil && done != nil && done.Taken > 0
	if stopped {
		s.Log.WarnContext(ctx, "an import stopped in the middle", "error", err)
	} else if err != nil {
		return fault.Wrap(fault.KindOf(err), err, "The import did not come to its end: a part of the shop does not answer. Send the same file again in a moment; what was taken already is not taken twice.")
	}
	v.session.Changed(done.Position, time.Now())
	if asFile {
		return v.refusedRows(done)
	}
	page := view.Imported{
		Format: done.Format, Rows: done.Rows, Taken: done.Taken, ByISBN: done.ByISBN, New: done.Recorded, Stopped: stopped,
		More: max(0, len(done.Refused)-mostShown), Refused: firstRows(done.Refused), Odd: firstRows(done.Warnings), MoreOdd: max(0, len(done.Warnings)-mostShown),
	}
	page.Frame = v.frame("Imported", "")
	status := http.StatusOK
	if stopped {
		status = http.StatusServiceUnavailable
	}
	return v.show(status, view.ImportedPage(page))
}

// firstRows are as many findings as the page lists.
func firstRows(findings []importer.Finding) []view.Figure {
	var figures []view.Figure
	for _, f := range findings[:min(len(findings), mostShown)] {
		figures = append(figures, view.Figure{Name: "Line " + strconv.Itoa(f.Line), Value: f.Reason})
	}
	return figures
}

// uploaded reads the form: the file, and whether the answer shall be one.
func uploaded(r *http.Request) (file *importer.ShelfFile, asFile bool, err error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, false, fault.Wrap(fault.Invalid, err, "The form could not be read. Open the page again and try once more.")
	}
	for {
		part, err := parts.NextPart()
		switch {
		case errors.Is(err, io.EOF):
			if file == nil {
				return nil, false, fault.NewInvalid("file", "No file was sent. Go back and choose one.")
			}
			return file, asFile, nil
		case err != nil && fault.KindOf(err) == fault.TooLarge:
			return nil, false, err
		case err != nil:
			return nil, false, fault.Wrap(fault.Invalid, err, "The upload broke off, and nothing was imported. Please try again.")
		}
		switch part.FormName() {
		case "file":
			if file, err = importer.ReadShelves("", part); err != nil {
				if fault.KindOf(err) == fault.Internal {
					err = fault.Wrap(fault.Invalid, err, "The upload broke off, and nothing was imported. Please try again.")
				}
				return nil, false, err
			}
		case "answer":
			value, err := io.ReadAll(io.LimitReader(part, 10))
			if err != nil {
				return nil, false, fault.Wrap(fault.Invalid, err, "The upload broke off, and nothing was imported. Please try again.")
			}
			asFile = string(value) == "file"
		}
	}
}

// refusedRows sends the rows that gave nothing as a file.
func (v *visit) refusedRows(done *importer.ShelfImport) error {
	v.saveSession()
	h := v.w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="octavo-not-imported.csv"`)
	h.Set("Cache-Control", "private, no-store")
	out := csv.NewWriter(v.w)
	_ = out.Write([]string{"Line", "Outcome", "Reason"}) // Error tells
	for _, f := range done.Refused {
		_ = out.Write([]string{strconv.Itoa(f.Line), "not imported", importer.Harmless(f.Reason)})
	}
	for _, f := range done.Warnings {
		_ = out.Write([]string{strconv.Itoa(f.Line), "imported without that", importer.Harmless(f.Reason)})
	}
	out.Flush()
	if err := out.Error(); err != nil {
		v.shop.Log.DebugContext(v.r.Context(), "the visitor went away", "error", fmt.Errorf("send the refused rows: %w", err))
	}
	return nil
}
