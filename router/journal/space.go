package journal

import (
	"go.uber.org/zap"

	"aka/router/journal/engine"
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
func (j *Journal) watchSpace(w *spaceWatch, stats engine.Stats) {
	if percent := w.crossed(stats.LogBytes, stats.LogMaxBytes); percent > 0 {
		j.log.Warn("journal is filling up", zap.Int("percent_of_max_bytes", percent), zap.Uint64("bytes", stats.LogBytes),
			zap.Uint64("max_bytes", stats.LogMaxBytes), zap.String("hint", "a destination is behind, or journal.max_bytes is too small; when it is full, calls are answered 503"))
	}
	if stats.DiskFree == 0 {
		return // a folder that is gone shows in the writes
	}
	promised := stats.LogMaxBytes - min(stats.LogBytes, stats.LogMaxBytes)
	if w.tooLittle(stats.DiskFree, promised) {
		j.log.Warn("disk is smaller than journal.max_bytes promises", zap.Uint64("free", stats.DiskFree), zap.Uint64("promised", promised),
			zap.String("hint", "make room, or lower journal.max_bytes"))
	}
}
