package ingress

import (
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// useless are the reasons of the guard: every destination drops such a call, whatever its settings are.
var useless = []adapter.Reason{
	adapter.MissingUserID, adapter.MissingPreviousID, adapter.SameIDs, adapter.BlockedID, adapter.IDTooLong,
}

// guard is the check of ids that stands before every destination, without what the settings of one add to it.
var guard = adapter.NewGuard(nil)

// warningCodes lists every code of a warning.
func warningCodes() []string {
	codes := slices.Clone(segment.WarningCodes)
	for _, reason := range useless {
		codes = append(codes, string(reason))
	}
	return codes
}

// addUseless warns of each call that every destination drops: an alias without one of its ids, or an id such as "null".
func addUseless(result *segment.Result) {
	for i := range result.Messages {
		if reason := guard.Check(&result.Messages[i].Header); reason != "" {
			result.Warnings = append(result.Warnings, segment.Warning{
				Index: result.IndexOf(i), Code: string(reason), Message: "dropped by every destination: " + reason.Explain(),
			})
		}
	}
}

// logEvery is how often one line of the log may say the same of a source.
const logEvery = 10 * time.Minute

// occasion counts something that happens often, and is to be logged now and then.
type occasion struct {
	now   func() time.Time // nil for time.Now
	count atomic.Int64
	next  atomic.Int64 // when it may be logged again, as Unix nanoseconds
}

// add counts n. When it is time for a line, it returns how many there were since the line before.
func (o *occasion) add(n int64) (since int64, isDue bool) {
	now := time.Now
	if o.now != nil {
		now = o.now
	}
	o.count.Add(n)
	moment, next := now().UnixNano(), o.next.Load()
	if moment < next || !o.next.CompareAndSwap(next, moment+int64(logEvery)) {
		return 0, false
	}
	return o.count.Swap(0), true
}

// reportWarnings logs the warnings of accepted calls, each code of a source now and then.
func (s *Server) reportWarnings(from *source, warnings []segment.Warning) {
	for i := range warnings {
		w := &warnings[i]
		if count, isDue := from.counters.warned[w.Code].add(1); isDue {
			s.log.Warn("calls accepted with warnings", zap.String("source", from.name), zap.String("code", w.Code),
				zap.Int64("warnings", count), zap.String("hint", w.Message))
		}
	}
}

// unauthorized are the refusals that an app's operator can do something about, and does not see.
type unauthorized map[*refusal]*occasion

func newUnauthorized() unauthorized {
	return unauthorized{refusedMissingKey: {}, refusedUnknownKey: {}, refusedUnknownSettings: {}, refusedOrigin: {}}
}

// report logs a refusal for a write key or an origin, each code now and then. It never logs the key or the origin.
func (u unauthorized) report(log *zap.Logger, from *source, refused *refusal) {
	o := u[refused]
	if o == nil {
		return
	}
	if count, isDue := o.add(1); isDue {
		name := ""
		if from != nil {
			name = from.name
		}
		log.Warn("requests refused for write key or origin", zap.String("code", refused.code), zap.String("source", name),
			zap.Int64("requests", count), zap.String("hint", refused.message))
	}
}
