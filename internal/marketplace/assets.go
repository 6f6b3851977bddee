package marketplace

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strconv"
)

//go:embed static
var static embed.FS

// assets are the files that never change, named after their content so that
// browsers keep them for good.
type assets struct {
	stylesheet, icon, script string // addresses
	files                    map[string]*asset
}

type asset struct {
	contentType  string
	plain, small []byte // as it is, and compressed
	forGood      bool   // the address names the content
}

func newAssets() (*assets, error) {
	a := &assets{files: map[string]*asset{}}
	for _, f := range []struct {
		name, contentType string
		address           *string // of the copy named after its content
		plain             string  // address that must be this one
	}{
		{"style.css", "text/css; charset=utf-8", &a.stylesheet, ""},
		{"passkeys.js", "text/javascript; charset=utf-8", &a.script, ""},
		{"favicon.svg", "image/svg+xml", &a.icon, "/favicon.svg"},
		{"robots.txt", "text/plain; charset=utf-8", nil, "/robots.txt"},
	} {
		data, err := static.ReadFile("static/" + f.name)
		if err != nil {
			return nil, fmt.Errorf("read embedded %s: %w", f.name, err)
		}
		small, err := compress(data)
		if err != nil {
			return nil, fmt.Errorf("compress %s: %w", f.name, err)
		}
		if f.address != nil {
			sum := sha256.Sum256(data)
			extension := path.Ext(f.name)
			*f.address = "/static/" + f.name[:len(f.name)-len(extension)] + "." + hex.EncodeToString(sum[:6]) + extension
			a.files[*f.address] = &asset{f.contentType, data, small, true}
		}
		if f.plain != "" {
			a.files[f.plain] = &asset{f.contentType, data, small, false}
		}
	}
	return a, nil
}

func compress(data []byte) ([]byte, error) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func (a *assets) register(mux *http.ServeMux) {
	for address, file := range a.files {
		mux.Handle("GET "+address, file)
	}
}

// ServeHTTP sends the file.
func (f *asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Vary", "Accept-Encoding")
	if f.forGood {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "public, max-age=86400")
	}
	data := f.plain
	if acceptsGzip(r) {
		data = f.small
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(len(data)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(data) // the visitor may have gone
	}
}
