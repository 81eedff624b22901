package keystore

import (
	"sync"
	"sync/atomic"
)

// failure remembers why a store failed. The first reason counts.
type failure struct {
	failed chan struct{} // closed when it has failed

	mu     sync.Mutex
	err    error
	onFail func(error)
}

func newFailure() *failure { return &failure{failed: make(chan struct{})} }

// notify sets what is called with the reason, before failed is closed. It is not called for a failure that was before.
func (f *failure) notify(onFail func(error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onFail = onFail
}

// fail fails the store, unless it has failed already.
func (f *failure) fail(err error) {
	f.mu.Lock()
	again := f.err != nil
	if !again {
		f.err = err
	}
	onFail := f.onFail
	f.mu.Unlock()
	if again {
		return
	}
	if onFail != nil {
		onFail(err)
	}
	close(f.failed)
}

func (f *failure) reason() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// raise sets v to n unless it is higher already.
func raise(v *atomic.Uint64, n uint64) {
	for old := v.Load(); old < n && !v.CompareAndSwap(old, n); old = v.Load() {
	}
}

// neverReturn blocks. It is for goroutines of Pebble that must not go on.
func neverReturn() { select {} }
