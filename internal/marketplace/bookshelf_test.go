package marketplace

import "testing"

func TestLinksAreBoundedAndFollowTheirBooks(t *testing.T) {
	b := newBookshelf()
	for id := range int32(maxKnown + 10) {
		b.link(id, "Emma")
	}
	if len(b.links) != maxKnown {
		t.Errorf("%d links are kept, want %d", len(b.links), maxKnown)
	}
	for _, test := range []struct{ title, want string }{
		{"Emma", `<a href="/book/7/emma"><cite>Emma</cite></a>`},
		{"Pride & Prejudice", `<a href="/book/7/pride-prejudice"><cite>Pride &amp; Prejudice</cite></a>`},
		{"", `<a href="/book/7"><cite></cite></a>`},
	} {
		for range 2 { // made, and kept
			if got := b.link(7, test.title); got != test.want {
				t.Errorf("link to %q: %s, want %s", test.title, got, test.want)
			}
		}
	}
}
