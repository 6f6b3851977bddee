package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// sources makes a repository whose programs compile in no time.
func sources(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for file, text := range map[string]string{
		"go.mod":              "module " + module + "\n\ngo 1.26\n",
		"cmd/octavo/main.go":  "package main\n\nfunc main() {}\n",
		"cmd/readers/main.go": "package main\n\nfunc main() { println(`readers`) }\n",
		"cmd/internal/x/x.go": "package x\n",
	} {
		path := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestPush pushes to a registry and pulls again: each platform is the image
// that is in the archive, with a program for it.
func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo))))
	defer server.Close()
	repository, source := strings.TrimPrefix(server.URL, "http://")+"/octavo", sources(t)
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

	out := t.TempDir()
	if err := run(t.Context(), []string{"-source", source, "-out", out, "-push", repository, "-tag", "1", "-platforms", "linux/amd64,linux/arm64"}); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"octavo", "octavo-readers"} {
		pulled, err := remote.Get(reference(t, repository, program, "1"), remote.WithContext(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		index, err := pulled.ImageIndex()
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := index.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		if len(manifest.Manifests) != len(machines) {
			t.Fatalf("%s has %d platforms, want %d", program, len(manifest.Manifests), len(machines))
		}
		for _, described := range manifest.Manifests {
			architecture := described.Platform.Architecture
			image, err := index.Image(described.Digest)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := digest(t, image), archived(t, filepath.Join(out, program+"-linux-"+architecture+".tar")); got != want {
				t.Errorf("%s for %s is %s in the registry and %s in the archive", program, architecture, got, want)
			}
			config, err := image.ConfigFile()
			if err != nil || config.OS != "linux" || config.Architecture != architecture {
				t.Errorf("%s for %s says that it is for %+v, %v", program, architecture, config, err)
			}
			if got := machine(t, image, strings.TrimPrefix(program, "octavo-")); got != machines[architecture] {
				t.Errorf("%s for %s has a program for %v", program, architecture, got)
			}
		}
	}

	// One platform alone has no index around it, and the same digest.
	one := t.TempDir()
	if err := run(t.Context(), []string{"-source", source, "-out", one, "-push", repository, "-tag", "1", "-program", "readers", "-platforms", "linux/arm64"}); err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(reference(t, repository, "octavo-readers", "1"), remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	want := archived(t, filepath.Join(out, "octavo-readers-linux-arm64.tar"))
	if inFile := archived(t, filepath.Join(one, "octavo-readers.tar")); digest(t, image) != want || inFile != want {
		t.Errorf("alone it is %s in the registry and %s in the archive, want %s", digest(t, image), inFile, want)
	}
}

// A registry that does not answer is named.
func TestPushFails(t *testing.T) {
	server := httptest.NewServer(nil)
	repository := strings.TrimPrefix(server.URL, "http://") + "/octavo"
	server.Close()
	err := run(t.Context(), []string{"-source", sources(t), "-push", repository, "-program", "readers"})
	if err == nil || !strings.Contains(err.Error(), "readers: ") || !strings.Contains(err.Error(), server.Listener.Addr().String()) {
		t.Errorf("pushed to a registry that is not there: %v", err)
	}
}

func reference(t *testing.T, repository, program, tag string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(repository + "/" + program + ":" + tag)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// archived is the digest that an archive says its image has.
func archived(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	index, err := v1.ParseIndexManifest(find(t, f, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	return index.Manifests[0].Digest.String()
}

// find finds a file in an archive.
func find(t *testing.T, packed io.Reader, name string) io.Reader {
	t.Helper()
	for r := tar.NewReader(packed); ; {
		header, err := r.Next()
		if err != nil {
			t.Fatalf("look for %s: %v", name, err)
		}
		if header.Name == name {
			return r
		}
	}
}

func digest(t *testing.T, image v1.Image) string {
	t.Helper()
	d, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// machine is what the program of an image runs on.
func machine(t *testing.T, image v1.Image, program string) elf.Machine {
	t.Helper()
	files := mutate.Extract(image)
	defer files.Close()
	binary, err := io.ReadAll(find(t, files, program))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Machine
}
