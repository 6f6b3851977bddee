package marketplace

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

// The very next page is nobody's, says so, and has the way back; what is done
// meanwhile is kept.
func TestPersonalisationIsPausedAndResumed(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	b.send("/book/1/rate", "rating", "4.5")
	wants(t, b.get("/"), "Chosen for Reader")
	for _, path := range []string{"/how", "/me/data"} {
		wants(t, b.get(path), "On. What you do here", "Pause personalisation")
		if to := b.send("/me/personalisation", "personalisation", "pause", "next", path+"#personalisation"); to != path+"#personalisation" {
			t.Errorf("paused on %s, and sent to %s", path, to)
		}
		home := b.get("/")
		wants(t, home, "You have paused personalisation", "Chosen by many readers", "Best sellers", "Resume personalisation")
		if strings.Contains(text(home), "Because") || strings.Contains(text(home), "for you") {
			t.Errorf("paused, and there is something personal\n%s", text(home))
		}
		wants(t, b.get("/science-fiction"), "Most chosen")
		wants(t, b.get(path), "Paused. Nothing you did", "Resume personalisation")
		if to := b.send("/me/personalisation", "personalisation", "resume", "next", "/"); to != "/" {
			t.Errorf("resumed, and sent to %s", to)
		}
		wants(t, b.get("/"), "Chosen for Reader")
	}
	b.send("/me/personalisation", "personalisation", "pause")
	b.send("/book/2/shelf", "shelf", "want")
	wants(t, b.get("/me"), "Want to read", "Rated")
	var export struct {
		Reader struct {
			Paused bool `json:"personalisation_paused"`
		}
		Interactions []struct {
			Kind string
			Book *struct{ ID int32 }
		}
	}
	if err := json.Unmarshal([]byte(b.get("/me/export.json")), &export); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, i := range export.Interactions {
		if (i.Book == nil) != (i.Kind == "paused" || i.Kind == "resumed") {
			t.Errorf("the export has %+v", i)
		}
		kinds = append(kinds, i.Kind)
	}
	if got := strings.Join(kinds, " "); !export.Reader.Paused || !strings.HasSuffix(got, "resumed paused want") {
		t.Errorf("the export says paused: %t, and has %s", export.Reader.Paused, got)
	}
}

// Somebody of whom nothing is kept can pause as well, and nothing of the visit so
// far is kept for it.
func TestAVisitorWithoutAReaderPauses(t *testing.T) {
	services := library()
	before := len(services.readers.interactions())
	b := open(t, services.config(t))
	b.get("/book/1")
	wants(t, b.get("/"), "From what you looked at")
	if b.send("/me/personalisation", "personalisation", "resume"); len(services.readers.interactions()) != before {
		t.Error("nobody resumes, and it is recorded")
	}
	b.send("/me/personalisation", "personalisation", "pause", "next", "/")
	log := services.readers.interactions()[before:]
	if len(log) != 1 || log[0].GetKind() != readersv1.InteractionKind_INTERACTION_KIND_PAUSED {
		t.Errorf("the log has %v, want the pause alone", log)
	}
	home := b.get("/")
	wants(t, home, "You have paused personalisation")
	if strings.Contains(text(home), "From what you looked at") {
		t.Error("the books of the visit are used")
	}
}

func TestPersonalisationIsRefused(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	pause := url.Values{"personalisation": {"pause"}, "next": {"https://elsewhere.example/"}}
	if status, _, _ := b.post("/me/personalisation", pause, "Sec-Fetch-Site", "cross-site"); status != http.StatusForbidden {
		t.Errorf("from another site: %d", status)
	}
	if status, body, _ := b.post("/me/personalisation", url.Values{"personalisation": {"off"}}); status != http.StatusBadRequest {
		t.Errorf("no such choice: %d\n%s", status, text(body))
	}
	b.send("/reader", "reader", "17")
	before := len(services.readers.interactions())
	for _, path := range []string{"/how", "/me/data"} {
		page := b.get(path)
		wants(t, page, "only readers of their own can pause it")
		if strings.Contains(page, `action="/me/personalisation"`) {
			t.Errorf("%s has the switch of a demo reader", path)
		}
	}
	if status, _, _ := b.post("/me/personalisation", pause); status != http.StatusForbidden || len(services.readers.interactions()) != before {
		t.Errorf("a demo reader is paused: %d", status)
	}
	b.forget()
	b.send("/book/1/rate", "rating", "4")
	if status, _, header := b.post("/me/personalisation", pause); status != http.StatusSeeOther || header.Get("Location") != "/me/data" {
		t.Errorf("sent to another site: %d %s", status, header.Get("Location"))
	}
	services.readers.set(true, false)
	if status, body, _ := b.post("/me/personalisation", pause); status != http.StatusServiceUnavailable {
		t.Errorf("while the readers service is down: %d\n%s", status, text(body))
	}
	wants(t, b.get("/how"), "Whether it is paused is not known just now")
}
