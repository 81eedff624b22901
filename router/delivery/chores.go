package delivery

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// chore is something that must be stored before the loop can go on with a call. Chores are done one at a time, in order,
// aside from the loop.
type chore struct {
	what string // what it means when it fails, for the log
	// begin is called on the loop when the chore's turn comes; what it returns is done aside.
	begin func() func(context.Context) error
	done  func()
	// abandon, when set, gives the chore up: it is worth so many tries, at least one.
	abandon func()
	tries   int
}

// choreRetry is the wait after a chore failed. It is done again until it succeeds, unless it can be abandoned.
const choreRetry = time.Second

func (p *Pipeline) chore(c chore) {
	p.chores = append(p.chores, c)
	p.nextChore()
}

func (p *Pipeline) nextChore() {
	if p.busy || p.resting || len(p.chores) == 0 {
		return
	}
	p.busy = true
	do := p.chores[0].begin()
	go func() { p.chored <- do(p.storing) }()
}

func (p *Pipeline) choreDone(err error) {
	p.busy = false
	c := &p.chores[0]
	c.tries--
	if err != nil && c.abandon != nil && c.tries <= 0 {
		p.log.Warn(c.what+": is the disk full?", zap.Error(err))
		p.abandonChores()
		p.nextChore()
		return
	}
	if err != nil {
		p.log.Error(c.what+"; trying again: is the disk full?", zap.Error(err))
		p.resting = true
		p.timers.add(time.Now().Add(choreRetry), func() {
			p.resting = false
			p.nextChore()
		})
		return
	}
	done := c.done
	p.chores[0] = chore{}
	p.chores = p.chores[1:]
	done()
	p.nextChore()
}

// abandonChores gives up all chores that can be, with the first: those behind it may rest on it.
func (p *Pipeline) abandonChores() {
	var kept []chore
	for _, c := range p.chores {
		if c.abandon == nil {
			kept = append(kept, c)
		}
	}
	abandoned := p.chores
	p.chores = kept
	for _, c := range abandoned {
		if c.abandon != nil {
			c.abandon()
		}
	}
}
