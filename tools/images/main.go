// Command images packs the programs of Octavo into container images from
// nothing: each is one layer with one static program. It needs Go, and neither
// Docker nor a registry nor the network.
//
//	go run -C tools/images . -out=bin/images           # NAME.tar and NAME.spdx.json
//	go run -C tools/images . -push=registry.example/octavo -platforms=linux/amd64,linux/arm64
//
// The same sources, version, platform and release of Go give the same bytes, in
// whichever folder and at whatever time. What is not linked into a program is
// not in its image: a change in one service leaves the images of the others as
// they were, and so there is no commit in them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const module = "github.com/octavo-books/octavo"

// local is the registry in the names of images that are in none.
const local = "localhost"

type settings struct {
	source    string        // folder of the repository
	out       string        // folder of the archives
	tag       string        // of the images, and the version that the programs tell
	push      string        // repository that the images are pushed below; empty for none
	platforms []v1.Platform // at least one
	programs  []string      // "catalog"; empty for all
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	s := settings{}
	flags := flag.NewFlagSet("images", flag.ContinueOnError)
	flags.StringVar(&s.source, "source", filepath.Join("..", ".."), "`folder` of the repository")
	flags.StringVar(&s.out, "out", "", "`folder` to write NAME.tar and NAME.spdx.json to")
	flags.StringVar(&s.tag, "tag", "dev", "tag of the images, and the version that the programs tell")
	flags.StringVar(&s.push, "push", "", "push to `REPOSITORY`/NAME:TAG, with the login that docker or podman have there")
	platforms := flags.String("platforms", "linux/"+runtime.GOARCH, "`platforms` to build for, separated by commas")
	flags.Func("program", "build only this `program`; may be repeated", func(program string) error {
		s.programs = append(s.programs, program)
		return nil
	})
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected %q", flags.Args())
	case s.out == "" && s.push == "":
		return errors.New("nothing to do: name a folder with -out, or a repository with -push")
	}
	for text := range strings.SplitSeq(*platforms, ",") {
		platform, err := v1.ParsePlatform(text)
		if err != nil {
			return fmt.Errorf("platform %q: %w", text, err)
		}
		s.platforms = append(s.platforms, *platform)
	}
	scratch, err := os.MkdirTemp("", "octavo-images-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	return build(ctx, s, scratch)
}

// build makes all images and prints what they are.
func build(ctx context.Context, s settings, scratch string) error {
	programs, err := s.list(ctx)
	if err != nil {
		return err
	}
	for _, platform := range s.platforms {
		if err := s.compile(ctx, programs, platform, filepath.Join(scratch, platform.String())); err != nil {
			return err
		}
	}
	if s.out != "" {
		if err := os.MkdirAll(s.out, 0o777); err != nil {
			return err
		}
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintf(table, "image\tplatform\tprogram\tcompressed\tdigest\n")
	for _, program := range programs {
		if err := s.pack(ctx, program, scratch, table); err != nil {
			return fmt.Errorf("%s: %w", program, err)
		}
	}
	return table.Flush()
}

// pack makes the image of a program from what was compiled for each platform,
// writes and pushes it, and adds its lines to the table.
func (s settings) pack(ctx context.Context, program, compiled string, table *tabwriter.Writer) error {
	repository := path.Join(local, imageName(program))
	if s.push != "" {
		repository = path.Join(s.push, imageName(program))
	}
	reference, err := name.NewTag(repository + ":" + s.tag)
	if err != nil {
		return err
	}
	var images []v1.Image
	for _, platform := range s.platforms {
		file := filepath.Join(compiled, platform.String(), program)
		image, err := imageOf(file, program, s.tag, platform)
		if err != nil {
			return err
		}
		images = append(images, image)
		if s.out != "" {
			if err := writeSBOM(filepath.Join(s.out, s.file(program, platform)+".spdx.json"), file, program, s.tag, image); err != nil {
				return err
			}
			if err := writeArchive(filepath.Join(s.out, s.file(program, platform)+".tar"), reference, image); err != nil {
				return err
			}
		}
		if err := describe(table, reference, platform, file, image); err != nil {
			return err
		}
	}
	if s.push == "" {
		return nil
	}
	return push(ctx, reference, images, s.platforms)
}

// push pushes an image, or several under one index.
func push(ctx context.Context, reference name.Tag, images []v1.Image, platforms []v1.Platform) error {
	options := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	if len(images) == 1 {
		return remote.Write(reference, images[0], options...)
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i, image := range images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &platforms[i]}})
	}
	return remote.WriteIndex(reference, index, options...)
}

// file is the name of the files of an image without what comes after the dot.
// It has the platform in it when there are several.
func (s settings) file(program string, platform v1.Platform) string {
	if len(s.platforms) == 1 {
		return imageName(program)
	}
	return imageName(program) + "-" + strings.ReplaceAll(platform.String(), "/", "-")
}

func describe(table *tabwriter.Writer, reference name.Tag, platform v1.Platform, file string, image v1.Image) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	compressed, err := layers[0].Size()
	if err != nil {
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	fmt.Fprintf(table, "%s\t%s\t%.1f MB\t%.1f MB\t%s\n", reference, platform, float64(info.Size())/1e6, float64(compressed)/1e6, digest)
	return nil
}

// imageName is the name of a program among the images of others.
func imageName(program string) string {
	if program == "octavo" {
		return program
	}
	return "octavo-" + program
}

// list is the names of the programs to pack.
func (s settings) list(ctx context.Context) ([]string, error) {
	command := exec.CommandContext(ctx, "go", "list", "-f", `{{if eq .Name "main"}}{{.ImportPath}}{{end}}`, "./cmd/...")
	command.Dir, command.Stderr = s.source, os.Stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("list the programs: %w", err)
	}
	var programs []string
	for importPath := range strings.FieldsSeq(string(out)) {
		programs = append(programs, path.Base(importPath))
	}
	return choose(programs, s.programs)
}

// choose is those of all programs that are wanted: all if none is named.
func choose(all, wanted []string) ([]string, error) {
	if len(wanted) == 0 {
		return all, nil
	}
	for _, program := range wanted {
		if !slices.Contains(all, program) {
			return nil, fmt.Errorf("there is no program %q, only %s", program, strings.Join(all, ", "))
		}
	}
	return wanted, nil
}

// compile builds the programs into a folder. Nothing of this machine gets into
// them: no paths, no commit, no settings of the user.
func (s settings) compile(ctx context.Context, programs []string, platform v1.Platform, into string) error {
	args := []string{"build", "-trimpath", "-buildvcs=false", "-o", into + string(filepath.Separator),
		"-ldflags", "-s -w -buildid= -X " + module + "/cmd/internal/program.version=" + s.tag}
	for _, program := range programs {
		args = append(args, "./cmd/"+program)
	}
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir, command.Stderr = s.source, os.Stderr
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+platform.OS, "GOARCH="+platform.Architecture,
		"GOFLAGS=", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0", "GOFIPS140=off", "GODEBUG=", "GOWORK=off")
	if err := os.MkdirAll(into, 0o777); err != nil {
		return err
	}
	if err := command.Run(); err != nil {
		return fmt.Errorf("compile for %s: %w", platform, err)
	}
	return nil
}
