//go:build !race

package recommender

const raceEnabled = false
