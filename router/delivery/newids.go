package delivery

import (
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"aka/destinations/adapter"
	"aka/router/segment"
)

// lostLogInterval is the least time between two log lines about new ids that may be lost.
const lostLogInterval = 10 * time.Minute

// newIDs notes the repaired aliases that may hide a new id: the device was the user's already, or nothing here knows whether it
// was. Then the page's code may have named another id, which the SDK has not sent.
type newIDs struct {
	p   *Pipeline
	log rate.Sometimes
}

// translated notes whether links are known here at all, once the call is translated.
func (n *newIDs) translated(j *job, call *segment.Call) {
	j.newIDLost = call.MayHideNewID() && (j.outcome.Dropped != "" || !n.p.config.Destination.LearnsLinks(call))
}

// judged notes what the memory says when the alias's turn has come: reason is why it refuses the alias, or "".
func (n *newIDs) judged(j *job, reason adapter.Reason) {
	if j.entry.MayHideNewID() && (reason == adapter.AlreadyMerged || n.p.merges.isPartial()) {
		j.newIDLost = true
	}
}

// ended counts and logs a call that has ended, where it may hide a new id.
func (n *newIDs) ended(j *job) {
	if !j.newIDLost {
		return
	}
	n.p.metrics.newIDsLost.Inc()
	n.log.Do(func() {
		n.p.log.Warn("browser alias may have lost its new id", zap.String("source", j.entry.Source), zap.String("message_id", j.entry.MessageID),
			zap.String("hint", "load aka.js in the page, see docs/sdks.md"))
	})
}
