package kubernetes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// perSecond is how many calls a second all traffic together makes: modest, for
// two cores that run the whole cluster too.
const perSecond = 100

// Pages go through the Service as those of browsers do. An answer of the API
// fails when a service is missing, where a page of HTML would do without. The
// other calls go straight to the services, round their pods, and none is
// repeated, so that what the storefront's retries hide is seen too.
var (
	paths = []string{"/", "/book/3", "/book/11", "/search?q=dune", "/api/v1/recommendations", "/api/v1/books/5", "/api/v1/search?q=night"}
	mix   = "page=60;recommend=20;search=10;record=10"
)

// traffic is load on the shop that goes on until it is ended.
type traffic struct {
	t       *testing.T
	command *exec.Cmd
	out     bytes.Buffer
	failure bytes.Buffer
}

// outcome is what has become of it.
type outcome struct {
	Calls []struct {
		Name      string
		Sent      int64
		Outcomes  map[string]int64
		LatencyMS map[string]float64 `json:"latency_ms"`
	}
	Series []struct {
		OK, Failed int64
		P99        float64 `json:"p99_ms"`
	}
	// refused is how many calls the pods that are there at the end have refused
	// meanwhile, as there was no room for them or no processor: two cores run all
	// of this, and whatever else this machine does.
	refused int64
}

// traffic begins load, which does not depend on the answers, on the usual pages
// or only on some. It lasts at most five minutes.
func (s *shop) traffic(t *testing.T, rate int, mix string, only ...string) *traffic {
	t.Helper()
	if only == nil {
		only = paths
	}
	at := func(service, port string) string { return "dns:///" + service + ".octavo.svc.cluster.local:" + port }
	tr := &traffic{t: t, command: s.In(t.Context(), 1, s.octavo("load", "--allow-remote", "--format=json", "--tls-dir="+s.operator,
		"--http-addr="+shopHost+":80", "--recommendations-addr="+at("recommendations", "50051"), "--catalog-addr="+at("catalog", "50052"), "--readers-addr="+at("readers", "50053"),
		"--rate="+strconv.Itoa(rate), "--duration=5m", "--connections=2", "--readers=1-500", "--books=1-200",
		"--mix="+mix, "--path="+strings.Join(only, ","))...)}
	tr.command.Stdout, tr.command.Stderr = &tr.out, &tr.failure
	tr.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := tr.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // when it was not ended
		if tr.command.ProcessState == nil {
			tr.end()
		}
	})
	return tr
}

// end ends the load.
func (tr *traffic) end() outcome {
	tr.t.Helper()
	// The group, as the first process only waits for the one in the node.
	if err := syscall.Kill(-tr.command.Process.Pid, syscall.SIGINT); err != nil {
		tr.t.Fatal(err)
	}
	_ = tr.command.Wait() // that it was interrupted
	var o outcome
	if err := json.Unmarshal(tr.out.Bytes(), &o); err != nil {
		tr.t.Fatalf("the load says nothing: %v: %s %s", err, tr.out.Bytes(), tr.failure.Bytes())
	}
	return o
}

// during is what becomes of traffic while something happens.
func (s *shop) during(t *testing.T, happens func()) outcome {
	t.Helper()
	before := s.refusals(t)
	tr := s.traffic(t, perSecond, mix)
	pass(2 * time.Second) // of the usual, before
	happens()
	pass(2 * time.Second) // and after it
	o := tr.end()
	for pod, refused := range s.refusals(t) {
		o.refused += max(0, int64(refused-before[pod])) // one that was started again counts anew
	}
	return o
}

// refusals are how many calls each pod has refused for overload, so far.
func (s *shop) refusals(t *testing.T) map[string]float64 {
	t.Helper()
	refused := map[string]float64{}
	for _, service := range services {
		for _, p := range s.pods(t, service) {
			if !p.ready() {
				continue // it may be on a node that is gone
			}
			refused[p.Metadata.Name] = s.metric(t, service, p, "overload_refused_total")
		}
	}
	return refused
}

// unexplained is an error when more calls failed than were refused for overload,
// or more than one in two hundred whatever the reason: the load is far from what
// the services can bear, and the few cores are shared with the whole cluster.
func (o outcome) unexplained() error {
	if failed, sent := o.failed(); failed > min(o.refused, sent/200) {
		return fmt.Errorf("%d of %d calls failed, and %d were refused for overload", failed, sent, o.refused)
	}
	return nil
}

// pass lets a while pass, for which something is measured.
func pass(while time.Duration) { <-time.After(while) }

// of is what has become of the calls of one name.
func (o outcome) of(name string) outcome {
	var of outcome
	for _, c := range o.Calls {
		if c.Name == name {
			of.Calls = append(of.Calls, c)
		}
	}
	return of
}

// failed is how many calls did not succeed.
func (o outcome) failed() (failed, sent int64) {
	for _, c := range o.Calls {
		if c.Name == "all" {
			continue
		}
		sent += c.Sent
		failed += c.Sent - c.Outcomes["ok"]
	}
	return failed, sent
}

// failures says which calls did not succeed, and how.
func (o outcome) failures() string {
	var told []string
	for _, c := range o.Calls {
		for _, kind := range slices.Sorted(maps.Keys(c.Outcomes)) {
			if c.Name != "all" && kind != "ok" {
				told = append(told, fmt.Sprintf("%d %s %s", c.Outcomes[kind], c.Name, kind))
			}
		}
	}
	if told == nil {
		return "none failed"
	}
	text := "failed: " + strings.Join(told, ", ")
	if o.refused > 0 {
		text += fmt.Sprintf(" (pods refused %d for overload)", o.refused)
	}
	return text
}

// longest is for how many seconds on end calls failed.
func (o outcome) longest() int {
	longest, on := 0, 0
	for _, second := range o.Series {
		if on++; second.Failed == 0 {
			on = 0
		}
		longest = max(longest, on)
	}
	return longest
}

// p99 is that of pages, in milliseconds.
func (o outcome) p99() float64 {
	for _, c := range o.Calls {
		if c.Name == "page" {
			return c.LatencyMS["p99"]
		}
	}
	return 0
}
