package marketplace

import (
	"context"
	"time"

	"github.com/octavo-books/octavo/fault"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/marketplace/view"
)

// personalisation is the switch as it stands, which goes back to the page at a
// path.
func (s *shop) personalisation(ctx context.Context, v *visit, back string) view.Personalisation {
	p := view.Personalisation{Back: back, Own: v.session.Reader == 0 || own(v.session)}
	if v.session.Reader == 0 || !p.Own {
		return p
	}
	found, err := s.Readers.GetReader(ctx, &readersv1.GetReaderRequest{Id: v.session.Reader})
	if err != nil && fault.KindOf(err) != fault.NotFound {
		v.missing("readers", err)
		p.Failed = true
	}
	p.Paused = found.GetReader().GetPersonalisationPaused()
	return p
}

// personalise takes the form of the switch. A visitor without a reader becomes
// one who has never been used for anything: the books of the visit are dropped.
func (s *shop) personalise(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	form := v.r.PostForm
	choice := form.Get("personalisation")
	if choice != "pause" && choice != "resume" {
		return fault.NewInvalid("personalisation", "There is no such choice. Go back and use one of the buttons.")
	}
	ctx, cancel := v.write()
	defer cancel()
	back := local(form.Get("next"), "/me/data")
	if v.session.Reader == 0 {
		if choice == "resume" {
			return v.redirect(back)
		}
		v.session.Recent = nil
		if _, err := s.become(ctx, v); err != nil {
			return err
		}
	}
	if !own(v.session) {
		return notOwn("change")
	}
	changed, err := s.Readers.SetPersonalisation(ctx, &readersv1.SetPersonalisationRequest{ReaderId: v.session.Reader, Paused: choice == "pause"})
	if err != nil {
		return v.notSaved(err)
	}
	v.session.Changed(changed.GetPosition(), time.Now())
	return v.redirect(back)
}
