// Package journal is the durable, ordered log of accepted calls, and what is kept beside it. Append returns once the calls are
// safe on disk; readers get them back in order, from any position, as often as they like.
//
// The pieces, from the bottom: codec (bytes), frame (calls in frames, progress), engine (the seam to what stores them;
// embedded is the one in this process), records (what is kept for each destination), and here the log itself.
package journal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"aka/router/journal/embedded"
	"aka/router/journal/engine"
	"aka/router/journal/records"
)

// Errors of Append. Nothing of the request is promised then: the client sends it again, and what was stored all the same
// is recognized by its messageId.
var (
	// ErrFull tells that there is no room: the log has reached its size, or too many requests wait to be written.
	ErrFull = errors.New("journal: full")
	// ErrClosed means that the journal was closed.
	ErrClosed = errors.New("journal: closed")
	// ErrUnavailable tells that the write failed or took too long.
	ErrUnavailable = errors.New("journal: unavailable")
)

// Journal is the open log, and what is kept for each destination beside it (records.Store). It is safe for concurrent use.
type Journal struct {
	*records.Store

	options Options
	log     *zap.Logger
	metrics *metrics
	engine  engine.Engine
	commits *committer
	passed  passedFrames

	mu      sync.Mutex
	head    records.Head
	recent  recentFrames
	arrived chan struct{} // closed and replaced when the head moves
	failed  error         // of the last write; nil when it landed

	background sync.WaitGroup
	stop       context.CancelFunc
}

// requestTimeout bounds a trim.
const requestTimeout = 5 * time.Second

// Errors of Open about the folder itself.
var (
	// ErrNoJournal means that a folder holds something else.
	ErrNoJournal = embedded.ErrNoJournal
	// ErrOtherVersion means that another version of aka wrote the folder.
	ErrOtherVersion = records.ErrOtherVersion
	// ErrBroken means that a part of the journal is missing, or not as it must be.
	ErrBroken = records.ErrBroken
	// ErrInUse means that another process has the folder.
	ErrInUse = embedded.ErrInUse
)

// Open opens the journal in its folder, or makes a new one, and reads back what it needs to go on. It fails when another
// process has the folder (ErrInUse), when that holds something else (ErrNoJournal, ErrOtherVersion), and when something is
// missing (ErrBroken): then it has changed nothing. A frame that is damaged is counted when it is read.
func Open(ctx context.Context, options Options, log *zap.Logger, reg prometheus.Registerer) (*Journal, error) {
	found := records.NewContent()
	e, err := embedded.Open(ctx, embedded.Options{
		Dir: options.Dir, MaxBytes: int64(options.MaxBytes), Log: log,
		Verify: func(view engine.View) error { return found.Load(ctx, view) }, Aid: records.KeyFact,
	})
	if err != nil {
		return nil, fmt.Errorf("open journal %s: %w", options.Dir, err)
	}
	j, err := start(ctx, e, found, options, log, reg)
	if err != nil {
		_ = e.Close()
		return nil, fmt.Errorf("open journal %s: %w", options.Dir, err)
	}
	for _, f := range e.Findings() {
		j.reportFinding(f)
	}
	return j, nil
}

// OpenOn opens the journal that an engine holds. The journal closes the engine.
func OpenOn(ctx context.Context, e engine.Engine, options Options, log *zap.Logger, reg prometheus.Registerer) (*Journal, error) {
	found := records.NewContent()
	if err := found.Load(ctx, e); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	return start(ctx, e, found, options, log, reg)
}

func start(ctx context.Context, e engine.Engine, found *records.Content, options Options, log *zap.Logger, reg prometheus.Registerer) (*Journal, error) {
	j := &Journal{options: options, log: log, engine: e, arrived: make(chan struct{})}
	j.metrics = newMetrics(reg, options)
	j.commits = newCommitter(j)
	j.Store = found.Open(e, records.Options{
		Limits:  records.Limits{MaxAge: options.DeadLetters.MaxAge, MaxBytes: uint64(options.DeadLetters.MaxBytes)},
		Dropped: records.Limits{MaxAge: options.Dropped.MaxAge, MaxBytes: uint64(options.Dropped.MaxBytes)},
		Head:    j.Head, Damaged: j.metrics.damaged.Inc, Log: log, Registry: reg,
	})
	if err := j.recover(ctx, found.SavedHead()); err != nil {
		return nil, err
	}
	background, stop := context.WithCancel(context.Background())
	j.stop = stop
	j.background.Go(func() { j.commits.run() })
	j.background.Go(func() { j.refreshStats(background) })
	j.background.Go(func() { j.Run(background) })
	return j, nil
}

// reportFinding says what was damaged when the journal was opened.
func (j *Journal) reportFinding(f engine.Finding) {
	fields := []zap.Field{zap.String("file", f.File), zap.Int64("offset", f.Offset), zap.Int64("bytes", f.Bytes)}
	if f.Torn {
		j.log.Warn("unfinished write ignored", append(fields, zap.String("hint", "a crash left it; its call was never answered 200"))...)
		return
	}
	j.metrics.damagedPieces.Inc()
	j.log.Error("piece of a journal file is damaged", append(fields, zap.Uint64("first_frame", f.First), zap.Uint64("last_frame", f.Last),
		zap.String("hint", "check the disk; aka journal check says more"))...)
}

// recover finds the log's end and the dedupe window: clients retry exactly after a crash.
func (j *Journal) recover(ctx context.Context, saved records.Head) error {
	first, last, err := j.engine.Bounds(ctx)
	if err != nil {
		return err
	}
	j.head.Seq = last
	if j.head.Calls, err = j.acceptedUpTo(ctx, first, last, saved); err != nil {
		return err
	}
	return j.commits.recoverWindow(ctx, first, last)
}

// maxUnreadable bounds how many frames at the log's end are looked at for one that can be read.
const maxUnreadable = 1000

// acceptedUpTo returns how many calls the log has accepted: by its last frame, or where that is damaged by the one before,
// and where there is none by what was saved with the progress.
func (j *Journal) acceptedUpTo(ctx context.Context, first, last uint64, saved records.Head) (calls uint64, err error) {
	for seq := last; seq >= max(first, 1) && last-seq < maxUnreadable; seq-- {
		frame, err := j.read(ctx, seq)
		if err != nil {
			return 0, err
		}
		if frame != nil {
			return max(frame.Before+uint64(len(frame.Entries)), saved.Calls), nil
		}
	}
	return saved.Calls, nil
}

// read returns the frame at exactly seq, or nil when it is missing or damaged.
func (j *Journal) read(ctx context.Context, seq uint64) (*Frame, error) {
	reader := j.engine.Reader(seq)
	defer reader.Close()
	raw, err := reader.Next(ctx)
	if errors.Is(err, engine.ErrEnd) {
		return nil, nil
	}
	if err != nil || raw.Seq != seq {
		return nil, err
	}
	frame, err := decoded(raw)
	if err != nil {
		return nil, nil // counted when a destination comes to it
	}
	return frame, nil
}

// Failed is closed when the store below the journal has failed for good: the process must be started again. Until then
// Append returns ErrUnavailable, and nothing of a destination's progress is saved.
func (j *Journal) Failed() <-chan struct{} { return j.engine.Failed() }

// Close stops taking calls, finishes the write in flight and closes the log. Call it after every reader has stopped.
func (j *Journal) Close() {
	j.commits.close()
	j.stop()
	j.background.Wait()
	if err := j.engine.Close(); err != nil {
		j.log.Warn("journal did not close cleanly", zap.Error(err), zap.String("hint", "what was accepted is safe; the next start checks it"))
	}
}

// Backup writes a copy of the journal into a new folder while it is in use: what was accepted before it began is in it. A
// journal can be opened there.
func (j *Journal) Backup(ctx context.Context, dir string) error {
	if err := j.engine.Backup(ctx, dir); err != nil {
		return err
	}
	return copyOwnFiles(j.options.Dir, dir)
}

// Append returns once the calls are safe on disk. They keep their order, and stand behind the calls of every Append that
// returned before this one began. duplicates is how many of them the log had already (by source and messageId, within the
// dedupe window), which are not written again. On an error nothing is promised, and entries may stay in use; else the caller
// may fill it anew.
func (j *Journal) Append(ctx context.Context, entries []Entry) (duplicates int, err error) {
	if len(entries) == 0 {
		return 0, nil
	}
	return j.commits.append(ctx, entries)
}

// Head returns how many calls the log has accepted in its life, and the position after the last of them.
func (j *Journal) Head() (calls uint64, next Position) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.head.Calls, Position{Seq: j.head.Seq + 1}
}

// publishFrame makes a frame that is on disk visible to readers.
func (j *Journal) publishFrame(f *Frame) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.head = records.Head{Seq: f.Seq, Calls: f.Before + uint64(len(f.Entries))}
	j.recent.add(f)
	j.failed = nil
	close(j.arrived)
	j.arrived = make(chan struct{})
}

// Purge drops the frames below every destination's floor, but those that the dedupe window still needs, and the last one
// unless its count of calls was saved with some destination's progress.
func (j *Journal) Purge(ctx context.Context, floor uint64) error {
	keep := min(floor, j.commits.windowStart())
	j.mu.Lock()
	last := j.head.Seq
	j.mu.Unlock()
	if j.Saved().Seq == last {
		last++
	}
	keep = min(keep, last)
	if keep <= 1 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return j.engine.Trim(ctx, keep)
}

// Stats is the size of the log.
type Stats struct {
	Bytes, MaxBytes uint64
	Frames          uint64
}

// Stats returns the log's size.
func (j *Journal) Stats(ctx context.Context) (Stats, error) {
	stats, err := j.engine.Stats(ctx)
	return Stats{Bytes: stats.LogBytes, MaxBytes: stats.LogMaxBytes, Frames: stats.Frames}, err
}

// refreshStats keeps the size metrics fresh, and warns of what fills.
func (j *Journal) refreshStats(ctx context.Context) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	var watch records.FillWatch
	for {
		if stats, err := j.engine.Stats(ctx); err == nil {
			j.metrics.bytes.Set(float64(stats.LogBytes))
			j.metrics.recordBytes.Set(float64(stats.RecordBytes))
			j.metrics.free.Set(float64(stats.DiskFree))
			j.watchSpace(&watch, stats)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (j *Journal) reportDamage(seq uint64, err error) {
	j.metrics.damaged.Inc()
	j.log.Error("frame is unreadable, its calls are lost", zap.Uint64("seq", seq), zap.Error(err), zap.String("hint", "check the disk"))
}

func (j *Journal) reportGap(from, to uint64) {
	j.metrics.missing.Add(float64(to - from))
	j.log.Error("frames are missing, their calls are lost", zap.Uint64("from", from), zap.Uint64("to", to-1),
		zap.String("hint", "check the disk, and what else writes to the folder"))
}

// watchSpace warns of a journal or a disk that fills.
func (j *Journal) watchSpace(w *records.FillWatch, stats engine.Stats) {
	if percent := w.Crossed(stats.LogBytes, stats.LogMaxBytes); percent > 0 {
		j.log.Warn("journal is filling up", zap.Int("percent_of_max_bytes", percent), zap.Uint64("bytes", stats.LogBytes),
			zap.Uint64("max_bytes", stats.LogMaxBytes), zap.String("hint", "a destination is behind, or journal.max_bytes is too small; when it is full, calls are answered 503"))
	}
	if stats.DiskFree == 0 {
		return // a folder that is gone shows in the writes
	}
	promised := stats.LogMaxBytes - min(stats.LogBytes, stats.LogMaxBytes)
	if w.TooLittle(stats.DiskFree, promised) {
		j.log.Warn("disk is smaller than journal.max_bytes promises", zap.Uint64("free", stats.DiskFree), zap.Uint64("promised", promised),
			zap.String("hint", "make room, or lower journal.max_bytes"))
	}
}

// Replay appends a dead letter's call to the log again, for its destination only, with its messageId, and then removes the
// dead letter. A crash in between leaves both. To replay it again then, within the dedupe window, only removes it; later
// than that the call goes twice: delivery is at least once.
func (j *Journal) Replay(ctx context.Context, id uint64) error {
	d, err := j.DeadLetter(ctx, id)
	if err != nil {
		return err
	}
	return j.WhileConfigured(d.Destination, func() error { return j.replay(ctx, d, j.Discard) })
}

// ReplayDropped does with a dropped call that is kept what Replay does with a dead letter. One that is dropped again is kept
// anew, with another id.
func (j *Journal) ReplayDropped(ctx context.Context, id uint64) error {
	d, err := j.DroppedCall(ctx, id)
	if err != nil {
		return err
	}
	return j.WhileConfigured(d.Destination, func() error { return j.replay(ctx, d, j.DiscardDropped) })
}

// replay appends a kept call to the log again, and has it discarded then.
func (j *Journal) replay(ctx context.Context, d *DeadLetter, discard func(ctx context.Context, id uint64) error) error {
	e := d.Entry
	e.Target = d.Destination
	e.Replayed = &Replayed{DeadLetterID: d.ID, Position: d.Accepted(), Times: d.Replays() + 1, Attempts: d.Attempts, First: d.First}
	again, err := j.Append(ctx, []Entry{e})
	if err != nil {
		return err
	}
	err = discard(ctx, d.ID)
	if (errors.Is(err, ErrNoDeadLetter) || errors.Is(err, ErrNoDropped)) && again == 0 {
		return nil // its time was up just now
	}
	return err
}
