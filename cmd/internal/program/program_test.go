package program

import (
	"strings"
	"testing"
)

func TestUnknownSettingsInTheEnvironmentAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		environ []string
		refused string // the variable named, empty when all is well
	}{
		"nothing of ours":      {environ: []string{"HOME=/", "OCTAVOX=1"}},
		"a setting":            {environ: []string{"OCTAVO_HTTP_ADDR=127.0.0.1:0"}},
		"a misspelt setting":   {environ: []string{"HOME=/", "OCTAVO_HTP_ADDR=127.0.0.1:0"}, refused: "OCTAVO_HTP_ADDR is no setting of Octavo (did you mean OCTAVO_HTTP_ADDR?)"},
		"nothing like it":      {environ: []string{"OCTAVO_QQQQQQQQQQ=1"}, refused: "OCTAVO_QQQQQQQQQQ is no setting of Octavo;"},
		"a setting in capital": {environ: []string{"OCTAVO_http_addr=x"}, refused: "OCTAVO_http_addr"},
	} {
		t.Run(name, func(t *testing.T) {
			err := refuseUnknownEnvironment(test.environ)
			switch {
			case test.refused == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.refused != "" && (err == nil || !strings.Contains(err.Error(), test.refused)):
				t.Errorf("got %v, want an error that names %s", err, test.refused)
			}
		})
	}
}
