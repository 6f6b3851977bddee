package importer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
)

// file is a file that is read once from the start, decompressed when it is
// gzip's, whatever its name.
type file struct {
	name       string // short, for places
	f          *os.File
	r          io.Reader
	read, size int64 // bytes as they are on the disk
}

func openFile(path string) (*file, error) {
	opened, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	in := &file{name: baseName(path), f: opened}
	if err := in.open(path); err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return in, nil
}

func (in *file) open(path string) error {
	info, err := in.f.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("%s is a folder, not a file", path)
	}
	in.size = info.Size()
	buffered := bufio.NewReaderSize(counted{in}, 1<<16)
	in.r = buffered
	mark, err := buffered.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %s: %w", in.name, err)
	}
	if bytes.Equal(mark, []byte("\x1f\x8b")) {
		if in.r, err = gzip.NewReader(buffered); err != nil {
			return fmt.Errorf("decompress %s: %w", in.name, err)
		}
	}
	return nil
}

// counted counts the bytes that are read of a file.
type counted struct{ in *file }

func (c counted) Read(p []byte) (int, error) {
	n, err := c.in.f.Read(p)
	c.in.read += int64(n)
	return n, err
}

// Read reads what is in the file. A compressed one that was cut off is an
// error where it ends.
func (in *file) Read(p []byte) (int, error) {
	n, err := in.r.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the compressed file is cut off in the middle; get it again: %w", err)
	}
	return n, err
}

// Close closes the file.
func (in *file) Close() error { return in.f.Close() }
