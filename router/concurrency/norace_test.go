//go:build !race

package concurrency

// seeds is how often a shape is run, few where that takes long.
const (
	seeds = 20
	few   = 3
)
