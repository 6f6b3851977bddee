package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// user is the one that programs run as: nobody's on any system, and the one
// that images without a system use by custom.
const user = 65532

// dataFolder is where programs keep their data by default, seen from the root.
const dataFolder = "octavo-data"

// imageOf is the image of a compiled program.
func imageOf(file, program, version string, platform v1.Platform) (v1.Image, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	packed, err := rootFileSystem(program, content)
	if err != nil {
		return nil, fmt.Errorf("write the layer: %w", err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(packed)), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
	if err != nil {
		return nil, fmt.Errorf("compress the layer: %w", err)
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.AppendLayers(image, layer); err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture, platform.Variant
	config.Created, config.History = v1.Time{Time: time.Unix(0, 0).UTC()}, nil
	config.Config = v1.Config{
		Entrypoint: []string{"/" + program},
		User:       fmt.Sprintf("%d:%d", user, user),
		WorkingDir: "/",
		Labels: map[string]string{
			"org.opencontainers.image.title":    imageName(program),
			"org.opencontainers.image.version":  version,
			"org.opencontainers.image.source":   "https://" + module,
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return mutate.ConfigFile(image, config)
}

// rootFileSystem is all that a container sees: the program, and two empty
// folders where something may be mounted. They are there for who runs the image
// without: a volume of Docker takes its owner from them.
func rootFileSystem(program string, content []byte) ([]byte, error) {
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for _, entry := range []tar.Header{
		{Typeflag: tar.TypeReg, Name: program, Mode: 0o555, Size: int64(len(content))},
		{Typeflag: tar.TypeDir, Name: dataFolder + "/", Mode: 0o700, Uid: user, Gid: user},
		{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777},
	} {
		entry.Format, entry.ModTime = tar.FormatUSTAR, time.Unix(0, 0)
		if err := w.WriteHeader(&entry); err != nil {
			return nil, err
		}
		if entry.Typeflag == tar.TypeReg {
			if _, err := w.Write(content); err != nil {
				return nil, err
			}
		}
	}
	err := w.Close()
	return packed.Bytes(), err
}
