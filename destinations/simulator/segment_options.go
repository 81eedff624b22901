package simulator

import (
	"fmt"
	"slices"
	"strings"
)

// Segment is which upstream with Segment's HTTP API is simulated, and what it does where its pages are silent. The zero value is
// Segment itself and the likelier of each; a word that is left empty is the first of those named.
type Segment struct {
	// Flavor is whose API it is: "segment", "rudderstack", "jitsu", "customerio" (its Pipelines) or "aka".
	Flavor string
	// Region is where the workspace is, and Host the region of the host that the endpoint is: "us" or "eu". What a workspace of the EU
	// gets by the host of the US is thrown away with a 200. Of Segment and Customer.io only.
	Region, Host string

	// NoSentAt is what becomes of a time that comes without a sentAt: it is "kept", or it becomes "now".
	NoSentAt string
	// Gzip is whether a compressed body is "read" or "refused". Only Customer.io's pages do not say; the others read it.
	Gzip string
	// EmptyBatch with a wrong key is "unauthorized", or "invalid" before anybody looks at the key. Of RudderStack.
	EmptyBatch string
	// BatchContext is whether a context in an item of a batch is "kept" or "ignored" for the envelope's. Of Customer.io.
	BatchContext string
	// SentAt is whether a sentAt is "ignored" or "corrects" the time, as at Segment. Of Customer.io.
	SentAt string
	// LongMessageIDs is what becomes of a call whose messageId has 100 characters or more: it is "refused" without a word, or "taken".
	// Of Segment, whose page only says that they must be shorter.
	LongMessageIDs string
	// SourceOff has RudderStack answer 404, as for a source that is switched off.
	SourceOff bool
	// Deduplicates has RudderStack keep one call for each messageId, which is a setting there, and Customer.io, whose pages do not say.
	Deduplicates bool
	// Rate is how many requests a second are taken; the others get 429, with Retry-After and X-RateLimit-Reset. Default: 0, no limit.
	Rate int
}

// wordChoice is a setting of one word out of several. The first is the default.
type wordChoice struct {
	name  string
	value *string
	words []string
}

func (s *Segment) choices() []wordChoice {
	return []wordChoice{
		{"flavor", &s.Flavor, []string{"segment", "rudderstack", "jitsu", "customerio", "aka"}},
		{"region", &s.Region, []string{"us", "eu"}},
		{"no_sent_at", &s.NoSentAt, []string{"kept", "now"}},
		{"gzip", &s.Gzip, []string{"read", "refused"}},
		{"empty_batch", &s.EmptyBatch, []string{"unauthorized", "invalid"}},
		{"batch_context", &s.BatchContext, []string{"kept", "ignored"}},
		{"sent_at", &s.SentAt, []string{"ignored", "corrects"}},
		{"long_message_ids", &s.LongMessageIDs, []string{"refused", "taken"}},
	}
}

func (s Segment) withDefaults() Segment {
	for _, choice := range s.choices() {
		if *choice.value == "" {
			*choice.value = choice.words[0]
		}
	}
	if s.Host == "" {
		s.Host = s.Region
	}
	return s
}

func checkSegment(options Options) error {
	set := options.Segment.withDefaults()
	for _, choice := range append(set.choices(), wordChoice{"host", &set.Host, []string{"us", "eu"}}) {
		if !slices.Contains(choice.words, *choice.value) {
			return fmt.Errorf("%s %q is not one of %s", choice.name, *choice.value, strings.Join(choice.words, ", "))
		}
	}
	return nil
}

// segmentLimits are what an upstream takes at most, in bytes and in items; 0 is no limit.
type segmentLimits struct{ call, body, items int }

// limits are the pages': 32 KB a call, and 500 KB or 4 MB a batch. At an aka a call has 512 KiB by default.
func (s *Segment) limits() segmentLimits {
	switch s.Flavor {
	case "rudderstack":
		return segmentLimits{call: 32_000, body: 4_000_000}
	case "jitsu":
		return segmentLimits{}
	case "customerio":
		return segmentLimits{call: 32_000, body: 500_000}
	case "aka":
		return segmentLimits{call: 512 << 10}
	}
	return segmentLimits{call: 32_000, body: 500_000, items: 2500}
}

// deduplicates reports whether a second call with the messageId of one before is thrown away.
func (s *Segment) deduplicates() bool {
	switch s.Flavor {
	case "segment", "aka":
		return true
	case "rudderstack", "customerio":
		return s.Deduplicates
	}
	return false
}
