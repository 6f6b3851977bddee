//go:build !unix

package recommender

import (
	"io"
	"os"
	"unsafe"
)

// mapFile reads a file into memory, aligned as a mapping would be.
func mapFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return nil, err
	}
	words := make([]int64, (info.Size()+7)/8)
	data := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), info.Size())
	_, err = io.ReadFull(f, data)
	return data, err
}

func unmapFile([]byte) error { return nil }
