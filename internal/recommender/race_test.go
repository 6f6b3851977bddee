//go:build race

package recommender

// raceEnabled: the race detector makes a sync.Pool forget at random.
const raceEnabled = true
