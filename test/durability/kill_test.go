package durability

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	"github.com/octavo-books/octavo/internal/load"
	"github.com/octavo-books/octavo/internal/waittest"
)

const (
	readyAgain = 2 * time.Second
	kills      = 12
	longKills  = 100
	books      = 800
	writes     = 400.0 // a second
)

// shop is all programs over one folder, with those who use it.
type shop struct {
	t               *testing.T
	programs        []*program
	readers         readersv1.ReadersServiceClient
	recommendations recommendationsv1.RecommendationsServiceClient

	next     atomic.Int64 // interaction to send
	inFlight atomic.Int64 // writes

	mu           sync.Mutex
	acknowledged map[int64]int64 // position by interaction
	unknown      []int64         // sent, and not known what became of it
}

// TestSIGKILL is row 1: programs are killed while interactions are written and
// answers are asked for.
func TestSIGKILL(t *testing.T) {
	s := openShop(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		_, err := load.Run(ctx, load.Config{
			Calls: []load.Call{{Name: "write", Weight: 3, Do: s.write}, {Name: "ask", Weight: 1, Do: s.ask}},
			Steps: []load.Step{{Rate: writes * 4 / 3, Duration: 20 * time.Minute}}, Timeout: time.Second, Seed: 1,
		})
		ended <- err
	}()
	rounds := kills
	if *long {
		rounds = longKills
	}
	random := rand.New(rand.NewPCG(1, 1))
	var took []time.Duration
	for round := range rounds {
		p := s.programs[round%len(s.programs)]
		// In the midst of work: some writes after it last was ready.
		s.waitForWrites(1 + random.IntN(int(writes)/5))
		waittest.Until(t, "a write is in progress", 20*time.Second, func() bool { return s.inFlight.Load() > 0 })
		p.end(t, syscall.SIGKILL)
		again := p.start(t)
		took = append(took, again)
		if again > readyAgain {
			t.Errorf("kill %d: %s was ready again after %v, want less than %v", round+1, p.name, again, readyAgain)
		}
	}
	s.waitForWrites(1)
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	slices.Sort(took)
	t.Logf("%d kills, %d interactions acknowledged, %d with an unknown outcome; ready again after %v at the median and %v at most",
		rounds, len(s.acknowledged), len(s.unknown), took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))

	s.checkLog(s.readLog())
	s.sendAgain()
	s.checkLog(s.readLog())
	s.checkAnswers()
}

func openShop(t *testing.T) *shop {
	t.Helper()
	folder := t.TempDir()
	catalog := newProgram(t, "catalog", "--db", filepath.Join(folder, "catalog.db"))
	readers := newProgram(t, "readers", "--db", filepath.Join(folder, "readers.db"))
	recommendations := newProgram(t, "recommendations", "--catalog-addr", catalog.addr, "--readers-addr", readers.addr,
		"--models-dir", filepath.Join(folder, "models"))
	marketplace := newProgram(t, "marketplace", "--catalog-addr", catalog.addr, "--readers-addr", readers.addr,
		"--recommendations-addr", recommendations.addr, "--session-key-file", filepath.Join(folder, "session.key"))
	s := &shop{t: t, programs: []*program{readers, recommendations, catalog, marketplace}, acknowledged: map[int64]int64{}}
	for _, p := range []*program{catalog, readers, recommendations, marketplace} {
		p.start(t)
	}
	conns := dial(t, readers, recommendations, catalog)
	s.readers = readersv1.NewReadersServiceClient(conns[0])
	s.recommendations = recommendationsv1.NewRecommendationsServiceClient(conns[1])
	importReaders(t, s.readers, people)
	request := &catalogv1.ImportBooksRequest{}
	for id := int32(1); id <= books; id++ {
		request.Books = append(request.Books, &catalogv1.Book{
			Id: id, Title: fmt.Sprint("Book ", id), Authors: []string{"Somebody"}, Category: catalogv1.Category(id%4 + 1), Source: "test", SourceId: fmt.Sprint(id),
		})
	}
	if _, err := catalogv1.NewCatalogServiceClient(conns[2]).ImportBooks(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	return s
}

// write sends an interaction that no other is like.
func (s *shop) write(ctx context.Context) error { return s.send(ctx, s.next.Add(1)-1) }

func (s *shop) send(ctx context.Context, n int64) error {
	s.inFlight.Add(1)
	defer s.inFlight.Add(-1)
	response, err := s.readers.RecordInteractions(ctx, &readersv1.RecordInteractionsRequest{Interactions: []*readersv1.Interaction{finished(n)}})
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.unknown = append(s.unknown, n)
		return err
	}
	s.acknowledged[n] = response.GetPosition()
	return nil
}

// ask has the recommendations wait for what was written just now, as a page
// does after a click.
func (s *shop) ask(ctx context.Context) error {
	s.mu.Lock()
	var position int64
	n := s.next.Load() - 1
	for ; n >= 0 && position == 0; n-- {
		position = s.acknowledged[n]
	}
	s.mu.Unlock()
	_, err := s.recommendations.Recommend(ctx, &recommendationsv1.RecommendRequest{ReaderId: max(int32(n%people), 0) + 1, MinPosition: position})
	return err
}

func (s *shop) waitForWrites(more int) {
	s.t.Helper()
	count := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.acknowledged)
	}
	enough := count() + more
	waittest.Until(s.t, "writes are acknowledged", 20*time.Second, func() bool { return count() >= enough })
}

// sendAgain sends what became nobody knows what, and some that are known to be
// there, until all is acknowledged.
func (s *shop) sendAgain() {
	s.t.Helper()
	again := s.unknown
	s.unknown = nil
	for n := range s.acknowledged {
		if n%10 == 0 {
			again = append(again, n)
		}
	}
	for _, n := range again {
		if err := s.send(s.t.Context(), n); err != nil {
			s.t.Fatalf("send interaction %d again: %v", n, err)
		}
	}
}

// readLog reads the whole log as a follower that starts from nothing.
func (s *shop) readLog() []*readersv1.Interaction {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	pages, err := s.readers.WatchInteractions(ctx, &readersv1.WatchInteractionsRequest{})
	if err != nil {
		s.t.Fatal(err)
	}
	var log []*readersv1.Interaction
	for {
		page, err := pages.Recv()
		if err != nil {
			s.t.Fatal(err)
		}
		log = append(log, page.GetInteractions()...)
		if page.GetPosition() == page.GetHead() {
			return log
		}
	}
}

func (s *shop) checkLog(log []*readersv1.Interaction) {
	s.t.Helper()
	var err error
	at := make(map[int64]int64)
	for i, in := range log {
		n := number(in.GetReaderId(), in.GetBookId())
		if in.GetPosition() != int64(i)+1 {
			err = errors.Join(err, fmt.Errorf("line %d has position %d", i+1, in.GetPosition()))
		}
		if at[n] != 0 {
			err = errors.Join(err, fmt.Errorf("interaction %d is doubled, at %d and %d", n, at[n], in.GetPosition()))
		}
		if n >= s.next.Load() {
			err = errors.Join(err, fmt.Errorf("interaction %d was never sent", n))
		}
		at[n] = in.GetPosition()
	}
	for n, position := range s.acknowledged {
		if at[n] == 0 || at[n] > position {
			err = errors.Join(err, fmt.Errorf("interaction %d was acknowledged for position %d and is at %d (0: lost)", n, position, at[n]))
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Logf("%d lines in the log, of %d interactions sent", len(log), s.next.Load())
}

// checkAnswers compares what recommendations know with what was acknowledged,
// which by now is everything.
func (s *shop) checkAnswers() {
	s.t.Helper()
	read := make(map[int32]map[int32]bool)
	var head int64
	for n, position := range s.acknowledged {
		in := finished(n)
		if read[in.GetReaderId()] == nil {
			read[in.GetReaderId()] = make(map[int32]bool)
		}
		read[in.GetReaderId()][in.GetBookId()] = true
		head = max(head, position)
	}
	for reader, own := range read {
		var answer *recommendationsv1.RecommendResponse
		waittest.Until(s.t, "the answer is not stale", 10*time.Second, func() bool {
			var err error
			answer, err = s.recommendations.Recommend(s.t.Context(), &recommendationsv1.RecommendRequest{ReaderId: reader, MinPosition: head, MaxResults: 100})
			if err != nil && fault.KindOf(err) != fault.Unavailable {
				s.t.Fatal(err)
			}
			return err == nil && !answer.GetStale()
		})
		if want := min(len(own), 200); int(answer.GetHistorySize()) != want {
			s.t.Errorf("recommendations count %d books of reader %d, want %d", answer.GetHistorySize(), reader, want)
		}
		if len(answer.GetRecommendations()) == 0 {
			s.t.Errorf("reader %d gets no recommendations", reader)
		}
		for _, book := range answer.GetRecommendations() {
			if own[book.GetId()] {
				s.t.Errorf("reader %d has finished book %d and gets it recommended", reader, book.GetId())
			}
		}
	}
}
