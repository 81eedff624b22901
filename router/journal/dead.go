package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
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
	// Attempts counts the exchanges; Status is the last answer's, 0 when there was none.
	Attempts int `json:"attempts"`
	Status   int `json:"status,omitempty"`
	// First and Last are the times of the first and last attempt.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Earlier is the id of the dead letter that the same call was before, when it was tried again in its place and died
	// again; 0 when there was none.
	Earlier uint64 `json:"earlier,omitempty"`
	// Position is the call's place in the log.
	Position Position `json:"-"`
	// Entry is the call itself.
	Entry Entry `json:"-"`
}

// ErrNoDeadLetter tells that there is no dead letter of that id.
var ErrNoDeadLetter = errors.New("no such dead letter")

// Bury stores dead letters, in order, and returns once all are safe on disk, with their ids. When it fails, some may be. A second burial of
// the same call by the same destination, as after a failure or a crash, is recognized and does nothing.
func (j *Journal) Bury(ctx context.Context, letters []*DeadLetter) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	acks := make([]jetstream.PubAckFuture, len(letters))
	for i, d := range letters {
		meta, err := json.Marshal(d)
		if err != nil {
			return err
		}
		message := &nats.Msg{Subject: deadTopic + d.Destination, Data: withMeta(meta, &d.Entry)}
		acks[i], err = j.store().js.PublishMsgAsync(message, jetstream.WithMsgID(repeatID(d.Destination, d.Position, &d.Entry)+again(d.Earlier)))
		if err != nil {
			return fmt.Errorf("bury a call of %s: %w", d.Destination, err)
		}
	}
	for i, ack := range acks {
		select {
		case stored := <-ack.Ok():
			letters[i].ID = stored.Sequence
		case err := <-ack.Err():
			return fmt.Errorf("bury a call of %s: %w", letters[i].Destination, err)
		case <-ctx.Done():
			return fmt.Errorf("bury a call of %s: %w", letters[i].Destination, ctx.Err())
		}
	}
	return nil
}

// DeadLetters calls visit for the dead letters after the id, oldest first, of one destination or, when that is "", of
// all, until visit returns false.
func (j *Journal) DeadLetters(ctx context.Context, destination string, after uint64, visit func(*DeadLetter) bool) error {
	filter := deadTopic + ">"
	if destination != "" {
		filter = deadTopic + destination
	}
	return j.store().each(ctx, j.store().dead, filter, after+1, func(id uint64, data []byte) (bool, error) {
		d, err := decodeDeadLetter(id, data)
		if err != nil {
			return false, fmt.Errorf("read dead letter %d: %w", id, err)
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
	err := j.store().dead.DeleteMsg(ctx, id)
	if isGone(err) {
		return ErrNoDeadLetter
	}
	if err != nil {
		return fmt.Errorf("discard dead letter %d: %w", id, err)
	}
	return nil
}

// Replay appends a dead letter's call to the log again, for its destination only, with its messageId, and then removes the
// dead letter. A crash in between leaves both: delivery is at least once.
func (j *Journal) Replay(ctx context.Context, id uint64) error {
	d, err := j.DeadLetter(ctx, id)
	if err != nil {
		return err
	}
	d.Entry.Target = d.Destination
	if _, err := j.Append(ctx, []Entry{d.Entry}); err != nil {
		return err
	}
	return j.Discard(ctx, id)
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
