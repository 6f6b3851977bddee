package manifests

import (
	"strings"
	"testing"
)

func TestOverlays(t *testing.T) {
	held := files(t)
	for _, name := range entries(t, held, "overlays") {
		t.Run(name, func(t *testing.T) {
			text, err := build(held, deployed+"/overlays/"+name)
			if err != nil {
				t.Fatal(err)
			}
			check(t, text)
		})
	}
}

// What the test on a real cluster applies is production as far as its pods go.
func TestTheOverlayOfTheClusterTest(t *testing.T) {
	text, err := build(files(t), onCluster)
	if err != nil {
		t.Fatal(err)
	}
	m, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range m.findings() {
		// It has a folder in place of the bucket, to which the way stays open.
		if !strings.HasSuffix(finding, "to bucket, port 443 is open, and nobody needs it") {
			t.Error(finding)
		}
	}
}

// check reports all that is wrong with what an overlay gives.
func check(t *testing.T, text []byte) {
	t.Helper()
	m, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range m.findings() {
		t.Error(finding)
	}
}

// Whoever makes an overlay chooses where data is, and what else there is.
func TestComponentsGoTogether(t *testing.T) {
	held := files(t)
	more := []string{"sharded-training", "mutual-tls", "monitoring"}
	for _, database := range []string{"sqlite", "postgres"} {
		for _, models := range []string{"model-claim", "bucket"} {
			for chosen := range 1 << len(more) {
				var components []string
				for i, name := range more {
					if chosen&(1<<i) != 0 {
						components = append(components, name)
					}
					if i == 0 { // what has pods of its own comes before what all pods get
						components = append(components, database, models)
					}
				}
				t.Run(strings.Join(components, "+"), func(t *testing.T) {
					text, err := overlay(held, components...)
					if err != nil {
						t.Fatal(err)
					}
					check(t, text)
				})
			}
		}
	}
}
