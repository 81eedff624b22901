package delivery

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// storage carries out what must be on disk before the loop can go on with a call: one job after the other, in order, beside
// the loop.
type storage struct {
	log    *zap.Logger
	timers *timers
	// ctx ends when what is being stored is not waited for any more.
	ctx     context.Context
	jobs    []*storageJob
	busy    bool // the first is under way
	resting bool // the last try failed: the next waits
	results chan error
}

// storageJob is something to store.
type storageJob struct {
	what string // for the log when it fails
	// begin is called on the loop when the job's turn comes; what it returns is done beside it.
	begin func() func(context.Context) error
	done  func() // called on the loop
	// abandon, when set, is called when the job fails, and returns whether it is given up.
	abandon func() bool
}

// storageRetry is the wait after a job failed. It is done again until it succeeds, unless it can be abandoned.
const storageRetry = time.Second

func newStorage(ctx context.Context, log *zap.Logger, timers *timers) *storage {
	return &storage{ctx: ctx, log: log, timers: timers, results: make(chan error, 1)}
}

// add appends a job.
func (s *storage) add(job *storageJob) {
	s.jobs = append(s.jobs, job)
	s.next()
}

func (s *storage) idle() bool { return len(s.jobs) == 0 }

func (s *storage) next() {
	if s.busy || s.resting || len(s.jobs) == 0 {
		return
	}
	s.busy = true
	do := s.jobs[0].begin()
	go func() { s.results <- do(s.ctx) }()
}

// finish takes in how the first job ended.
func (s *storage) finish(err error) {
	s.busy = false
	job := s.jobs[0]
	if err == nil {
		s.drop()
		job.done()
		s.next()
		return
	}
	if job.abandon != nil && job.abandon() {
		s.log.Warn("storage job failed", zap.String("job", job.what), zap.Error(err), zap.String("hint", "is the disk full?"))
		s.drop()
		s.next()
		return
	}
	s.log.Error("storage job failed, retrying", zap.String("job", job.what), zap.Error(err), zap.String("hint", "is the disk full?"))
	s.rest()
}

// drop takes the first job out.
func (s *storage) drop() {
	s.jobs[0] = nil
	s.jobs = s.jobs[1:]
}

// hurry tries again at once what waits for its next try.
func (s *storage) hurry() {
	s.resting = false
	s.next()
}

func (s *storage) rest() {
	s.resting = true
	s.timers.add(time.Now().Add(storageRetry), s.hurry)
}
