package load_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/load"
)

// TestWrite: no call is missing from what is written, and the drawing can be
// read.
func TestWrite(t *testing.T) {
	result, err := load.Run(t.Context(), load.Config{
		Calls: []load.Call{
			{Name: "page", Weight: 1, Do: func(context.Context) error { return nil }},
			{Name: "search", Weight: 1, Do: func(context.Context) error { return fault.New(fault.Exhausted, "no") }},
		},
		Steps: []load.Step{{Rate: 500, Duration: 200 * time.Millisecond}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var table, written, drawing bytes.Buffer
	if err := errors.Join(result.WriteTable(&table), result.WriteJSON(&written), result.WritePlot(&drawing)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"page", "100.00 %", "search", "0.00 %", "all", "search failed, exhausted: "} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, table.String())
		}
	}
	var read struct {
		Calls []struct {
			Name     string
			Sent     int64
			Outcomes map[string]int64
		}
	}
	if err := json.Unmarshal(written.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	if len(read.Calls) != 3 || read.Calls[2].Name != "all" || read.Calls[2].Outcomes["ok"]+read.Calls[2].Outcomes["exhausted"] != read.Calls[0].Sent+read.Calls[1].Sent {
		t.Errorf("the JSON is %s", written.String())
	}
	decoder := xml.NewDecoder(&drawing)
	for {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the drawing: %v", err)
		}
	}
}
