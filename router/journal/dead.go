package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"aka/router/segment"
)

// DeadLetter is a call that a destination has given up on.
type DeadLetter struct {
	// ID names the dead letter in this journal; 0 until it is stored.
	ID          uint64 `json:"id"`
	Destination string `json:"destination"`
	// Reason is one of the closed set of reasons.
	Reason string `json:"reason"`
	// Detail is what the vendor or the adapter said, bounded and with secrets masked.
	Detail string `json:"detail,omitempty"`
	// Attempts counts the exchanges; Status is the last answer's, 0 when there was none. Once stored, attempts from before
	// a replay count too.
	Attempts int `json:"attempts"`
	Status   int `json:"status,omitempty"`
	// First and Last are the times of the first and last attempt. Once stored, First is that of the first one ever.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Earlier is the id of the dead letter that the same call was before, when it was tried again in its place and died
	// again; 0 when there was none.
	Earlier uint64 `json:"earlier,omitempty"`
	// Position is the call's place in the log.
	Position Position `json:"position"`
	// Entry is the call itself.
	Entry Entry `json:"-"`
}

// Accepted is the place in the log where the call was accepted, before any replay.
func (d *DeadLetter) Accepted() Position {
	if d.Entry.Replayed != nil {
		return d.Entry.Replayed.Position
	}
	return d.Position
}

// Replays counts how often the call was replayed before it died this time.
func (d *DeadLetter) Replays() int {
	if d.Entry.Replayed != nil {
		return d.Entry.Replayed.Times
	}
	return 0
}

// ErrNoDeadLetter tells that there is no dead letter of that id.
var ErrNoDeadLetter = errors.New("no such dead letter")

// ErrRemoved tells that a dead letter's destination is not configured any more: nobody would take the call.
var ErrRemoved = errors.New("the destination is not configured any more")

// Bury stores dead letters, in order, and returns once all are safe on disk, with their ids. When it fails, some may be. A
// second burial of the same call by the same destination, as after a failure or a crash, is recognized and does nothing.
// Where there is no room, the oldest go of the destination that has the most.
func (j *Journal) Bury(ctx context.Context, letters []*DeadLetter) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	for len(letters) > 0 {
		run, messages, size, err := j.nextRun(letters)
		if err != nil {
			return err
		}
		if err := j.graves.makeRoom(ctx, size); err != nil {
			return err
		}
		err = j.buryRun(ctx, run, messages)
		j.graves.madeUse(size)
		if err != nil {
			return err
		}
		letters = letters[len(run):]
	}
	return nil
}

// runShare is the part of max_bytes that is written before there is room made again.
const runShare = 8

// nextRun encodes as many dead letters as are to be stored at once, at least one.
func (j *Journal) nextRun(letters []*DeadLetter) (run []*DeadLetter, messages []*nats.Msg, size int, err error) {
	for i, d := range letters {
		meta, err := json.Marshal(d.withHistory())
		if err != nil {
			return nil, nil, 0, err
		}
		m := nats.NewMsg(d.subject())
		m.Data = withMeta(meta, &d.Entry)
		id := repeatID(d.Destination, d.Position, &d.Entry) + again(d.Earlier)
		m.Header.Set(jetstream.MsgIDHeader, id)
		next := messageSize(m.Subject, id, m.Data)
		if i > 0 && size+next > int(j.options.DeadLetters.MaxBytes)/runShare {
			break
		}
		run, messages, size = letters[:i+1], append(messages, m), size+next
	}
	return run, messages, size, nil
}

func (j *Journal) buryRun(ctx context.Context, run []*DeadLetter, messages []*nats.Msg) (err error) {
	acks := make([]jetstream.PubAckFuture, len(run))
	for i, d := range run {
		if acks[i], err = j.store().js.PublishMsgAsync(messages[i]); err != nil {
			return fmt.Errorf("bury a call of %s: %w", d.Destination, err)
		}
	}
	for i, ack := range acks {
		select {
		case stored := <-ack.Ok():
			run[i].ID = stored.Sequence
		case err := <-ack.Err():
			return fmt.Errorf("bury a call of %s: %w", run[i].Destination, err)
		case <-ctx.Done():
			return fmt.Errorf("bury a call of %s: %w", run[i].Destination, ctx.Err())
		}
	}
	return nil
}

// withHistory adds what the call went through before it was replayed.
func (d DeadLetter) withHistory() DeadLetter {
	if before := d.Entry.Replayed; before != nil {
		d.Attempts += before.Attempts
		d.First = before.First
	}
	return d
}

// subject is where a dead letter is stored. It says what the store can choose by without reading the message.
func (d *DeadLetter) subject() string {
	f := DeadFilter{d.Destination, d.Reason, d.Entry.Type, d.Entry.Source}
	return f.subject()
}

// DeadFilter chooses dead letters. "" and 0 are any.
type DeadFilter struct {
	Destination, Reason string
	Type                segment.Type
	Source              string
}

func (f *DeadFilter) subject() string {
	if *f == (DeadFilter{}) {
		return deadTopic + ">"
	}
	return deadTopic + token(f.Destination) + "." + token(f.Reason) + "." + token(f.Type.String()) + "." + token(f.Source)
}

// deadFilterOf reads back what subject wrote.
func deadFilterOf(subject string) (f DeadFilter) {
	parts := strings.Split(strings.TrimPrefix(subject, deadTopic), ".")
	for i, into := range [...]*string{&f.Destination, &f.Reason, nil, &f.Source} {
		if into != nil && i < len(parts) {
			*into = parts[i]
		}
	}
	if len(parts) > 2 {
		f.Type, _ = segment.ParseType(parts[2])
	}
	return f
}

// token makes one part of a subject. The names of destinations and sources are fit for it as they are.
func token(text string) string {
	if text == "" {
		return "*"
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || strings.ContainsRune(".*>", r) {
			return '_'
		}
		return r
	}, text)
}

// DeadLetters calls visit for the dead letters after the id that match, oldest first, until visit returns false. What the
// filter leaves out costs next to nothing, a visit some ten microseconds. What cannot be read is logged and passed over; it can
// be discarded.
func (j *Journal) DeadLetters(ctx context.Context, filter DeadFilter, after uint64, visit func(*DeadLetter) bool) error {
	return j.store().each(ctx, j.store().dead, filter.subject(), after+1, func(id uint64, data []byte) (bool, error) {
		d, err := decodeDeadLetter(id, data)
		if err != nil {
			j.log.Error("journal: a dead letter cannot be read: discard it by its id, and check the disk", zap.Uint64("id", id), zap.Error(err))
			return true, nil
		}
		return visit(d), nil
	})
}

// DeadLetter returns the one of that id, or ErrNoDeadLetter.
func (j *Journal) DeadLetter(ctx context.Context, id uint64) (*DeadLetter, error) {
	stored, err := j.store().dead.GetMsg(ctx, id)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, ErrNoDeadLetter
	}
	if err != nil {
		return nil, fmt.Errorf("read dead letter %d: %w", id, err)
	}
	return decodeDeadLetter(id, stored.Data)
}

// Discard removes a dead letter for good, or returns ErrNoDeadLetter.
func (j *Journal) Discard(ctx context.Context, id uint64) error {
	err := j.graves.remove(ctx, id)
	if isGone(err) {
		return ErrNoDeadLetter
	}
	if err != nil {
		return fmt.Errorf("discard dead letter %d: %w", id, err)
	}
	return nil
}

// Replay appends a dead letter's call to the log again, for its destination only, with its messageId, and then removes the
// dead letter. A crash in between leaves both. To replay it again then, within the dedupe window, only removes it; later
// than that the call goes twice: delivery is at least once.
func (j *Journal) Replay(ctx context.Context, id uint64) error {
	d, err := j.DeadLetter(ctx, id)
	if err != nil {
		return err
	}
	j.meant.RLock()
	defer j.meant.RUnlock()
	if j.isRemoved(d.Destination) {
		return fmt.Errorf("%w: %s", ErrRemoved, d.Destination)
	}
	e := d.Entry
	e.Target = d.Destination
	e.Replayed = &Replayed{Letter: id, Position: d.Accepted(), Times: d.Replays() + 1, Attempts: d.Attempts, First: d.First}
	again, err := j.Append(ctx, []Entry{e})
	if err != nil {
		return err
	}
	err = j.Discard(ctx, id)
	if errors.Is(err, ErrNoDeadLetter) && again == 0 {
		return nil // its time was up just now
	}
	return err
}

func decodeDeadLetter(id uint64, data []byte) (*DeadLetter, error) {
	d := &DeadLetter{}
	entry, err := readMeta(data, d)
	if err != nil {
		return nil, err
	}
	d.ID, d.Entry = id, entry
	return d, nil
}
