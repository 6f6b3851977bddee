package images

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestComposeKnowsTheImagesAndSettings compares what compose.yaml names with
// what there is.
func TestComposeKnowsTheImagesAndSettings(t *testing.T) {
	text := string(content(t, filepath.Join(checkout, "deploy", "compose", "compose.yaml")))
	var has []string
	for _, match := range regexp.MustCompile(`image: localhost/(\S+):\$\{TAG:-dev\}`).FindAllStringSubmatch(text, -1) {
		has = append(has, match[1])
	}
	slices.Sort(has)
	if !slices.Equal(has, names) {
		t.Errorf("it runs %s, want %s", has, names)
	}
	reference := string(content(t, filepath.Join(checkout, "docs", "reference", "configuration.md")))
	variables := regexp.MustCompile(`OCTAVO_[A-Z_]+`).FindAllString(text, -1)
	if len(variables) == 0 {
		t.Error("it sets nothing")
	}
	for _, v := range variables {
		if !strings.Contains(reference, "`"+v+"`") {
			t.Errorf("%s is no setting of any program", v)
		}
	}
}
