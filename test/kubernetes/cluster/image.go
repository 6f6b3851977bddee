package cluster

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
)

// writeImage writes an image, as `docker save` does, that holds one static
// program and nothing else.
func writeImage(file, reference, program, name string) error {
	binary, err := os.ReadFile(program)
	if err != nil {
		return fmt.Errorf("make the image %s: %w", reference, err)
	}
	layer, err := archive([]tar.Header{
		{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777},
		{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(binary))},
	}, [][]byte{nil, binary})
	if err != nil {
		return err
	}
	sum := sha256.Sum256(layer)
	type object = map[string]any
	config, err := json.Marshal(object{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": object{"Entrypoint": []string{"/" + name}, "User": "65532", "WorkingDir": "/"},
		"rootfs": object{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(sum[:])}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]object{{"Config": "config.json", "RepoTags": []string{reference}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	var headers []tar.Header
	contents := [][]byte{manifest, config, layer}
	for i, name := range []string{"manifest.json", "config.json", "layer.tar"} {
		headers = append(headers, tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(contents[i]))})
	}
	image, err := archive(headers, contents)
	if err != nil {
		return err
	}
	return os.WriteFile(file, image, 0o644)
}

func archive(headers []tar.Header, contents [][]byte) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i := range headers {
		if err := w.WriteHeader(&headers[i]); err != nil {
			return nil, err
		}
		if _, err := w.Write(contents[i]); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.Close()
}
