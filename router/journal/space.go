package journal

import (
	"fmt"
	"syscall"

	"go.uber.org/zap"
)

// warnLevels are the percentages of journal.max_bytes at which the log warns, and rearmBelow how far the size must fall below
// one before that is warned of again.
var warnLevels = [...]int{50, 80, 95}

const rearmBelow = 5

// spaceWatch remembers what was warned of, so that each crossing is told once.
type spaceWatch struct {
	level int // how many of warnLevels have been crossed
	low   bool
}

// crossed returns the level that the size has come to since the last look, 0 when none.
func (w *spaceWatch) crossed(used, limit uint64) (percent int) {
	now := float64(used) * 100 / float64(max(limit, 1))
	for w.level > 0 && now < float64(warnLevels[w.level-1]-rearmBelow) {
		w.level--
	}
	for w.level < len(warnLevels) && now >= float64(warnLevels[w.level]) {
		percent = warnLevels[w.level]
		w.level++
	}
	return percent
}

// tooLittle tells whether the disk has come to have less room than what is promised, since the last look.
func (w *spaceWatch) tooLittle(free, promised uint64) bool {
	was := w.low
	w.low = free < promised || was && free < promised+promised/20
	return w.low && !was
}

// watchSpace warns of a journal or a disk that fills.
func (j *Journal) watchSpace(w *spaceWatch, stats Stats) {
	if percent := w.crossed(stats.Bytes, stats.MaxBytes); percent > 0 {
		j.log.Warn("journal: it fills; when it is full, calls are answered 503: see which destination is behind, or raise journal.max_bytes",
			zap.Int("percent_of_max_bytes", percent), zap.Uint64("bytes", stats.Bytes), zap.Uint64("max_bytes", stats.MaxBytes))
	}
	free, err := diskFree(j.options.Dir)
	if err != nil {
		return // a folder that is gone shows in the writes
	}
	j.metrics.free.Set(float64(free))
	promised := stats.MaxBytes - min(stats.Bytes, stats.MaxBytes)
	if w.tooLittle(free, promised) {
		j.log.Warn("journal: the disk has less room than journal.max_bytes promises; make room, or lower it",
			zap.Uint64("free", free), zap.Uint64("promised", promised))
	}
}

// diskFree returns how many bytes the folder's disk has left for this process.
func diskFree(dir string) (uint64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return uint64(s.Bavail) * uint64(s.Bsize), nil
}

// diskIsFull is an error when the disk lacks the room for a write.
func diskIsFull(dir string, size uint64) error {
	free, err := diskFree(dir)
	if err != nil || free > size {
		return nil
	}
	return fmt.Errorf("the disk of %s is full: %d bytes are free", dir, free)
}
