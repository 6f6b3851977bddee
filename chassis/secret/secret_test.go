package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/octavo-books/octavo/chassis/secret"
)

func TestASecretIsSeenByNobodyWhoDoesNotAsk(t *testing.T) {
	key := secret.Of([]byte("hush!"))
	if got := string(key.Reveal()); got != "hush!" {
		t.Errorf("revealed, it is %q", got)
	}
	if got := (secret.Bytes{}).Reveal(); len(got) != 0 {
		t.Errorf("nothing, revealed, is %q", got)
	}
	type config struct {
		Key    secret.Bytes
		hidden secret.Bytes
		many   []secret.Bytes
	}
	all := config{key, key, []secret.Bytes{key}}
	shown := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%U"} {
		shown["a secret by "+verb] = fmt.Sprintf(verb, key)
		shown["a pointer by "+verb] = fmt.Sprintf(verb, &key)
		shown["a struct by "+verb] = fmt.Sprintf(verb, all)
		shown["a pointer to a struct by "+verb] = fmt.Sprintf(verb, &all)
		shown["an error by "+verb] = fmt.Sprintf(verb, fmt.Errorf("read %v", all))
	}
	encoded, err := json.Marshal(map[string]any{"key": key, "config": all})
	if err != nil {
		t.Fatal(err)
	}
	shown["JSON"] = string(encoded)
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var log bytes.Buffer
		slog.New(handler(&log)).Info("start", "key", key, "config", all, slog.Group("in", "key", &key))
		shown["the log as "+name] = log.String()
	}
	for what, text := range shown {
		// As text, in hex, as numbers, in octal, as code points, in base64.
		for _, form := range []string{"hush", "68757368", "104 117", "0x68", "150 165", "U+0068", "aHVzaC"} {
			if strings.Contains(strings.ToLower(text), strings.ToLower(form)) {
				t.Errorf("%s shows it: %s", what, text)
			}
		}
	}
	if got := fmt.Sprint(key); got != "(secret)" {
		t.Errorf("printed, it is %q", got)
	}
}
