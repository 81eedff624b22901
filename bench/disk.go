package main

import (
	"fmt"
	"time"

	"aka/e2e/harness"
)

const (
	diskDestinations = 3
	// diskDedupe is how long the journal keeps calls to recognize repeats, in place of the default of ten minutes.
	diskDedupe = 5 * time.Second
	// littleFolder is what the folder should come down to, within folderTimeout of the last call's end and the dedupe window.
	littleFolder  = 64 << 20
	folderTimeout = 10 * time.Second
	// singlesShare of the bytes are sent as single calls.
	singlesShare = 16
	// singlesConnections share a frame, which is small all the same: the next one rewrites the page in which it ends.
	singlesConnections = 32
)

// disk measures what calls cost the disk that three destinations deliver and save the progress of.
func disk(b *bench, r *Report) error {
	bytes := int64(b.mebibytes) << 20
	if err := b.diskRow(r, "mixed batches", mixedBatches, floodConnections, bytes); err != nil {
		return err
	}
	return b.diskRow(r, fmt.Sprintf("mixed, %d connections", singlesConnections), mixed, singlesConnections, bytes/singlesShare)
}

func (b *bench) diskRow(r *Report, name string, maker trafficMaker, connections int, bytes int64) error {
	w, err := startWorld(b, setup{destinations: diskDestinations, mixed: true, journal: fmt.Sprintf("dedupe: %s,", diskDedupe)})
	if err != nil {
		return err
	}
	defer w.close()
	t := maker(w.base, "")
	storyBytes, storyCalls := t.size()
	stories := max(bytes/int64(storyBytes), 1)
	before, err := harness.Written(w.aka.PID())
	if err != nil {
		return err
	}
	row := Disk{Name: name, Calls: int(stories) * storyCalls, Bytes: stories * int64(storyBytes)}
	largest := w.watchFolder()
	err = w.deliverAll(t, connections, stories, row.Calls*diskDestinations)
	row.Largest = largest()
	if err != nil {
		return err
	}
	if row.Folder, row.Wait, err = w.untilFolderIsLittle(); err != nil {
		return err
	}
	after, err := harness.Written(w.aka.PID())
	if err != nil {
		return err
	}
	row.Written = after - before
	row.PerByte = float64(row.Written) / float64(row.Bytes)
	r.Disk = append(r.Disk, row)
	if _, err := w.verify(r, "disk, "+name, w.people.Load()); err != nil {
		return err
	}
	_, err = w.stop()
	return err
}

// deliverAll sends so many stories as fast as they are taken, and waits until all have ended.
func (w *world) deliverAll(t traffic, connections int, stories int64, deliveries int) error {
	l := w.load(t, connections)
	l.most = stories * int64(t.people)
	if _, err := l.run(w.b.ctx); err != nil {
		return w.aka.Explained(err)
	}
	err := w.until("everything is delivered", func() (bool, error) {
		got, err := w.delivered()
		return got >= deliveries, err
	})
	if err != nil {
		return err
	}
	return w.untilEnded()
}

// watchFolder looks at the size of the journal's folder now and then, until it is asked for the largest that it saw.
func (w *world) watchFolder() (largest func() int64) {
	most, done, ended := int64(0), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			bytes, err := folderBytes(w.folder())
			if err == nil {
				most = max(most, bytes)
			}
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	return func() int64 {
		close(done)
		<-ended
		return most
	}
}

// untilFolderIsLittle returns the size of the journal's folder once it is little, or when it should have been, and how many
// seconds after the last call's end that was.
func (w *world) untilFolderIsLittle() (bytes int64, seconds float64, err error) {
	end := time.Now()
	err = w.until("the journal's folder is little", func() (bool, error) {
		var err error
		bytes, err = folderBytes(w.folder())
		return bytes <= littleFolder || time.Since(end) > diskDedupe+folderTimeout, err
	})
	return bytes, time.Since(end).Seconds(), err
}
