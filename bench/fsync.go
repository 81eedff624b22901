package main

import (
	"os"
	"path/filepath"
	"slices"
	"time"

	"aka/e2e/harness"
)

// syncFrames writes frames of a size one after the other and has each on disk before the next: what no journal can be faster
// than. It returns how long each took.
func syncFrames(dir string, size int, d time.Duration) (*harness.Measured, error) {
	f, err := os.Create(filepath.Join(dir, "frames"))
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	frame, m := make([]byte, size), &harness.Measured{}
	for i := range frame {
		frame[i] = byte(i * i >> 3)
	}
	for begin := time.Now(); m.Took < d; m.Took = time.Since(begin) {
		start := time.Now()
		if _, err := f.Write(frame); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		m.Latencies = append(m.Latencies, time.Since(start))
	}
	slices.Sort(m.Latencies)
	return m, nil
}
