package architecture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// Load reads all packages of the module whose root is dir, with their tests.
func Load(dir string) ([]Package, error) {
	out, err := goList(dir, "-json=ImportPath,Dir,Name,Module,Imports,TestImports,XTestImports,GoFiles,CgoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles", "./...")
	if err != nil {
		return nil, err
	}
	var packages []Package
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var listed struct {
			ImportPath, Dir, Name                                        string
			Module                                                       struct{ Path string }
			Imports, TestImports, XTestImports                           []string
			GoFiles, CgoFiles, IgnoredGoFiles, TestGoFiles, XTestGoFiles []string
		}
		if err := decoder.Decode(&listed); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("read the answer of go list: %w", err)
		}
		localize := func(imports ...string) []string {
			for i, imported := range imports {
				imports[i] = localImport(listed.Module.Path, imported)
			}
			return imports
		}
		p := Package{
			Path:        strings.TrimPrefix(strings.TrimPrefix(listed.ImportPath, listed.Module.Path), "/"),
			Name:        listed.Name,
			Imports:     localize(listed.Imports...),
			TestImports: localize(append(listed.TestImports, listed.XTestImports...)...),
		}
		for _, group := range [][]string{listed.GoFiles, listed.CgoFiles, listed.IgnoredGoFiles, listed.TestGoFiles, listed.XTestGoFiles} {
			for _, name := range group {
				f, err := readFile(listed.Module.Path, filepath.Join(listed.Dir, name))
				if err != nil {
					return nil, err
				}
				p.Files = append(p.Files, f)
			}
		}
		packages = append(packages, p)
	}
}

// StandardNames are the last elements of the paths of the standard library's
// packages that others can import, without those on Go's own source (go/…),
// which no file of a service imports beside one of ours.
func StandardNames() ([]string, error) {
	out, err := goList(".", "std")
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "vendor/") && !strings.HasPrefix(line, "go/") && !strings.Contains("/"+line+"/", "/internal/") {
			names = append(names, path.Base(line))
		}
	}
	return names, nil
}

func goList(dir string, args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	command := exec.Command("go", append([]string{"list"}, args...)...)
	command.Dir, command.Stderr = dir, &stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go list %s: %w\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out, nil
}

func localImport(module, imported string) string {
	if below, ok := strings.CutPrefix(imported, module+"/"); ok {
		return "./" + below
	}
	return imported
}

func readFile(module, file string) (File, error) {
	syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		return File{}, fmt.Errorf("parse: %w", err)
	}
	f := File{Name: filepath.Base(file), Test: strings.HasSuffix(file, "_test.go"), Syntax: syntax}
	for _, spec := range syntax.Imports {
		f.Imports = append(f.Imports, localImport(module, strings.Trim(spec.Path.Value, `"`)))
	}
	return f, nil
}
