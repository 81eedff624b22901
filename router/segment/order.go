package segment

import "time"

// maxClockAge is how long before it was sent a call may have been made by its clock. An older time was set by the page's code,
// for something that happened before, or the SDK kept the call for long: it says nothing of the order in which calls were made.
const maxClockAge = time.Minute

// clock returns the time by which a device's call is ordered, in microseconds since 1970; 0 is none. sent is when the device sent
// it, by the same clock; where it did not say, the time of arrival is compared.
func (p *parser) clock(happened, sent time.Time) int64 {
	if sent.IsZero() {
		sent = p.ReceivedAt
	}
	if !p.Device || sent.Sub(happened) > maxClockAge {
		return 0
	}
	return happened.UnixMicro()
}

// OrderRequest prepares the calls of one request for being put in the order of their device: the call at i is held for window(i).
// Within a request the order stands: the clock of a call is at least that of the call before it. One without a clock has that of the
// call before it, and at the beginning that of the first that has one.
func OrderRequest(calls []Message, window func(i int) time.Duration) {
	clock := int64(0)
	for i := 0; i < len(calls) && clock == 0; i++ {
		clock = calls[i].Clock
	}
	for i := range calls {
		c := &calls[i]
		if c.Clock = max(c.Clock, clock); c.FromDevice && c.Clock != 0 {
			c.ReorderWindow = window(i).Truncate(time.Millisecond)
		}
		clock = c.Clock
	}
}
