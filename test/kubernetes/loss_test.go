package kubernetes

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// losesDatabase stops PostgreSQL for a while. What is answered from memory goes
// on and the first page with it; what needs the database is refused and recovers.
func (s *shop) losesDatabase(t *testing.T) {
	const down = 10 * time.Second
	home := s.traffic(t, 20, "page=1", "/")
	var seconds int
	o := s.during(t, func() {
		s.database.stop(t)
		pass(down)
		s.database.start(t)
		began := time.Now()
		s.eventually(t, time.Minute, "writes", func() error {
			tr := s.traffic(t, 20, "record=1")
			pass(200 * time.Millisecond)
			if failed, sent := tr.end().failed(); failed > 0 || sent == 0 {
				return fmt.Errorf("%d of %d failed", failed, sent)
			}
			return nil
		})
		seconds = int(time.Since(began).Seconds())
		pass(5 * time.Second)
	})
	first := home.end()
	figure(t, "PostgreSQL stops and is back after 10 s", "the first page: %s; recommendations: %s; of the rest %s, for %d s on end; writes go on %d s after", first.failures(), o.of("recommend").failures(), o.failures(), o.longest(), seconds)
	if failed, sent := first.failed(); failed > 0 {
		t.Errorf("the first page failed %d times of %d", failed, sent)
	}
	if failed, sent := o.of("recommend").failed(); failed > 0 {
		t.Errorf("recommendations failed %d times of %d", failed, sent)
	}
	if o.longest() > int(down.Seconds())+5 {
		t.Errorf("calls failed for %d s on end, want it to be over 5 s after the database is back", o.longest())
	}
}

// losesPods kills the process of a pod of each service, under load.
func (s *shop) losesPods(t *testing.T) {
	for _, service := range services {
		t.Run(service, func(t *testing.T) {
			var back time.Duration
			o := s.during(t, func() {
				began := time.Now()
				s.run(t, "pkill", "-KILL", "--oldest", "--exact", service)
				s.eventually(t, time.Minute, "the pod to be started again", func() error { return s.restarted(t, service) })
				s.kubectl(t, "wait", "pods", "-l", "app.kubernetes.io/name="+service, "--for=condition=Ready", "--timeout=60s")
				back = time.Since(began)
				pass(5 * time.Second)
			})
			_, sent := o.failed()
			figure(t, "a pod of "+service+" is killed", "all ready again after %.1f s; %d calls, %s, for %d s on end", back.Seconds(), sent, o.failures(), o.longest())
		})
	}
}

// restarted is nil when the container of a pod of the service runs for the
// second time.
func (s *shop) restarted(t *testing.T, service string) error {
	t.Helper()
	counts := s.kubectl(t, "get", "pods", "-l", "app.kubernetes.io/name="+service, "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}")
	if !strings.ContainsAny(counts, "123456789") {
		return fmt.Errorf("restarts: %s", counts)
	}
	return nil
}

// losesNode cuts the power of the second node under load, and brings it back.
func (s *shop) losesNode(t *testing.T) {
	var strangers visits
	o := s.during(t, func() {
		if err := s.KillNode(2); err != nil {
			t.Fatal(err)
		}
		strangers = s.visits(t, 60*time.Second)
	})
	_, sent := o.failed()
	figure(t, "a node of two loses power", "%d calls, %s, for %d s on end; of %d visitors who come anew each, %d get no page in 2 s, the last of them after %.0f s",
		sent, o.failures(), o.longest(), strangers.all, strangers.failed, strangers.last.Seconds())
	if strangers.last > 55*time.Second {
		t.Errorf("visitors still get no page %v after:\n%s", strangers.last, strings.Join(strangers.why, "\n"))
	}
	began := time.Now()
	var back time.Duration
	o = s.during(t, func() {
		if err := s.StartNode(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		s.ready(t, services...)
		back = time.Since(began)
	})
	_, sent = o.failed()
	figure(t, "the node comes back", "all pods ready after %.0f s; %d calls, %s", back.Seconds(), sent, o.failures())
	if err := o.unexplained(); err != nil {
		t.Error(err)
	}
}

// visits are first pages of visitors, each with a connection of its own.
type visits struct {
	all, failed int
	last        time.Duration // when the last of those failed that did
	why         []string
}

// visits lets five visitors come every second.
func (s *shop) visits(t *testing.T, during time.Duration) visits {
	t.Helper()
	var v visits
	var mu sync.Mutex
	var all sync.WaitGroup
	began := time.Now()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for time.Since(began) < during {
		<-ticker.C
		all.Go(func() {
			at := time.Since(began)
			client := http.Client{Transport: &http.Transport{DialContext: s.Dial, DisableKeepAlives: true}, Timeout: 2 * time.Second}
			response, err := client.Get("http://" + shopHost + "/")
			if err == nil {
				_, err = io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
			mu.Lock()
			defer mu.Unlock()
			v.all++
			if err == nil && response.StatusCode != http.StatusOK {
				err = errors.New(response.Status)
			}
			if err != nil {
				v.failed++
				v.last = max(v.last, at)
				v.why = append(v.why, fmt.Sprintf("after %.1f s: %v", at.Seconds(), err))
			}
		})
	}
	all.Wait()
	return v
}
