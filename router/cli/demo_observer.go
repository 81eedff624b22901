package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"go.uber.org/zap/zapcore"
)

// ending is how a call ended at a destination, in the words of the router's log.
type ending struct{ outcome, reason string }

const (
	endedDelivered = "delivered"
	endedDropped   = "dropped"
	endedDead      = "dead"
)

// logObserver is a log that remembers how each call ended where, and what the log warned of.
type logObserver struct {
	zapcore.LevelEnabler
	fields []zapcore.Field
	seen   *observations
}

type observations struct {
	mu       sync.Mutex
	endings  map[string]map[string]ending // by messageId and destination
	warnings []string
	changed  chan struct{} // closed and replaced whenever a call has ended
}

func newLogObserver() logObserver {
	return logObserver{
		LevelEnabler: zapcore.DebugLevel,
		seen:         &observations{endings: map[string]map[string]ending{}, changed: make(chan struct{})},
	}
}

// With implements zapcore.Core.
func (w logObserver) With(fields []zapcore.Field) zapcore.Core {
	w.fields = append(w.fields[:len(w.fields):len(w.fields)], fields...)
	return w
}

// Check implements zapcore.Core.
func (w logObserver) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return checked.AddCore(entry, w)
}

// Sync implements zapcore.Core.
func (w logObserver) Sync() error { return nil }

// Write implements zapcore.Core. What has an outcome is the end of a call.
func (w logObserver) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	all := zapcore.NewMapObjectEncoder()
	for _, field := range append(w.fields[:len(w.fields):len(w.fields)], fields...) {
		field.AddTo(all)
	}
	text := func(name string) string { value, _ := all.Fields[name].(string); return value }
	w.seen.mu.Lock()
	defer w.seen.mu.Unlock()
	if outcome := text("outcome"); outcome != "" {
		w.seen.end(text("message_id"), text("destination"), ending{outcome, text("reason")})
	} else if entry.Level >= zapcore.WarnLevel && entry.Message != acceptedWithWarnings {
		w.seen.warnings = append(w.seen.warnings, fmt.Sprint(entry.Message, " ", all.Fields))
	}
	return nil
}

func (t *observations) end(messageID, destination string, e ending) {
	if t.endings[messageID] == nil {
		t.endings[messageID] = map[string]ending{}
	}
	t.endings[messageID][destination] = e
	close(t.changed)
	t.changed = make(chan struct{})
}

// wait returns how a call ended, by destination, once it has ended at so many.
func (w logObserver) wait(ctx context.Context, messageID string, destinations int) (map[string]ending, error) {
	for {
		endings, changed := w.endingsOf(messageID)
		if len(endings) == destinations {
			return endings, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return endings, fmt.Errorf("ended at %d of %d destinations: %w", len(endings), destinations, ctx.Err())
		}
	}
}

// endingsOf returns how the call has ended so far, and what tells that more is known.
func (w logObserver) endingsOf(messageID string) (map[string]ending, <-chan struct{}) {
	w.seen.mu.Lock()
	defer w.seen.mu.Unlock()
	return maps.Clone(w.seen.endings[messageID]), w.seen.changed
}

// warned returns what the log warned of.
func (w logObserver) warned() []string {
	w.seen.mu.Lock()
	defer w.seen.mu.Unlock()
	return slices.Clone(w.seen.warnings)
}

// acceptedWithWarnings is the message about calls that are dropped everywhere: the story has one.
const acceptedWithWarnings = "calls accepted with warnings"
