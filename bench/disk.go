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
func disk(b *bench) {
	bytes := int64(b.mebibytes) << 20
	b.diskRow("mixed batches", mixedBatches, floodConnections, bytes)
	b.diskRow(fmt.Sprintf("mixed, %d connections", singlesConnections), mixed, singlesConnections, bytes/singlesShare)
}

func (b *bench) diskRow(name string, maker trafficMaker, connections int, bytes int64) {
	w := startWorld(b, setup{destinations: diskDestinations, mixed: true, journal: fmt.Sprintf("dedupe: %s", diskDedupe)})
	t := maker(w.base, "")
	storyBytes, storyCalls := t.Size()
	stories := max(bytes/int64(storyBytes), 1)
	before := w.written()
	row := Disk{Name: name, Calls: int(stories) * storyCalls, Bytes: stories * int64(storyBytes)}
	largest := w.watchFolder()
	w.run(w.load(t, connections, stories*int64(t.People)))
	w.untilDelivered(row.Calls * diskDestinations)
	w.untilEnded()
	row.Largest = largest()
	row.Folder, row.Wait = w.untilFolderIsLittle()
	row.Written = w.written() - before
	row.PerByte = float64(row.Written) / float64(row.Bytes)
	b.report.Disk = append(b.report.Disk, row)
	w.verify(w.People.Load())
	w.Stop()
	w.close()
}

func (w *world) written() int64 {
	bytes, err := harness.Written(w.Process.PID())
	harness.Check(w, err)
	return bytes
}

// watchFolder looks at the size of the journal's folder now and then, until it is asked for the largest that it saw.
func (w *world) watchFolder() (largest func() int64) {
	most, done, ended := int64(0), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			bytes, err := harness.FolderBytes(w.JournalDir)
			if err == nil {
				most = max(most, bytes)
			}
			select {
			case <-done:
				return
			case <-w.Ctx.Done():
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
func (w *world) untilFolderIsLittle() (bytes int64, seconds float64) {
	end := time.Now()
	w.Until("the journal's folder is little", func() bool {
		bytes = w.folderBytes()
		return bytes <= littleFolder || time.Since(end) > diskDedupe+folderTimeout
	})
	return bytes, time.Since(end).Seconds()
}
