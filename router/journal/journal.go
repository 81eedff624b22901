package journal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// Errors of Append. Nothing of the request is promised then: the client sends it again, and what was stored all the same
// is recognized by its messageId.
var (
	// ErrFull tells that there is no room: the log has reached its size, or too many requests wait to be written.
	ErrFull = errors.New("journal: full")
	// ErrClosed tells that the journal takes no more.
	ErrClosed = errors.New("journal: closed")
	// ErrUnavailable tells that the write failed or took too long.
	ErrUnavailable = errors.New("journal: unavailable")
)

// Journal is the open log. It is safe for concurrent use.
type Journal struct {
	options Options
	log     *zap.Logger
	metrics *metrics
	engine  atomic.Pointer[store]
	commits *committer
	graves  *graves
	passed  passedFrames

	stampMu sync.Mutex
	stamp   stamp
	// meant is held by those who write calls that are meant for one destination, and by who takes one out.
	meant sync.RWMutex

	mu      sync.Mutex
	head    head
	recent  recentFrames
	arrived chan struct{} // closed and replaced when the head moves
	failed  *failedWrite  // nil when the last write landed

	background sync.WaitGroup
	stop       context.CancelFunc
}

// head is the end of the log.
type head struct {
	seq   uint64 // the last frame; 0 when there never was one
	calls uint64 // how many calls the log has accepted up to it
}

// Open opens the journal in its folder, or makes a new one, and reads back what it needs to go on. It fails when another
// process has the folder, when that holds something else (ErrNoJournal, ErrOtherVersion), and when a part is missing
// (ErrBroken). What it finds damaged it sets aside, logs and counts, and goes on with the rest.
func Open(ctx context.Context, options Options, log *zap.Logger, reg prometheus.Registerer) (*Journal, error) {
	s, found, err := openStore(ctx, options)
	if err != nil {
		return nil, err
	}
	j := &Journal{options: options, log: log, arrived: make(chan struct{})}
	j.engine.Store(s)
	j.metrics = newMetrics(reg, options)
	j.commits = newCommitter(j)
	j.graves = newGraves(j, reg)
	j.reportFound(found)
	if isOpenToOthers(options.Dir) {
		log.Warn("journal: anybody on this machine may read or change its folder, which holds people's calls: chmod 700", zap.String("dir", options.Dir))
	}
	err = j.recover(ctx, found.window)
	if err == nil {
		err = j.stampFolder(slices.Collect(maps.Keys(found.progress))...)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("open journal %s: %w", options.Dir, err)
	}
	j.forgetTheRest(ctx)
	background, stop := context.WithCancel(context.Background())
	j.stop = stop
	j.background.Go(func() { j.commits.run() })
	j.background.Go(func() { j.refreshStats(background) })
	j.background.Go(func() { j.graves.tend(background) })
	return j, nil
}

// reportFound says what was damaged when the journal was opened.
func (j *Journal) reportFound(x *examination) {
	for _, d := range x.damages {
		j.metrics.setAside.Inc()
		fields := []zap.Field{zap.String("file", d.file), zap.Int("offset", d.from), zap.Int("bytes", d.size()), zap.String("kept", d.kept)}
		if d.torn {
			j.log.Warn("journal: a write that had not come to its end was cut off; nobody was answered for it", fields...)
		} else {
			j.log.Error("journal: a piece of a file is damaged; it was set aside, and what was in it is lost: check the disk", fields...)
		}
	}
	for _, path := range x.metas {
		j.log.Warn("journal: the description of a stream was damaged and is written anew; nothing is lost", zap.String("file", path))
	}
	if x.lost > 0 {
		j.log.Error("journal: frames are gone from its end and their calls are lost: check whether the disk keeps what it says it has written", zap.Uint64("frames", x.lost))
	}
}

// stampFolder makes the folder say what it is and that it keeps the progress of these destinations.
func (j *Journal) stampFolder(destinations ...string) error {
	for _, name := range destinations {
		j.graves.expect(name)
	}
	return j.restamp(func(s *stamp) (changed bool) {
		for _, name := range destinations {
			if s.find(name) == nil {
				s.destinations, changed = append(s.destinations, standing{name: name}), true
			}
		}
		return changed
	})
}

// restamp changes what the folder says of itself, and returns once that is safe on disk.
func (j *Journal) restamp(change func(*stamp) (changed bool)) error {
	j.stampMu.Lock()
	defer j.stampMu.Unlock()
	said, err := readStamp(j.options.Dir)
	if err != nil {
		return err
	}
	next := stamp{}
	if said != nil {
		next = said.clone()
	}
	if change(&next) || said == nil {
		err = next.write(j.options.Dir)
	}
	if err == nil {
		j.stamp = next
	}
	return err
}

func (j *Journal) stampKnows(destination string) bool {
	j.stampMu.Lock()
	defer j.stampMu.Unlock()
	return j.stamp.knows(destination)
}

// store returns the engine as it is now: it may have been opened anew.
func (j *Journal) store() *store { return j.engine.Load() }

// reopen opens the engine anew, in the folder that stays ours. After a full disk it has shut itself down, or hangs; what it
// has acknowledged is on disk. Whoever uses the old one meanwhile gets errors, and tries again.
func (j *Journal) reopen(ctx context.Context) error {
	old := j.store()
	old.shutdown()
	s := &store{dir: old.dir, lock: old.lock}
	if err := s.open(ctx, j.options); err != nil {
		s.shutdown()
		return fmt.Errorf("open journal %s again: %w", j.options.Dir, err)
	}
	j.engine.Store(s)
	return nil
}

// recover finds the log's end and the dedupe window: clients retry exactly after a crash.
func (j *Journal) recover(ctx context.Context, window *recollection) error {
	first, last, err := j.store().bounds(ctx)
	if err != nil {
		return err
	}
	j.head.seq = last
	if j.head.calls, err = j.acceptedUpTo(ctx, first, last); err != nil {
		return err
	}
	// What the engine does not have must not be remembered: whoever sends it again would be told that it is there.
	if whole, err := j.store().isWhole(ctx, window.last); err != nil {
		return err
	} else if whole && window.inOrder {
		j.commits.recall(window)
		return nil
	}
	return j.commits.seed(ctx, last)
}

// maxUnreadable bounds how many frames at the log's end are looked at for one that can be read.
const maxUnreadable = 1000

// acceptedUpTo returns how many calls the log has accepted: by its last frame, or where that is damaged by the one before,
// and where there is none by what the destinations have ended.
func (j *Journal) acceptedUpTo(ctx context.Context, first, last uint64) (calls uint64, err error) {
	for seq := last; seq > 0 && seq >= first && last-seq < maxUnreadable; seq-- {
		frame, err := j.read(ctx, seq)
		if err != nil {
			return 0, err
		}
		if frame != nil {
			return frame.Before + uint64(len(frame.Entries)), nil
		}
	}
	return j.mostEnded(ctx)
}

// read returns the frame at exactly seq, or nil when it is missing or damaged.
func (j *Journal) read(ctx context.Context, seq uint64) (*Frame, error) {
	frames, err := j.store().readFrom(ctx, seq, nil)
	if err != nil || len(frames) == 0 || frames[0].seq != seq {
		return nil, err
	}
	frame, err := decodeFrame(seq, frames[0].data)
	if err != nil {
		j.reportDamage(seq, err)
		return nil, nil
	}
	return frame, nil
}

// Close stops taking calls, finishes the write in flight and closes the log. Call it after every reader has stopped.
func (j *Journal) Close() {
	j.commits.close()
	j.stop()
	j.background.Wait()
	j.store().close()
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
	return j.head.calls, Position{Seq: j.head.seq + 1}
}

// landed makes a frame that is on disk visible to readers.
func (j *Journal) landed(f *Frame) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.head = head{seq: f.Seq, calls: f.Before + uint64(len(f.Entries))}
	j.recent.add(f)
	j.failed = nil
	close(j.arrived)
	j.arrived = make(chan struct{})
}

// Purge drops the frames below every destination's floor, save those that the dedupe window still needs and the last one,
// which carries the count of calls.
func (j *Journal) Purge(ctx context.Context, floor uint64) error {
	keep := min(floor, j.commits.windowStart())
	j.mu.Lock()
	keep = min(keep, j.head.seq)
	j.mu.Unlock()
	if keep <= 1 {
		return nil
	}
	return j.store().purge(ctx, keep)
}

// Stats is the size of the log.
type Stats struct {
	Bytes, MaxBytes uint64
	Frames          uint64
}

// Stats returns the log's size as the store has it.
func (j *Journal) Stats(ctx context.Context) (Stats, error) {
	info, err := j.store().calls.Info(ctx)
	if err != nil {
		return Stats{}, err
	}
	return Stats{Bytes: info.State.Bytes, MaxBytes: uint64(j.options.MaxBytes), Frames: info.State.Msgs}, nil
}

// refreshStats keeps the size metrics fresh, and warns of what fills.
func (j *Journal) refreshStats(ctx context.Context) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	var watch spaceWatch
	for {
		if stats, err := j.Stats(ctx); err == nil {
			j.metrics.bytes.Set(float64(stats.Bytes))
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
	j.log.Error("journal: a frame cannot be read and its calls are lost: check the disk", zap.Uint64("seq", seq), zap.Error(err))
}

func (j *Journal) reportGap(from, to uint64) {
	j.metrics.missing.Add(float64(to - from))
	j.log.Error("journal: frames are missing and their calls are lost: check the disk, and what else writes to the folder", zap.Uint64("from", from), zap.Uint64("to", to-1))
}
