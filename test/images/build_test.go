package images

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const tag = "0.0-test"

var (
	names = []string{"octavo", "octavo-catalog", "octavo-marketplace", "octavo-readers", "octavo-recommendations", "octavo-trainer"}

	checkout string // folder of the repository
	built    string // folder of the images of the checkout
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if checkout, err = filepath.Abs("../.."); err == nil {
		if built, err = os.MkdirTemp("", "octavo-images-"); err == nil {
			defer os.RemoveAll(built)
			err = build(checkout, built)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// build makes the images of the sources in a folder.
func build(source, out string) error {
	command := exec.Command("go", "run", "-C", filepath.Join(checkout, "tools", "images"), ".", "-source", source, "-out", out, "-tag", tag)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build the images of %s: %w\n%s", source, err, output)
	}
	return nil
}

// TestAChangeIsOnlyInTheImagesItConcerns builds again in another folder, which
// is a repository with other commits, and later.
func TestAChangeIsOnlyInTheImagesItConcerns(t *testing.T) {
	source := duplicate(t)
	for _, change := range []struct {
		name    string
		file    string // that is appended to
		content string
		changed []string
	}{
		{"what is in no program", "internal/catalog/server_test.go", "\nfunc init() { println(`changed`) }\n", nil},
		{"the catalog service", "internal/catalog/server.go", "\nfunc init() { println(`changed`) }\n", []string{"octavo", "octavo-catalog"}},
		{"the recommendations service", "internal/recommendations/server.go", "\nfunc init() { println(`changed`) }\n", []string{"octavo", "octavo-recommendations"}},
		{"the recommender", "internal/recommender/dataset.go", "\nfunc init() { println(`changed`) }\n", []string{"octavo", "octavo-recommendations", "octavo-trainer"}},
	} {
		t.Run(change.name, func(t *testing.T) {
			path := filepath.Join(source, change.file)
			before := content(t, path)
			write(t, path, append(bytes.Clone(before), change.content...))
			defer write(t, path, before)
			commit(t, source, change.name)
			out := t.TempDir()
			if err := build(source, out); err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				for _, file := range []string{name + ".tar", name + ".spdx.json"} {
					same := bytes.Equal(content(t, filepath.Join(built, file)), content(t, filepath.Join(out, file)))
					if want := !slices.Contains(change.changed, name); same != want {
						t.Errorf("%s has the bytes it had before: %v, want %v", file, same, want)
					}
				}
			}
		})
	}
}

// duplicate copies what git would commit of the checkout into a new folder, and
// makes a repository of it.
func duplicate(t *testing.T) string {
	t.Helper()
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = checkout
	output, err := list.Output()
	if err != nil {
		t.Fatalf("list the files of the checkout: %v", err)
	}
	into := t.TempDir()
	for name := range strings.SplitSeq(strings.TrimRight(string(output), "\x00"), "\x00") {
		info, err := os.Stat(filepath.Join(checkout, name))
		if os.IsNotExist(err) {
			continue // deleted, and not committed yet
		}
		if err != nil || !info.Mode().IsRegular() {
			t.Fatalf("%s: %v", name, err)
		}
		path := filepath.Join(into, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		write(t, path, content(t, filepath.Join(checkout, name)))
	}
	git(t, into, "init", "--quiet")
	return into
}

func commit(t *testing.T, folder, subject string) {
	t.Helper()
	git(t, folder, "add", "--all")
	git(t, folder, "-c", "user.name=test", "-c", "user.email=test@example.invalid", "commit", "--quiet", "--message", subject)
}

func git(t *testing.T, folder string, args ...string) {
	t.Helper()
	command := exec.Command("git", args...)
	command.Dir = folder
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("git %s: %v\n%s", args, err, output)
	}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o666); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestAnImageIsAProgramAndNothingElse looks at all that is in the images.
func TestAnImageIsAProgramAndNothingElse(t *testing.T) {
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			i := read(t, built, name)
			program := strings.TrimPrefix(name, "octavo-")
			c := i.config.Config
			if c.User != "65532:65532" || c.WorkingDir != "/" || !slices.Equal(c.Entrypoint, []string{"/" + program}) || len(c.Cmd)+len(c.Env)+len(c.Volumes) > 0 {
				t.Errorf("it is configured with %+v", c)
			}
			if got := c.Labels["org.opencontainers.image.version"]; got != tag {
				t.Errorf("its version is %q, want %s", got, tag)
			}
			if !i.config.Created.Equal(time.Unix(0, 0)) {
				t.Errorf("it has a time, %v", i.config.Created)
			}
			var has []string
			for _, f := range i.files {
				has = append(has, fmt.Sprintf("%v %d:%d %s", f.FileInfo().Mode(), f.Uid, f.Gid, f.Name))
			}
			want := []string{"-r-xr-xr-x 0:0 " + program, "drwx------ 65532:65532 octavo-data/", "dtrwxrwxrwx 0:0 tmp/"}
			if len(i.layers) != 1 || !slices.Equal(has, want) {
				t.Fatalf("it has %d layers with\n%s\nwant one with\n%s", len(i.layers), strings.Join(has, "\n"), strings.Join(want, "\n"))
			}
			binary := i.files[0].content
			isStatic(t, binary)
			saysNothingOfThisMachine(t, binary)
			billHas(t, i, binary)
		})
	}
}

func isStatic(t *testing.T, binary []byte) {
	t.Helper()
	parsed, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parsed.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the program needs a dynamic linker: it has a segment %v", p.Type)
		}
	}
}

func saysNothingOfThisMachine(t *testing.T, binary []byte) {
	t.Helper()
	folders, err := exec.Command("go", "env", "GOROOT", "GOMODCACHE", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range append(strings.Fields(string(folders)), checkout) {
		if bytes.Contains(binary, []byte(folder+"/")) {
			t.Errorf("the program has the folder %s in it", folder)
		}
	}
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range info.Settings {
		if strings.HasPrefix(s.Key, "vcs") {
			t.Errorf("the program has the commit in it: %s=%s", s.Key, s.Value)
		}
	}
}

// billHas checks that the bill of materials of an image names the image, and
// every module that is linked into its program.
func billHas(t *testing.T, i *image, binary []byte) {
	t.Helper()
	var bill struct {
		SPDXVersion string
		Packages    []struct {
			Name, VersionInfo string
			Checksums         []struct{ Algorithm, ChecksumValue string }
		}
	}
	decode(t, content(t, filepath.Join(built, i.name+".spdx.json")), &bill)
	var has []string
	for _, p := range bill.Packages {
		line := p.Name + " " + p.VersionInfo
		for _, c := range p.Checksums {
			line += " " + strings.ToLower(c.Algorithm) + ":" + c.ChecksumValue
		}
		has = append(has, line)
	}
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{i.name + " " + tag + " " + i.digest, info.Main.Path + " " + tag, "stdlib " + strings.TrimPrefix(info.GoVersion, "go")}
	for _, d := range info.Deps {
		want = append(want, d.Path+" "+d.Version)
	}
	if bill.SPDXVersion != "SPDX-2.3" || !slices.Equal(has, want) {
		t.Errorf("the bill of materials, in %s, names\n%s\nwant\n%s", bill.SPDXVersion, strings.Join(has, "\n"), strings.Join(want, "\n"))
	}
}

// TestEveryProgramHasAnImage compares them with the folders of cmd.
func TestEveryProgramHasAnImage(t *testing.T) {
	mains, err := filepath.Glob(filepath.Join(checkout, "cmd", "*", "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, main := range mains {
		program := filepath.Base(filepath.Dir(main))
		if program != "octavo" {
			program = "octavo-" + program
		}
		want = append(want, program+".spdx.json", program+".tar")
	}
	slices.Sort(want)
	var has []string
	entries, err := fs.ReadDir(os.DirFS(built), ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		has = append(has, e.Name())
	}
	if !slices.Equal(has, want) || len(names) != len(mains) {
		t.Errorf("there are %s, want %s", has, want)
	}
}
