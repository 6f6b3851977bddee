package kubernetes

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"
)

// sharesTraining trains on one machine, then from the same state in the parts of
// an Indexed Job, and compares the two models.
func (s *shop) sharesTraining(t *testing.T) {
	before := s.bucket.models(t)
	published := filepath.Join(s.bucket.folder, "models")
	s.run(t, "cp", "-a", published, published+".before")
	began := time.Now()
	// The parts keep the parameters of the current model, and so must the one.
	s.start(t, "whole", "trainer", "--parameters=current")
	s.finished(t, "whole")
	one := time.Since(began)
	name, whole := added(t, before, s.bucket.models(t))
	// A model that is there already would not be published again.
	s.run(t, "rm", "-r", published)
	s.run(t, "mv", published+".before", published)

	began = time.Now()
	s.start(t, "parts", "trainer-parts")
	s.finished(t, "parts")
	shared := time.Since(began)
	mergedName, merged := added(t, before, s.bucket.models(t))
	if !bytes.Equal(whole, merged) {
		t.Errorf("%s of one machine (%d bytes) and %s of the parts (%d bytes) differ, from byte %d on", name, len(whole), mergedName, len(merged), differsAt(whole, merged))
	}
	figure(t, "the Indexed Job of four parts, merged by the last", "%.1f s; one machine %.1f s; the model's %d bytes are the same", shared.Seconds(), one.Seconds(), len(merged))
}

// start starts a job of a CronJob, with other arguments if there are any.
func (s *shop) start(t *testing.T, name, cronJob string, args ...string) {
	t.Helper()
	text := s.kubectl(t, "create", "job", name, "--from=cronjob/"+cronJob, "--dry-run=client", "-o", "json")
	var job struct {
		APIVersion string         `json:"apiVersion"`
		Kind       string         `json:"kind"`
		Metadata   map[string]any `json:"metadata"`
		Spec       map[string]any `json:"spec"`
	}
	if err := json.Unmarshal([]byte(text), &job); err != nil {
		t.Fatal(err)
	}
	if len(args) > 0 {
		pod := job.Spec["template"].(map[string]any)["spec"].(map[string]any)
		pod["containers"].([]any)[0].(map[string]any)["args"] = args
	}
	changed, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	s.kubectlWith(t, string(changed), "apply", "-f", "-")
}

// added is the one model that is in the second, and not in the first.
func added(t *testing.T, before, after map[string][]byte) (name string, content []byte) {
	t.Helper()
	for n, c := range after {
		if _, old := before[n]; old {
			continue
		}
		if content != nil {
			t.Fatalf("%s and %s have been published, want one model", name, n)
		}
		name, content = n, c
	}
	if content == nil {
		t.Fatal("no model has been published")
	}
	return name, content
}

func differsAt(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
