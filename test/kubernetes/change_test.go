package kubernetes

import (
	"fmt"
	"testing"
	"time"
)

// rollsOut replaces all pods, of one service after the other and then of all at
// once.
func (s *shop) rollsOut(t *testing.T) {
	steady := s.during(t, func() { time.Sleep(20 * time.Second) })
	if failed, _ := steady.failed(); failed > 0 {
		t.Errorf("calls fail when nothing happens: %s", steady.failures())
	}
	_, sent := steady.failed()
	figure(t, fmt.Sprintf("load of %d calls a second, nothing happens", perSecond), "%d calls, %s; p99 of pages %.0f ms", sent, steady.failures(), steady.p99())
	for _, rolled := range append([][]string{}, []string{"catalog"}, []string{"readers"}, []string{"recommendations"}, []string{"marketplace"}, services) {
		name := rolled[0]
		if len(rolled) > 1 {
			name = "all services at once"
		}
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			o := s.during(t, func() {
				for _, service := range rolled {
					s.kubectl(t, "rollout", "restart", "deployment/"+service)
				}
				s.ready(t, rolled...)
				s.gone(t)
			})
			failed, sent := o.failed()
			figure(t, "rolling update of "+name, "%d calls in %.0f s, %s; p99 of pages %.0f ms, %.1f × the usual", sent, time.Since(began).Seconds(), o.failures(), o.p99(), o.p99()/steady.p99())
			if failed > 0 {
				t.Errorf("%d of %d calls failed", failed, sent)
			}
		})
	}
}
