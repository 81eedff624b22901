package main

import "fmt"

// The goals of single scenarios. The short form has none of them.
const (
	// ofEmptyAt256 and ofEmptyAt32 are the least shares of the empty handler's requests, over so many connections.
	ofEmptyAt256 = .6
	ofEmptyAt32  = .35
	// overSync is how many milliseconds a call over one connection takes beyond one write and fsync, at most.
	overSync = .15
	// bareGoal is the most that a delivery takes of the processors' time, by the bare client's.
	bareGoal = 1.5
	// behindGoal is the most MiB with goalCalls behind, and idleGoal those of an aka that has nothing.
	behindGoal = 150
	idleGoal   = 30
	goalCalls  = 1_000_000
)

// goal is a goal, or 0 for none in the short form.
func (b *bench) goal(of float64) float64 {
	if b.Short {
		return 0
	}
	return of
}

// goalBehind is the goal of the memory with so many calls behind. More than those of the goal have none.
func (b *bench) goalBehind(calls int) float64 {
	if calls > goalCalls {
		return 0
	}
	return b.goal(behindGoal)
}

// misses are the goals of a row that were not reached.
type misses struct {
	row string
	all []string
}

// miss names a goal where it was missed. The format shows the figure and the goal.
func (m *misses) miss(is bool, format string, figure, goal float64) {
	if is {
		m.all = append(m.all, fmt.Sprintf("%s: "+format, m.row, figure, goal))
	}
}

// atLeast and atMost compare a figure with its goal, where there is one.
func (m *misses) atLeast(format string, figure, goal float64) {
	m.miss(goal > 0 && figure < goal, format, figure, goal)
}

func (m *misses) atMost(format string, figure, goal float64) {
	m.miss(goal > 0 && figure > goal, format, figure, goal)
}

// missed are the goals of all rows that were not reached.
func (r *Report) missed() (all []string) {
	all = missedIn(all, r.Accept, (*Accept).missed)
	all = missedIn(all, r.Deliver, (*Deliver).missed)
	all = missedIn(all, r.TLS, (*TLS).missed)
	all = missedIn(all, r.Latency, (*Latency).missed)
	all = missedIn(all, r.Backlog, (*Backlog).missed)
	all = missedIn(all, r.Blocked, (*Blocked).missed)
	all = missedIn(all, r.Facts, (*Facts).missed)
	all = missedIn(all, r.Commands, (*Command).missed)
	return missedIn(all, r.Preflights, (*Preflight).missed)
}

func missedIn[Row any](all []string, rows []Row, missed func(*Row) []string) []string {
	for i := range rows {
		all = append(all, missed(&rows[i])...)
	}
	return all
}
