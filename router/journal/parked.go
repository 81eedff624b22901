package journal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// Parked is a call that keeps failing at one destination while others pass. It is kept aside, so that it holds up neither
// the progress nor the purge.
type Parked struct {
	// ID names it in this journal; 0 until it is stored.
	ID          uint64   `json:"-"`
	Destination string   `json:"destination"`
	Position    Position `json:"position"`
	// Attempts and Failures count its tries so far; First is the time of the first, FailingSince of the first failure that
	// counts against it.
	Attempts     int       `json:"attempts"`
	Failures     int       `json:"failures"`
	First        time.Time `json:"first"`
	FailingSince time.Time `json:"failing_since"`
	// Ambiguous tells that the vendor may have acted on it.
	Ambiguous bool `json:"ambiguous"`
	// Dead is why it became a dead letter, for a call that waits for its operator and holds up those behind it. Letter is
	// that dead letter's id; it stays when the call is tried again.
	Dead   string `json:"dead,omitempty"`
	Letter uint64 `json:"letter,omitempty"`
	Entry  Entry  `json:"-"`
}

// Park stores a call aside and returns its id once it is safe on disk. To park a call again, as after a crash, gives the
// id that it has; but one that has become a dead letter meanwhile, or is tried again after that, gets a new and higher one.
func (j *Journal) Park(ctx context.Context, p *Parked) (id uint64, err error) {
	meta, err := json.Marshal(p)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	message := &nats.Msg{Subject: parkedTopic + p.Destination, Data: withMeta(meta, &p.Entry)}
	ack, err := j.store().js.PublishMsg(ctx, message, jetstream.WithMsgID(repeatID(p.Destination, p.Position, &p.Entry)+p.Dead+again(p.Letter)))
	if err != nil {
		return 0, fmt.Errorf("park a call of %s: %w", p.Destination, err)
	}
	return ack.Sequence, nil
}

// Unpark removes a parked call that has ended. One that is gone already is no error.
func (j *Journal) Unpark(ctx context.Context, id uint64) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := j.store().parked.DeleteMsg(ctx, id); err != nil && !isGone(err) {
		return fmt.Errorf("remove a parked call: %w", err)
	}
	return nil
}

// UnparkAt removes a destination's parked call by its position, where its id is not known.
func (j *Journal) UnparkAt(ctx context.Context, destination string, pos Position) error {
	var ids []uint64
	if err := j.Parked(ctx, destination, func(p *Parked) {
		if p.Position == pos {
			ids = append(ids, p.ID)
		}
	}); err != nil {
		return err
	}
	for _, id := range ids {
		if err := j.Unpark(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// Parked calls visit for a destination's parked calls, in the order in which they were parked. What cannot be read is counted,
// logged and passed over: one call must not keep a destination from all others. It stays on disk.
func (j *Journal) Parked(ctx context.Context, destination string, visit func(*Parked)) error {
	return j.store().each(ctx, j.store().parked, parkedTopic+destination, 1, func(id uint64, data []byte) (bool, error) {
		p := &Parked{}
		entry, err := readMeta(data, p)
		if err != nil {
			j.metrics.damaged.Inc()
			j.log.Error("journal: a parked call cannot be read and is lost: check the disk", zap.String("destination", destination), zap.Uint64("id", id), zap.Error(err))
			return true, nil
		}
		p.ID, p.Entry = id, entry
		visit(p)
		return true, nil
	})
}

// repeatID names what is kept of a call beside the log, so that a second time is recognized. The position alone would not
// do: after frames were lost from the log's end, others take their places.
func repeatID(destination string, pos Position, e *Entry) string {
	sum := sha256.Sum256([]byte(e.Source + "\x00" + e.MessageID))
	return destination + "@" + pos.String() + "@" + hex.EncodeToString(sum[:8])
}

// again tells what is stored anew after a dead letter of the same call from what was stored before.
func again(letter uint64) string {
	if letter == 0 {
		return ""
	}
	return "@" + strconv.FormatUint(letter, 10)
}

func isGone(err error) bool {
	return errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful)
}
