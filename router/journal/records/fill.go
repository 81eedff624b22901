package records

// warnLevels are the percentages of journal.max_bytes at which the log warns, and rearmBelow how far the size must fall below
// one before that is warned of again.
var warnLevels = [...]int{50, 80, 95}

const rearmBelow = 5

// FillWatch remembers what was warned of, so that each crossing is logged once.
type FillWatch struct {
	level int // how many of warnLevels have been crossed
	low   bool
}

// Crossed returns the level that the size has come to since the last look, 0 when none.
func (w *FillWatch) Crossed(used, limit uint64) (percent int) {
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

// TooLittle reports whether the disk has come to have less room than what is promised, since the last look.
func (w *FillWatch) TooLittle(free, promised uint64) bool {
	was := w.low
	w.low = free < promised || was && free < promised+promised/20
	return w.low && !was
}
