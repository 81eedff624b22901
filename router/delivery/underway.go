package delivery

import (
	"context"
	"time"

	"aka/destinations/adapter"
	"aka/router/journal"
	"aka/router/merges"
)

// underWay are the merges that are being sent, or are about to be. The rules can count a person's ids and users only when nothing
// is being added to him, and other ids of one person share no order. So no merge of a person is judged while another is under way.
//
// This holds over a crash, too: the vendor may have a merge that is not remembered. Before such a merge is sent, a note of it is
// saved in the memory. After a crash the merges of the notes are sent again, and others of the same people are judged after them.
type underWay struct {
	p *Pipeline
	// all are the merges under way, and joining the people that they are about to join.
	all     map[*merging]struct{}
	joining map[[16]byte]*merging
	// unsure are those of the run before, by their places in the log, until their calls come.
	unsure map[journal.Position]*merging
}

// merging is a merge under way.
type merging struct {
	job     *job // nil while its call was not read
	ids     merges.UnderWay
	people  [2][16]byte
	waiting []*job // those that are looked at again when it has ended
	// isNoted: the note is on disk, or will be with the changes of the number noted; 0 is on disk.
	isNoted bool
	noted   uint64
	// isThere: its call was read, or is on disk.
	isThere bool
}

func newUnderWay(p *Pipeline) underWay {
	return underWay{p: p, all: map[*merging]struct{}{}, joining: map[[16]byte]*merging{}, unsure: map[journal.Position]*merging{}}
}

// load takes up the merges that the run before may have sent.
func (u *underWay) load(ctx context.Context) error {
	memory := u.p.merges.kept()
	if memory == nil {
		return nil
	}
	found, err := memory.UnderWay(ctx)
	if err != nil || u.p.merges.memory == nil {
		return err
	}
	for _, ids := range found {
		m := &merging{ids: ids, isNoted: true}
		u.unsure[ids.At] = m
		u.add(m)
	}
	return nil
}

func (u *underWay) add(m *merging) {
	u.all[m] = struct{}{}
	m.people = u.p.merges.memory.PeopleOf(m.ids)
	for _, person := range m.people {
		u.joining[person] = m
	}
}

// nameAnew is called when people were joined by something else than a call.
func (u *underWay) nameAnew() {
	clear(u.joining)
	for m := range u.all {
		u.add(m)
	}
}

// delays reports whether a merge under way may change what the rules say of a call. The call is looked at again when that has ended.
func (u *underWay) delays(j *job) bool {
	for _, person := range u.peopleOf(j) {
		if first := u.joining[person]; first != nil {
			j.detach()
			u.p.transition(j, waitingForIDs)
			first.waiting = append(first.waiting, j)
			return true
		}
	}
	return false
}

// peopleOf returns the two people that a call joins; nil where it joins none, or nothing is remembered of people.
func (u *underWay) peopleOf(j *job) [][16]byte {
	memory := u.p.merges.memory
	if memory == nil || j.names == nil || memory.IsSame(j.names.from, j.names.to) {
		return nil
	}
	return [][16]byte{memory.PersonOf(j.names.from), memory.PersonOf(j.names.to)}
}

// begin notes that a merge is under way.
func (u *underWay) begin(j *job) {
	if u.peopleOf(j) == nil || j.merge == nil {
		return
	}
	m := &merging{job: j, ids: u.p.merges.memory.At(j.pos, j.merge)}
	if u.needsNote(j) {
		m.noted, m.isNoted = u.p.merges.memory.Begins(m.ids), true
	}
	j.merging = m
	u.add(m)
}

// needsNote reports whether a crash could have another merge of the same people judged before this one. It needs another id of
// theirs: calls that share an id keep their order.
func (u *underWay) needsNote(j *job) bool {
	if !u.p.config.Merges.Rules.CountPeople() {
		return false
	}
	memory := u.p.merges.memory
	return u.p.order.strictness() == adapter.OrderNone || memory.Person(j.names.from).IDs > 1 || memory.Person(j.names.to).IDs > 1
}

// isNoted reports whether a merge that is under way may be sent. Else it is looked at again after the next save.
func (u *underWay) isNoted(j *job, now time.Time) bool {
	if j.merging == nil || u.p.merges.isWritten(j.merging.noted) {
		return true
	}
	u.p.transition(j, waitingForSave)
	u.p.checkpoint.await(j, now)
	return false
}

// resumes reports whether the run before may have sent a call's merge. It is under way again then.
func (u *underWay) resumes(j *job) bool {
	m := u.unsure[j.pos]
	if m == nil {
		return false
	}
	delete(u.unsure, j.pos)
	m.job, j.merging, j.possiblyDelivered = j, m, true
	u.add(m)
	return true
}

// isStored notes that a call waits on disk.
func (u *underWay) isStored(pos journal.Position) {
	if m := u.unsure[pos]; m != nil {
		m.isThere = true
		u.unblock(m)
	}
}

// isBegun reports whether a call's merge is noted as under way: the rules have let it pass.
func (u *underWay) isBegun(j *job) bool { return j.merging != nil || u.unsure[j.pos] != nil }

// isThere notes that a call was read.
func (u *underWay) isThere(pos journal.Position) {
	if m := u.unsure[pos]; m != nil {
		m.isThere = true
	}
}

// ended notes that a merge has ended, or waits on disk: those that wait for it go on.
func (u *underWay) ended(j *job) {
	if j.merging != nil {
		u.remove(j.merging)
		j.merging = nil
	} else if m := u.unsure[j.pos]; m != nil {
		u.unblock(m)
	}
}

// gone notes that a call has ended, maybe without its turn.
func (u *underWay) gone(pos journal.Position) {
	if m := u.unsure[pos]; m != nil {
		delete(u.unsure, pos)
		u.remove(m)
	}
}

func (u *underWay) remove(m *merging) {
	u.unblock(m)
	if m.isNoted {
		u.p.merges.memory.Ends(m.ids.At)
	}
}

// unblock gives those their turn that wait for a merge. One of the run before waits on disk, maybe behind one of them: it is under way
// again when it has its turn.
func (u *underWay) unblock(m *merging) {
	delete(u.all, m)
	for _, person := range m.people {
		if u.joining[person] == m {
			delete(u.joining, person)
		}
	}
	u.p.order.turns = append(u.p.order.turns, m.waiting...)
	m.waiting = nil
}

// forgetLost ends the merges of the run before whose calls are lost: the log is read past them, and they never came.
func (u *underWay) forgetLost() {
	floor := u.p.checkpoint.progress.Floor()
	for pos, m := range u.unsure {
		if pos.Seq < floor && !m.isThere {
			u.gone(pos)
		}
	}
}

// stop takes back the notes of merges that the vendor has not got. They meet the rules again after the restart.
func (u *underWay) stop() {
	for m := range u.all {
		if j := m.job; j != nil && m.isNoted && j.state != inFlight && !j.isPossiblyDelivered() {
			u.p.merges.memory.Ends(m.ids.At)
		}
	}
}
