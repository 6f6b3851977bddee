package marketplace

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
)

// upload sends a file as the form of the page does.
func (b *browser) upload(content string, fields ...string) (int, string, http.Header) {
	b.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	file, err := form.CreateFormFile("file", "shelves.csv")
	if err == nil {
		_, err = file.Write([]byte(content))
	}
	for i := 0; err == nil && i < len(fields); i += 2 {
		err = form.WriteField(fields[i], fields[i+1])
	}
	if err == nil {
		err = form.Close()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.server.URL+"/me/import", &body)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", form.FormDataContentType())
	return b.do(r)
}

const shelvesFile = "Title,Authors,ISBN/UID,Read Status,Star Rating,Last Date Read\n" +
	"Dune,Frank Herbert,,read,4.25,2021/02/03\n" +
	"The Left Hand of Darkness: A Novel,Ursula Le Guin,,to-read,,\n" +
	"<script>alert(2)</script>,=1+1,,read,5,\n" +
	"Cosmos,Somebody Else,,read,,\n"

func TestImportPutsBooksOnShelvesOnce(t *testing.T) {
	services := library()
	before := len(services.readers.interactions())
	b := open(t, services.config(t))
	status, page, _ := b.upload(shelvesFile)
	if status != http.StatusOK || strings.Contains(page, "<script") {
		t.Fatalf("status %d\n%s", status, page)
	}
	wants(t, page, "Your books from StoryGraph", "2 of 4 rows taken; 3 changes new", "Line 4", "Line 5", "is here, but not by Somebody Else")
	wants(t, b.get("/me"), "Dune", "You rated it 4.5 of 5", "The Left Hand of Darkness")
	status, page, header := b.upload(shelvesFile, "answer", "file")
	if status != http.StatusOK || !strings.HasPrefix(header.Get("Content-Disposition"), "attachment") || strings.Count(page, "\n") != 3 {
		t.Errorf("status %d, %v\n%s", status, header, page)
	}
	if n := len(services.readers.interactions()) - before; n != 3 {
		t.Errorf("%d interactions after importing twice, want 3", n)
	}
	_, export, _ := b.fetch("/me/export.csv")
	_, page, _ = b.upload(export)
	wants(t, page, "Your books from Octavo", "2 of 2 rows taken")
}

func TestImportRefusesWhatItCannotTake(t *testing.T) {
	services := library()
	b := open(t, services.config(t))
	if status, page, _ := b.upload("a,b\n1,2\n"); status != http.StatusBadRequest || !strings.Contains(text(page), "The columns of the file") {
		t.Errorf("%d\n%s", status, text(page))
	}
	if status, page, _ := b.upload(strings.Repeat("a", maxUpload+1)); status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d\n%s", status, text(page))
	}
	if status, _, _ := b.post("/me/import", nil); status != http.StatusBadRequest {
		t.Errorf("a form without a file: %d", status)
	}
	services.readers.set(true, false)
	if status, page, _ := b.upload(shelvesFile); status != http.StatusServiceUnavailable {
		t.Errorf("%d\n%s", status, text(page))
	}
	services.readers.set(false, false)
	b.send("/reader", "reader", "17")
	if status, _, _ := b.upload(shelvesFile); status != http.StatusForbidden {
		t.Errorf("into the shelves of a demo reader: %d", status)
	}
}
