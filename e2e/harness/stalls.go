package harness

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// WatchStalls writes a little every so often, where the journal is, until the function that it returns is called. That
// returns by how much the slowest of the writes came too late: saving four times a second has had to wait as well.
func (w *World) WatchStalls() (worst func() time.Duration) {
	const every = 50 * time.Millisecond
	var longest atomic.Int64
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		path := filepath.Join(w.Dir, "stalls")
		tick := time.NewTicker(every)
		defer tick.Stop()
		due := time.Now().Add(every)
		for {
			select {
			case <-done:
				return
			case <-w.Ctx.Done():
				return
			case <-tick.C:
			}
			_ = writeDurably(path)
			longest.Store(max(longest.Load(), int64(time.Since(due))))
			due = time.Now().Add(every)
		}
	}()
	return func() time.Duration {
		close(done)
		<-ended
		return time.Duration(longest.Load())
	}
}

func writeDurably(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 4096)); err != nil {
		return err
	}
	return f.Sync()
}
