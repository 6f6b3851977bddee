package following

import (
	"strings"
	"testing"
	"time"

	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	"github.com/octavo-books/octavo/internal/nettest"
	"github.com/octavo-books/octavo/internal/waittest"
)

// The network between a follower and the log swallows everything and ends
// nothing. The follower notices by the heartbeats that fail to come, goes on with
// what it knows and says that it is behind; and by itself it comes to what it has
// missed, once the connection has failed its keepalive.
func TestAFollowerInASilentNetwork(t *testing.T) {
	const (
		silence  = 2 * time.Second  // 40 s by default, for heartbeats every 15 s
		slack    = 10 * time.Second // for a busy machine
		recovers = 30 * time.Second // a ping after 20 s of silence, and 10 s for its answer
	)
	db := engines["SQLite"](t)
	catalogProcess := startCatalog(t, "127.0.0.1:0", db.catalog)
	readersProcess := startReaders(t, "127.0.0.1:0", db.readers)
	way := nettest.Start(t, readersProcess.addr)
	models := openModels(t)
	old := startFollower(t, "127.0.0.1:0", catalogProcess.addr, way.Addr, models, silence)
	c := connect(t, catalogProcess.addr, readersProcess.addr, old.addr)
	fill(t, c)
	waittest.Until(t, "all is known", patience, func() bool { return old.metric(t, "octavo_feed_position") == people*8 })

	way.Silence()
	began := time.Now()
	waittest.Until(t, "the follower says that it follows no more", silence+slack, func() bool {
		return old.metric(t, "octavo_feed_connected") == 0 && old.metric(t, "octavo_feed_behind_seconds") > 0
	})
	t.Logf("noticed after %v", time.Since(began).Round(time.Millisecond))
	fresh := startFollower(t, "127.0.0.1:0", catalogProcess.addr, way.Addr, models, silence)
	waittest.Until(t, "a follower that starts meanwhile says why it is not ready", silence+slack, func() bool {
		err := fresh.server.Ready()
		return err != nil && strings.Contains(err.Error(), "log cannot be followed")
	})
	position := c.record(t, did(1, 3*shelf))
	answer, err := c.recommendations.Recommend(t.Context(), &recommendationsv1.RecommendRequest{ReaderId: 1, MinPosition: position})
	if err != nil || !answer.GetStale() || len(answer.GetRecommendations()) == 0 {
		t.Errorf("an answer meanwhile: %v, %v; want one that is stale", answer, err)
	}

	way.Open()
	opened := time.Now()
	waittest.Until(t, "both followers know what they have missed", recovers+slack, func() bool {
		return old.metric(t, "octavo_feed_position") == float64(position) && fresh.server.Ready() == nil
	})
	t.Logf("recovered %v after the silence began, and %v after its end", time.Since(began).Round(time.Millisecond), time.Since(opened).Round(time.Millisecond))
	c.click(t, 2)
}
