package modelstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/octavo-books/octavo/fault"
)

// DirParts is parts in a folder that all machines share. Their names have slashes.
type DirParts struct{ path string }

// Parts are beside the models.
func (d *Dir) Parts() *DirParts { return &DirParts{path: d.file(partsFolder)} }

// Create makes a small object, whole or not at all, unless there is one of that
// name: it reports false then. Of several at a time, one makes it.
func (p *DirParts) Create(_ context.Context, name string, content []byte) (bool, error) {
	created := true
	err := p.temporary(func(file string) error {
		if err := os.WriteFile(file, content, 0o644); err != nil {
			return err
		}
		err := p.place(file, name, os.Link) // a link is made by one of several alone
		if errors.Is(err, fs.ErrExist) {
			created, err = false, nil
		}
		return err
	})
	return created && err == nil, err
}

// Put lets write make a file and keeps it under a name, in place of what was
// there.
func (p *DirParts) Put(_ context.Context, name string, write func(path string) error) error {
	return p.temporary(func(file string) error {
		if err := write(file); err != nil {
			return err
		}
		return p.place(file, name, os.Rename)
	})
}

// place moves a file to its name. The folder it is to be in may be removed at
// the same time by another machine, which found it empty.
func (p *DirParts) place(file, name string, move func(from, to string) error) error {
	if err := syncPath(file); err != nil {
		return err
	}
	to := filepath.Join(p.path, filepath.FromSlash(name))
	for {
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := move(file, to); !errors.Is(err, fs.ErrNotExist) {
			if err != nil {
				return err
			}
			return syncPath(filepath.Dir(to))
		}
		if _, err := os.Stat(file); err != nil {
			return err
		}
	}
}

func (p *DirParts) temporary(use func(file string) error) error {
	if err := os.MkdirAll(p.path, 0o755); err != nil {
		return fmt.Errorf("make the folder of parts: %w", err)
	}
	folder, err := os.MkdirTemp(p.path, "."+scratchPattern)
	if err != nil {
		return fmt.Errorf("make a folder for a part: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }() // what stays is not listed
	return use(filepath.Join(folder, "file"))
}

// Get lets read have the path of an object's file for as long as it runs. It is
// NotFound when there is no such object.
func (p *DirParts) Get(_ context.Context, name string, read func(path string) error) error {
	path := filepath.Join(p.path, filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fault.Wrap(fault.NotFound, err, "there is no %s", path)
		}
		return err
	}
	return read(path)
}

// List says when each object was put, by its name.
func (p *DirParts) List(context.Context) (map[string]time.Time, error) {
	all := map[string]time.Time{}
	err := filepath.WalkDir(p.path, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // removed since
		case err != nil:
			return err
		case e.IsDir() && strings.HasPrefix(e.Name(), ".") && path != p.path:
			return fs.SkipDir
		case !e.Type().IsRegular():
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(p.path, path)
		all[filepath.ToSlash(name)] = info.ModTime()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list parts: %w", err)
	}
	return all, nil
}

// Remove removes an object; one that is not there is no error.
func (p *DirParts) Remove(_ context.Context, name string) error {
	path := filepath.Join(p.path, filepath.FromSlash(name))
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	for folder := filepath.Dir(path); strings.HasPrefix(folder, p.path+string(filepath.Separator)); folder = filepath.Dir(folder) {
		if os.Remove(folder) != nil { // there is more in it
			break
		}
	}
	return err
}

// Where names an object for a person.
func (p *DirParts) Where(name string) string {
	return filepath.Join(p.path, filepath.FromSlash(name))
}

// BucketParts is parts in a bucket.
type BucketParts struct{ objects *objects }

// Parts are beside the models.
func (b *Bucket) Parts() *BucketParts {
	o := *b.objects
	o.prefix += partsFolder + "/"
	return &BucketParts{objects: &o}
}

// Create is that of DirParts.
func (p *BucketParts) Create(ctx context.Context, name string, content []byte) (bool, error) {
	err := p.objects.putBytes(ctx, name, content, condition{absent: true})
	if errors.Is(err, errExists) {
		return false, nil
	}
	return err == nil, err
}

// Put is that of DirParts.
func (p *BucketParts) Put(ctx context.Context, name string, write func(path string) error) error {
	return p.objects.write(ctx, name, condition{}, write)
}

// Get is that of DirParts. What read gets is verified.
func (p *BucketParts) Get(ctx context.Context, name string, read func(path string) error) error {
	info, err := p.objects.stat(ctx, name)
	if err != nil {
		return err
	}
	return p.objects.temporary(func(file string) error {
		if err := p.objects.download(ctx, name, info, file); err != nil {
			return err
		}
		return read(file)
	})
}

// List is that of DirParts.
func (p *BucketParts) List(ctx context.Context) (map[string]time.Time, error) {
	return p.objects.list(ctx, "")
}

// Remove removes an object; one that is not there is no error.
func (p *BucketParts) Remove(ctx context.Context, name string) error {
	return p.objects.remove(ctx, name)
}

// Where names an object for a person.
func (p *BucketParts) Where(name string) string { return p.objects.where(name) }
