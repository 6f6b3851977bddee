package manifests

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

var (
	binaries string   // folder of the built programs
	programs []string // their names
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if binaries, err = os.MkdirTemp("", "octavo-manifests-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(binaries)
	build := exec.Command("go", "build", "-o", binaries+string(filepath.Separator), "./cmd/...")
	build.Dir, build.Stdout, build.Stderr = root, os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the programs:", err)
		return 1
	}
	built, err := os.ReadDir(binaries)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, file := range built {
		programs = append(programs, file.Name())
	}
	return m.Run()
}

// image is the name that the base gives to a program's image.
func image(program string) string {
	if program == "octavo" {
		return program
	}
	return "octavo-" + program
}

// program is the program in a container's image, empty when it is none of ours.
func program(c *corev1.Container) string {
	name := path.Base(c.Image)
	name, _, _ = strings.Cut(name, "@")
	name, _, _ = strings.Cut(name, ":")
	for _, p := range programs {
		if image(p) == name {
			return p
		}
	}
	return ""
}

// settings are those of one container, as its program understands them.
type settings struct {
	values map[string]string // of its flags
	given  []string          // the flags that are not at their defaults
	tried  []string          // the flags that name something it needs
	peers  []string          // addresses of the services it calls
	err    error             // what it does not understand
}

var (
	settingLine = regexp.MustCompile(`(?m)^--(\S+) +(.*?) +(\S+)$`)
	triedLine   = regexp.MustCompile(`(?m)^(?:good|wrong) +--([^:\s]+): (.*)$`)
	peerFlag    = regexp.MustCompile(`(?m)^ *--([a-z]+)-addr=ADDRESS`)
)

// environment is that of a container, with what the manifests' ConfigMaps have.
func (m *manifests) environment(c *corev1.Container) map[string]string {
	env := map[string]string{}
	for _, from := range c.EnvFrom {
		if from.ConfigMapRef != nil {
			if found := named[*corev1.ConfigMap](m, from.ConfigMapRef.Name); found != nil {
				maps.Copy(env, found.Data)
			}
		}
	}
	for _, e := range c.Env {
		env[e.Name] = e.Value
	}
	return env
}

// settings asks the program of a container what it makes of its arguments and
// its environment. It is asked with addresses on which nobody listens, so that
// it does not try those that are meant for a pod.
func (m *manifests) settings(c *corev1.Container) settings {
	env := m.environment(c)
	args := slices.Clone(c.Args)
	for i := range args { // as Kubernetes does
		args[i] = strings.ReplaceAll(args[i], "$(JOB_COMPLETION_INDEX)", "0")
		for _, e := range c.Env {
			if e.ValueFrom != nil {
				args[i] = strings.ReplaceAll(args[i], "$("+e.Name+")", "told-by-the-pod")
			}
		}
	}
	s := ask(program(c), args, env)
	s.values = maps.Clone(s.values)
	for flag, value := range map[string]string{"addr": flagOf(args, "addr"), "admin-addr": env["OCTAVO_ADMIN_ADDR"]} {
		if _, ok := s.values[flag]; ok {
			s.values[flag] = value
		}
	}
	return s
}

func flagOf(args []string, flag string) string {
	for _, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--"+flag+"="); ok {
			return value
		}
	}
	return ""
}

var answers sync.Map // of programs that were asked before

func ask(program string, args []string, env map[string]string) settings {
	var variables []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		variables = append(variables, name+"="+env[name])
	}
	key := fmt.Sprint(program, args, variables)
	if known, ok := answers.Load(key); ok {
		return known.(settings)
	}
	s := settings{values: map[string]string{}}
	check := []string{"--check-config", "--admin-addr="}
	switch program {
	case "octavo":
		check = []string{"--help"} // its commands have no check, but say what they do not know
	case "trainer":
	default:
		check = append(check, "--addr=127.0.0.1:0")
	}
	command := exec.Command(filepath.Join(binaries, program), append(args, check...)...)
	command.Env = variables
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if len(out) == 0 { // a check that finds something wrong prints its findings all the same
		s.err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	for _, line := range settingLine.FindAllStringSubmatch(string(out), -1) {
		s.values[line[1]] = line[2]
		if line[3] != "default" {
			s.given = append(s.given, line[1])
		}
	}
	for _, line := range triedLine.FindAllStringSubmatch(string(out), -1) {
		if address, ok := strings.CutSuffix(line[2], " is an address"); ok {
			s.peers = append(s.peers, address)
			continue
		}
		s.tried = append(s.tried, line[1])
	}
	if program == "octavo" {
		for _, flag := range peerFlag.FindAllStringSubmatch(string(out), -1) {
			s.peers = append(s.peers, flagOf(args, flag[1]+"-addr"))
		}
	}
	answers.Store(key, s)
	return s
}
