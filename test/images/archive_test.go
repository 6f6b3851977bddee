package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// image is what an archive holds.
type image struct {
	name   string // octavo-catalog
	digest string // of the manifest, as registries have it
	layers []string
	config struct {
		Created time.Time `json:"created"`
		Config  struct {
			User, WorkingDir string
			Entrypoint       []string
			Cmd, Env         []string
			Labels           map[string]string
			Volumes          map[string]struct{}
		} `json:"config"`
	}
	files []file // of all layers
}

type file struct {
	tar.Header
	content []byte
}

type descriptor struct {
	Digest      string            `json:"digest"`
	Annotations map[string]string `json:"annotations"`
}

// read reads the archive of an image, and checks that each blob is what its
// name says and that both lists of contents name the same.
func read(t *testing.T, folder, name string) *image {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(folder, name+".tar"))
	if err != nil {
		t.Fatal(err)
	}
	blobs := map[string][]byte{}
	for _, f := range untar(t, bytes.NewReader(content)) {
		blobs[f.Name] = f.content
		if digest, ok := strings.CutPrefix(f.Name, "blobs/sha256/"); ok {
			if sum := sha256.Sum256(f.content); hex.EncodeToString(sum[:]) != digest {
				t.Fatalf("%s: the blob %s is something else", name, digest)
			}
		}
	}
	blob := func(digest string) []byte {
		t.Helper()
		b, ok := blobs[strings.Replace("blobs/"+digest, "sha256:", "sha256/", 1)]
		if !ok {
			t.Fatalf("%s has no blob %s", name, digest)
		}
		return b
	}

	var index struct{ Manifests []descriptor }
	decode(t, blobs["index.json"], &index)
	var docker []struct{ RepoTags, Layers []string }
	decode(t, blobs["manifest.json"], &docker)
	if len(index.Manifests) != 1 || len(docker) != 1 {
		t.Fatalf("%s has %d images for containerd and %d for Docker, want one", name, len(index.Manifests), len(docker))
	}
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	i := &image{name: name, digest: index.Manifests[0].Digest}
	decode(t, blob(i.digest), &manifest)
	decode(t, blob(manifest.Config.Digest), &i.config)
	reference := "localhost/" + name + ":" + tag
	if got := index.Manifests[0].Annotations["io.containerd.image.name"]; got != reference || docker[0].RepoTags[0] != reference {
		t.Errorf("the reference of %s is %s for containerd and %s for Docker, want %s", name, got, docker[0].RepoTags, reference)
	}
	for n, layer := range manifest.Layers {
		i.layers = append(i.layers, layer.Digest)
		if docker[0].Layers[n] != strings.Replace("blobs/"+layer.Digest, "sha256:", "sha256/", 1) {
			t.Errorf("layer %d of %s is another one for Docker than for containerd", n, name)
		}
		unpacked, err := gzip.NewReader(bytes.NewReader(blob(layer.Digest)))
		if err != nil {
			t.Fatal(err)
		}
		i.files = append(i.files, untar(t, unpacked)...)
	}
	return i
}

func untar(t *testing.T, from io.Reader) []file {
	t.Helper()
	var files []file
	for r := tar.NewReader(from); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file{*header, content})
	}
}

func decode(t *testing.T, content []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatalf("%v in %s", err, content)
	}
}

// unpack makes the root file system of an image in a new folder, as a container
// runtime does. It needs root, because the files belong to several users.
func (i *image) unpack(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, f := range i.files {
		path := filepath.Join(root, f.Name)
		var err error
		if f.Typeflag == tar.TypeDir {
			err = os.Mkdir(path, 0o700)
		} else {
			err = os.WriteFile(path, f.content, 0o600)
		}
		if err := errors.Join(err, os.Chown(path, f.Uid, f.Gid), os.Chmod(path, f.FileInfo().Mode())); err != nil {
			t.Fatal(err)
		}
	}
	return root
}
