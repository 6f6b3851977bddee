package endtoend

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// What browser.mjs does with the storefront in a real browser. Screenshots go
// to the folder of the variable SCREENSHOTS, when it is set.
func TestBrowser(t *testing.T) {
	chromium, node := tool(t, "chromium"), tool(t, "node")
	for _, name := range []string{"playwright-core", "axe-core"} {
		if _, err := os.Stat(filepath.Join("node_modules", name)); err != nil {
			t.Fatalf("%s is not there: %s", name, setup)
		}
	}
	// The demo readers stay when accounts are made.
	_, at := serveProcess(t, demoFolder(t), "--demo-readers=on")
	for _, walk := range []struct{ name, does string }{
		{"a visit with JavaScript", "visit"},
		{"a visit without JavaScript", "visit-without-javascript"},
		{"an account, with JavaScript and without", "account"},
		{"a passkey, and where there can be none", "passkey"},
		{"a visit by keyboard", "keyboard"},
		{"every page is accessible", "accessibility"},
	} {
		t.Run(walk.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			command := exec.CommandContext(ctx, node, "browser.mjs", walk.does, "http://"+at.HTTP, chromium)
			// The browser is a child of node's: give node the time to end it.
			command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
			command.WaitDelay = 10 * time.Second
			out, err := command.CombinedOutput()
			t.Logf("%s", out)
			if err != nil {
				t.Error(err)
			}
		})
	}
}
