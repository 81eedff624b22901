package journal

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// deadDuplicates is how long a dead letter that is written twice, around a crash, is recognized.
const deadDuplicates = 10 * time.Minute

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
	// Position is the call's place in the log.
	Position Position `json:"-"`
	// Entry is the call itself.
	Entry Entry `json:"-"`
}

// ErrNoDeadLetter tells that there is no dead letter of that id.
var ErrNoDeadLetter = errors.New("no such dead letter")

// Bury stores a dead letter. It returns once that is safe on disk. A second burial of the same call by the same
// destination, as after a crash, is recognized and does nothing.
func (j *Journal) Bury(ctx context.Context, d *DeadLetter) error {
	meta, err := json.Marshal(d)
	if err != nil {
		return err
	}
	data := binary.AppendUvarint(nil, uint64(len(meta)))
	data = append(data, meta...)
	frame := appendRecord(beginFrame(nil, 0), &d.Entry)
	data = append(data, endFrame(frame)...)

	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	id := d.Destination + "@" + d.Position.String()
	if _, err := j.store.js.PublishMsg(ctx, &nats.Msg{Subject: deadTopic + d.Destination, Data: data}, jetstream.WithMsgID(id)); err != nil {
		return fmt.Errorf("bury a call of %s: %w", d.Destination, err)
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
	for next := after + 1; ; {
		stored, err := j.store.dead.GetMsg(ctx, next, jetstream.WithGetMsgSubject(filter))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the dead letters: %w", err)
		}
		d, err := decodeDeadLetter(stored.Sequence, stored.Data)
		if err != nil {
			return fmt.Errorf("read dead letter %d: %w", stored.Sequence, err)
		}
		if !visit(d) {
			return nil
		}
		next = stored.Sequence + 1
	}
}

// DeadLetter returns the one of that id, or ErrNoDeadLetter.
func (j *Journal) DeadLetter(ctx context.Context, id uint64) (*DeadLetter, error) {
	stored, err := j.store.dead.GetMsg(ctx, id)
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
	err := j.store.dead.DeleteMsg(ctx, id)
	if errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
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
	size, n := binary.Uvarint(data)
	if n <= 0 || size > uint64(len(data)-n) {
		return nil, fmt.Errorf("%w: dead letter", ErrDamaged)
	}
	d := &DeadLetter{}
	if err := json.Unmarshal(data[n:n+int(size)], d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	frame, err := decodeFrame(0, data[n+int(size):])
	if err != nil {
		return nil, err
	}
	if len(frame.Entries) != 1 {
		return nil, fmt.Errorf("%w: %s calls in a dead letter", ErrDamaged, strconv.Itoa(len(frame.Entries)))
	}
	d.ID, d.Entry = id, frame.Entries[0]
	return d, nil
}
