//go:build race

package concurrency

// The race detector finds nothing in what has one goroutine, and makes it slow.
const (
	seeds = 3
	few   = 1
)
