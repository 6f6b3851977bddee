// Command dashboards writes Octavo's Grafana dashboards as JSON files into the
// folder that it is given. 'make generate' runs it, and the files are committed.
//
// It is a module of its own: the product does not depend on Grafana.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: dashboards FOLDER")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "dashboards:", err)
		os.Exit(1)
	}
}

// write makes all dashboards anew.
func write(folder string) error {
	for name, builder := range map[string]*dashboard.DashboardBuilder{
		"overview":    overview(),
		"service":     service(),
		"recommender": recommender(),
		"runtime":     runtime(),
	} {
		built, err := builder.Build()
		if err != nil {
			return fmt.Errorf("build %s: %w", name, err)
		}
		for i, p := range built.Panels {
			id := uint32(i + 1)
			if p.Panel != nil {
				p.Panel.Id = &id
			} else {
				p.RowPanel.Id = id
			}
		}
		text, err := json.MarshalIndent(built, "", "  ")
		if err != nil {
			return fmt.Errorf("encode %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(folder, name+".json"), append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}
