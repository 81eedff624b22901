package delivery

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// savedDevices are devices of which a crash leaves what was flushed.
type savedDevices struct {
	mu           sync.Mutex
	added, saved []string
}

func (d *savedDevices) Seen(id string) (seen, sure bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(d.added, id), true
}

func (d *savedDevices) Add(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.added = append(d.added, id)
}

func (d *savedDevices) Flush(context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.saved = slices.Clone(d.added)
}

// After a crash nothing reads a call again that has ended: by then its device must be on disk, or the rules take it for a user's id.
func TestADeviceIsOnDiskBeforeItsCallHasEndedThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{})
		devices := &savedDevices{}
		w.devices = devices
		saves := 0
		w.log.beforeSave = func() {
			devices.mu.Lock()
			defer devices.mu.Unlock()
			if saves++; len(devices.saved) < len(devices.added) {
				t.Errorf("progress is saved, and of the devices %q only %q are", devices.added, devices.saved)
			}
		}
		visit := track("", 1)
		visit.AnonymousID = "device-1"
		w.accept(visit)
		w.run()
		time.Sleep(time.Second)
		w.expectOutcomes(map[string]int{"delivered": 1})
		w.stop()
		if saves == 0 || len(devices.saved) != 1 {
			t.Errorf("%d saves, the devices %q", saves, devices.saved)
		}
	})
}
