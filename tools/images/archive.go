package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// writeArchive writes an image as containerd, kind, Podman and Docker import it:
// a layout of the Open Container Initiative that also has Docker's own list, as
// `docker save` writes it. The digest in it is that of the image in a registry.
func writeArchive(file string, reference name.Tag, image v1.Image) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	a := archive{tar.NewWriter(f)}
	if err := a.image(reference, image); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return a.Close()
}

type archive struct{ *tar.Writer }

func (a archive) image(reference name.Tag, image v1.Image) error {
	manifest, err := image.Manifest()
	if err != nil {
		return err
	}
	rawManifest, err := image.RawManifest()
	if err != nil {
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	rawConfig, err := image.RawConfigFile()
	if err != nil {
		return err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return err
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}

	index, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{{
		MediaType: manifest.MediaType, Digest: digest, Size: int64(len(rawManifest)), Platform: config.Platform(),
		Annotations: map[string]string{
			"io.containerd.image.name":          reference.String(),
			"org.opencontainers.image.ref.name": reference.String(), // Podman's; others want the tag alone, and take the one above
		},
	}}})
	if err != nil {
		return err
	}
	docker := []dockerImage{{Config: blob(manifest.Config.Digest), RepoTags: []string{reference.String()}}}
	for _, layer := range manifest.Layers {
		docker[0].Layers = append(docker[0].Layers, blob(layer.Digest))
	}
	list, err := json.Marshal(docker)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name    string
		content []byte
	}{
		{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{"index.json", index},
		{"manifest.json", list},
		{blob(digest), rawManifest},
		{blob(manifest.Config.Digest), rawConfig},
	} {
		if err := a.add(f.name, int64(len(f.content)), bytes.NewReader(f.content)); err != nil {
			return err
		}
	}
	for i, layer := range layers {
		content, err := layer.Compressed()
		if err != nil {
			return err
		}
		err = a.add(blob(manifest.Layers[i].Digest), manifest.Layers[i].Size, content)
		if err := errors.Join(err, content.Close()); err != nil {
			return err
		}
	}
	return nil
}

// dockerImage is an entry of Docker's manifest.json.
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func blob(digest v1.Hash) string { return "blobs/" + digest.Algorithm + "/" + digest.Hex }

func (a archive) add(name string, size int64, content io.Reader) error {
	if err := a.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o444, Size: size, Format: tar.FormatUSTAR, ModTime: time.Unix(0, 0)}); err != nil {
		return err
	}
	_, err := io.Copy(a, content)
	return err
}
