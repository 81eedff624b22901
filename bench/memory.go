package main

import "time"

// memoryRounds is how often those with a memory of merges and those without take turns.
const memoryRounds = 4

// memoryBesideNone measures what the memory of merges costs: the same calls to three destinations that remember merges, and to three
// that do not, in turns.
func memoryBesideNone(workload string) func(*bench) {
	return func(b *bench) {
		off := newRemembering(b, workload, "remember_merges: false,")
		on := newRemembering(b, workload, "")
		for round := range memoryRounds {
			order := []*remembering{off, on}
			if round%2 == 1 {
				order = []*remembering{on, off}
			}
			for _, m := range order {
				m.turn(workload)
			}
		}
		row := Memory{Name: workload, Deliveries: on.deliveries, On: on.rate(), Off: off.rate(), Ratio: on.rate() / off.rate()}
		row.OnCPU, row.OffCPU = per100k(on.used, on.deliveries), per100k(off.used, off.deliveries)
		row.OnRSS, row.OffRSS = on.memory().Now>>20, off.memory().Now>>20
		b.report.Memory = append(b.report.Memory, row)
		for _, m := range []*remembering{off, on} {
			m.verify(m.People.Load())
			m.Stop()
		}
	}
}

// remembering is a world with or without a memory of merges, and what was measured of it.
type remembering struct {
	*world
	deliveries, behind int
	drain, used        time.Duration
}

func newRemembering(b *bench, workload, destination string) *remembering {
	return &remembering{world: startWorld(b, setup{destinations: 3, workload: workload, destination: destination})}
}

// turn delivers a share of the calls.
func (m *remembering) turn(workload string) {
	w := workloads[workload]("")
	t := w.Batches(m.base, batchCalls/w.Steps())
	each := len(m.Destinations)
	calls := max(m.b.deliveries/memoryRounds/each/batchCalls, 1) * batchCalls
	var f flood
	m.profiled("memory "+workload+" "+m.setup.destination, func() { f = m.flood(t, calls, m.deliveries+calls*each) })
	m.deliveries += calls * each
	m.behind += f.behind
	m.drain += f.drain
	m.used += f.aka
}

// rate is the deliveries a second once all calls of a turn were accepted.
func (m *remembering) rate() float64 { return float64(m.behind) / m.drain.Seconds() }
