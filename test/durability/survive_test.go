package durability

import (
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	"github.com/octavo-books/octavo/internal/waittest"
)

// record writes so many interactions in batches.
func (s *shop) record(n int64) {
	s.t.Helper()
	for n > 0 {
		request := &readersv1.RecordInteractionsRequest{}
		first := s.next.Load()
		for i := range min(n, 5000) {
			request.Interactions = append(request.Interactions, finished(first+i))
		}
		var response *readersv1.RecordInteractionsResponse
		waittest.Until(s.t, "interactions are recorded", 30*time.Second, func() (done bool) {
			var err error
			response, err = s.readers.RecordInteractions(s.t.Context(), request)
			return err == nil
		})
		for i := range request.GetInteractions() {
			s.acknowledged[first+int64(i)] = response.GetPosition()
		}
		s.next.Add(int64(len(request.GetInteractions())))
		n -= int64(len(request.GetInteractions()))
	}
}

// Programs may be stopped and started in any order: none needs another to have
// been there before it.
func TestAnyOrderOfStarts(t *testing.T) {
	s := openShop(t)
	var orders [][]*program
	permute(s.programs, func(order []*program) { orders = append(orders, order) })
	if len(orders) != 24 {
		t.Fatalf("%d orders", len(orders))
	}
	if !*long {
		rand.New(rand.NewPCG(3, 3)).Shuffle(len(orders), func(i, j int) { orders[i], orders[j] = orders[j], orders[i] })
		orders = orders[:6]
	}
	for _, order := range orders {
		var names []string
		for _, p := range order {
			names = append(names, p.name)
			p.end(t, syscall.SIGTERM)
		}
		t.Log(strings.Join(names, ", "))
		for _, p := range order {
			p.launch(t)
		}
		for _, p := range order {
			p.waitReady(t)
		}
		s.record(50)
	}
	s.checkLog(s.readLog())
	s.checkAnswers()
}

func permute(rest []*program, do func([]*program)) {
	if len(rest) == 0 {
		do(nil)
		return
	}
	for i, p := range rest {
		permute(slices.Concat(rest[:i], rest[i+1:]), func(order []*program) { do(append([]*program{p}, order...)) })
	}
}

// A follower that stood still takes in the whole backlog afterwards.
func TestABacklog(t *testing.T) {
	s := openShop(t)
	recommendations := s.programs[1]
	if err := recommendations.running.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.record(60_000)
	if err := recommendations.running.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.checkAnswers()

	// The log can be taken up anywhere.
	log := s.readLog()
	s.checkLog(log)
	random := rand.New(rand.NewPCG(4, 4))
	for range 20 {
		after := random.Int64N(int64(len(log)))
		pages, err := s.readers.WatchInteractions(t.Context(), &readersv1.WatchInteractionsRequest{AfterPosition: after})
		if err != nil {
			t.Fatal(err)
		}
		page, err := pages.Recv()
		if err != nil || len(page.GetInteractions()) == 0 {
			t.Fatalf("after %d: %v, %v", after, page, err)
		}
		for i, in := range page.GetInteractions() {
			if want := log[after+int64(i)]; in.GetPosition() != want.GetPosition() || in.GetReaderId() != want.GetReaderId() || in.GetBookId() != want.GetBookId() {
				t.Fatalf("line %d after %d is %v, want %v", i, after, in, want)
			}
		}
	}
}

// When the readers' database is that of an earlier day, recommendations forget
// what is no longer in it.
func TestAnOlderDatabase(t *testing.T) {
	s := openShop(t)
	readers := s.programs[0]
	s.record(500)
	readers.end(t, syscall.SIGTERM)
	database := readers.command[slices.Index(readers.command, "--db")+1]
	backup := filepath.Join(t.TempDir(), "backup.db")
	copyFile(t, database, backup)
	readers.start(t)
	s.record(1000)
	s.checkAnswers()

	readers.end(t, syscall.SIGTERM)
	copyFile(t, backup, database)
	readers.start(t)
	for n := range s.acknowledged {
		if n >= 500 {
			delete(s.acknowledged, n)
		}
	}
	s.next.Store(500)
	waittest.Until(t, "recommendations start again from the first line", 20*time.Second, func() bool {
		model, err := s.recommendations.GetModel(t.Context(), &recommendationsv1.GetModelRequest{})
		return err == nil && model.GetPosition() == 500
	})
	s.checkLog(s.readLog())
	s.checkAnswers()
	s.record(100)
	s.checkAnswers()
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	source, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	target, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(target, source); err != nil {
		t.Fatal(err)
	}
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}
}
