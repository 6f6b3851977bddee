// Package secret holds what must not be seen, such as a key, in a value that
// may be printed, logged or encoded by mistake without showing it.
//
// It protects against mistakes, not against whoever can read the memory.
package secret

import (
	"fmt"
	"io"
	"log/slog"
)

const hidden = "(secret)"

// Bytes are bytes that show themselves only to Reveal. The zero value is empty.
type Bytes struct {
	// Within a struct, fmt passes by the methods of fields that are not exported
	// and prints what it finds, which of a function is the address.
	value func() []byte
}

// Of hides bytes, which its caller must not keep.
func Of(value []byte) Bytes { return Bytes{func() []byte { return value }} }

// Reveal is the secret itself.
func (b Bytes) Reveal() []byte {
	if b.value == nil {
		return nil
	}
	return b.value()
}

// Format implements fmt.Formatter, for all verbs.
func (Bytes) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, hidden) }

// LogValue implements slog.LogValuer.
func (Bytes) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText implements encoding.TextMarshaler, for JSON and others.
func (Bytes) MarshalText() ([]byte, error) { return []byte(hidden), nil }
