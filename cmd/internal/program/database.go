package program

import (
	"bytes"
	"fmt"
	"os"

	"github.com/octavo-books/octavo/chassis/secret"
)

// DatabaseURL reads the URL of a database from a file. It has a password in it.
func DatabaseURL(path string) (secret.Bytes, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("read the URL of the database: %w", err)
	}
	url := bytes.TrimSpace(content)
	if len(url) == 0 {
		return secret.Bytes{}, fmt.Errorf("%s has no URL in it; it has to be like postgres://user:password@host:5432/database", path)
	}
	return secret.Of(url), nil
}
