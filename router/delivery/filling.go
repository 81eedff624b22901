package delivery

import (
	"time"

	"go.uber.org/zap"

	"aka/router/deststate"
)

const (
	// growthInterval is how often the backlog is noted, growthSamples how many notes are kept: the backlog grows while it is
	// larger than at the oldest of them.
	growthInterval = time.Minute
	growthSamples  = 5
)

// growth notices a backlog that grows while it is over the alarm. Calls that are parked have an alert of their own: their age
// does not count, for one that fails alone says nothing of the destination.
type growth struct {
	p       *Pipeline
	samples []uint64 // the backlog at each interval, oldest first
	filling bool
}

// sample notes the backlog, and does so again after the interval. While nothing is sent the backlog grows for another reason,
// and is not noted.
func (g *growth) sample() {
	now := time.Now()
	g.p.timers.add(now.Add(growthInterval), g.sample)
	if g.p.paused.Load() || g.p.health.state != deststate.OK {
		g.samples, g.filling = nil, false
		return
	}
	backlog := g.p.Backlog()
	g.set(len(g.samples) > 0 && backlog > g.samples[0] && g.overAlarm(now), backlog)
	if len(g.samples) == growthSamples {
		g.samples = append(g.samples[:0], g.samples[1:]...)
	}
	g.samples = append(g.samples, backlog)
}

// overAlarm reports whether the oldest call that is not parked has waited for longer than the alarm.
func (g *growth) overAlarm(now time.Time) bool {
	alarm, oldest := g.p.config.Options.BacklogAlarm, g.p.window.oldest
	return alarm > 0 && oldest != nil && now.Sub(oldest.entry.ReceivedAt) > alarm
}

func (g *growth) set(filling bool, backlog uint64) {
	if filling == g.filling {
		return
	}
	g.filling = filling
	if filling {
		g.p.log.Warn("backlog grows and is over its alarm", zap.Uint64("backlog", backlog),
			zap.String("hint", "raise delivery.rate or a fixed delivery.concurrency, or ask the vendor for a higher limit"))
	} else {
		g.p.log.Info("backlog no longer grows over its alarm", zap.Uint64("backlog", backlog))
	}
	g.p.showState()
}
