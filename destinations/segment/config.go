package segment

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"aka/destinations/adapter"
)

// Flavor is what answers at the upstream.
type Flavor string

// The flavors.
const (
	FlavorSegment     Flavor = "segment"
	FlavorRudderStack Flavor = "rudderstack"
	FlavorJitsu       Flavor = "jitsu"
	FlavorCustomerIO  Flavor = "customerio"
	FlavorAka         Flavor = "aka"
)

// bases are the hosts of Segment (https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/,
// https://segment.com/docs/guides/regional-segment/) and of Customer.io (https://docs.customer.io/integrations/api/cdp/), by region.
var bases = map[Flavor]map[string]string{
	FlavorSegment:    {"us": "https://api.segment.io/v1", "eu": "https://events.eu1.segmentapis.com/v1"},
	FlavorCustomerIO: {"us": "https://cdp.customer.io/v1", "eu": "https://cdp-eu.customer.io/v1"},
}

// IntegrationsMode is what becomes of a call's integrations.
type IntegrationsMode string

// The modes.
const (
	KeepIntegrations IntegrationsMode = "keep"
	DropIntegrations IntegrationsMode = "drop"
)

// MessageIDMode is which messageId the upstream gets.
type MessageIDMode string

// The modes.
const (
	KeepMessageID MessageIDMode = "keep"
	NewMessageID  MessageIDMode = "new"
)

// SentAtMode is whether the upstream gets a sentAt.
type SentAtMode string

// The modes.
const (
	NoSentAt      SentAtMode = "none"
	SentAtAttempt SentAtMode = "attempt"
)

// maxCallBytes is 32 KB, in the smaller of the two meanings: what is larger is thrown away with a 200.
const maxCallBytes = 32_000

// Config is the `settings` section of a Segment destination. The default of endpoint is the region's. The flavors rudderstack, jitsu
// and aka need an endpoint, with its /v1. The default of settle is 0s.
type Config struct {
	adapter.Common `yaml:",inline"`
	// WriteKey is the write key of the upstream's source. Required.
	WriteKey adapter.Secret `yaml:"write_key"`
	// Flavor is what answers there: segment, rudderstack, jitsu, customerio (Customer.io Pipelines) or aka. Default segment.
	Flavor Flavor `yaml:"flavor"`
	// Region is where the workspace is, with the flavors segment and customerio: us or eu. **Warning:** Segment answers success
	// to calls for an EU workspace that reach the US host, and throws them away. Default us.
	Region string `yaml:"region" words:"us eu"`
	// Integrations says whether the upstream gets the call's `integrations`: keep or drop. The names of this destination are never
	// in them. Default keep.
	Integrations IntegrationsMode `yaml:"integrations"`
	// MessageID is which messageId the upstream gets: keep, or new. Segment throws away a messageId that it had in the last day,
	// whatever the source. If the calls went through another source of the same workspace before, use new. Default keep.
	MessageID MessageIDMode `yaml:"message_id"`
	// SentAt says whether a batch has the time of the attempt as its sentAt: none or attempt. A call's time is corrected for the
	// sender's clock already. If the upstream moves the times of calls without a sentAt, use attempt. Default none.
	SentAt SentAtMode `yaml:"sent_at"`
	// Instance is the name of this aka in a call's context.aka.via. Default: the config's `instance`.
	Instance string `yaml:"instance"`
	// Gzip says whether bodies are compressed. With the flavor customerio they are not, unless you say so. Default true.
	Gzip *bool `yaml:"gzip"`
	// MaxCallBytes is the largest call that is sent. A larger one becomes a dead letter. 0 is no limit, and so is none with the
	// flavors jitsu and aka. Default 32000.
	MaxCallBytes *int `yaml:"max_call_bytes"`
}

// New builds the adapter. Its error lists every mistake in the settings.
func New(settings adapter.Settings) (adapter.Adapter, error) {
	config := &Config{
		Flavor:       FlavorSegment,
		Region:       "us",
		Integrations: KeepIntegrations,
		MessageID:    KeepMessageID,
		SentAt:       NoSentAt,
	}
	decoded := settings.Decode(config)
	config.fill()
	base, err := config.base()
	if err := errors.Join(decoded, config.check(), err); err != nil {
		return nil, err
	}
	return newTranslator(*config, base, adapter.EnvironmentOf(settings)), nil
}

var flavors = []string{string(FlavorSegment), string(FlavorRudderStack), string(FlavorJitsu), string(FlavorCustomerIO), string(FlavorAka)}

func (c *Config) check() error {
	problems := []error{
		adapter.OneOf("flavor", string(c.Flavor), flavors...),
		adapter.OneOf("region", c.Region, "us", "eu"),
		adapter.OneOf("integrations", string(c.Integrations), string(KeepIntegrations), string(DropIntegrations)),
		adapter.OneOf("message_id", string(c.MessageID), string(KeepMessageID), string(NewMessageID)),
		adapter.OneOf("sent_at", string(c.SentAt), string(NoSentAt), string(SentAtAttempt)),
	}
	switch {
	case !c.WriteKey.IsSet():
		problems = append(problems, adapter.Required("write_key"))
	case strings.Contains(c.WriteKey.Reveal(), ":") && c.Flavor != FlavorJitsu: // whose keys are id:secret
		problems = append(problems, adapter.Invalid("write_key", "must not hold a colon"))
	}
	if c.Region == "eu" && c.hasNoHost() {
		problems = append(problems, adapter.Invalid("region", "the flavor %s has none: its endpoint says where it is", c.Flavor))
	}
	if c.Instance != "" {
		problems = append(problems, adapter.CheckInstance("instance", c.Instance))
	}
	if *c.MaxCallBytes < 0 {
		problems = append(problems, adapter.Invalid("max_call_bytes", "0 or more, not %d", *c.MaxCallBytes))
	}
	return errors.Join(problems...)
}

// hasNoHost reports whether the flavor has no host that is the same for all.
func (c *Config) hasNoHost() bool {
	return slices.Contains(flavors, string(c.Flavor)) && bases[c.Flavor] == nil
}

func (c *Config) base() (string, error) {
	if c.hasNoHost() && c.Endpoint == "" {
		return "", adapter.Invalid("endpoint", "is required for the flavor %s", c.Flavor)
	}
	example := bases[c.Flavor][c.Region]
	if example == "" {
		example = "https://data-plane.example.com/v1"
	}
	return c.BaseURL(example)
}

// fill gives the settings that the flavor decides their values.
func (c *Config) fill() {
	if c.Gzip == nil {
		c.Gzip = new(bool)
		*c.Gzip = c.Flavor != FlavorCustomerIO
	}
	if c.MaxCallBytes == nil {
		c.MaxCallBytes = new(int)
		if c.Flavor != FlavorJitsu && c.Flavor != FlavorAka {
			*c.MaxCallBytes = maxCallBytes
		}
	}
}

// basic is the credential: the key is the user, and the colon behind it is a part.
func basic(writeKey string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(writeKey+":"))
}
