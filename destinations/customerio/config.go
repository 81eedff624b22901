package customerio

import (
	"encoding/base64"
	"errors"
	"regexp"
	"strings"
	"time"

	"aka/destinations/adapter"
)

// regions are the hosts of the Track API (https://docs.customer.io/integrations/api/track).
var regions = map[string]string{
	"us": "https://track.customer.io",
	"eu": "https://track-eu.customer.io",
}

// AliasMode is what an alias of two known ids becomes.
type AliasMode string

const (
	// AliasEnsureAndMerge makes sure that there is a person under the userId, waits merge_wait, and merges.
	AliasEnsureAndMerge AliasMode = "ensure_and_merge"
	// AliasMerge sends the merge alone. Without a person under the userId, Customer.io answers success and does nothing.
	AliasMerge AliasMode = "merge"
	// AliasOff drops every alias.
	AliasOff AliasMode = "off"
)

// Identifiers is how a workspace identifies people.
type Identifiers string

const (
	// IdentifyByBoth takes an id that looks like an e-mail address for an e-mail, and any other for an id.
	IdentifyByBoth Identifiers = "both"
	// IdentifyByID takes each id for an id, and an e-mail address is an attribute like others.
	IdentifyByID Identifiers = "id"
	// IdentifyByEmail takes each id for an e-mail.
	IdentifyByEmail Identifiers = "email"
)

// maxMergeWait is the longest merge_wait.
const maxMergeWait = time.Minute

// Config is the `settings` section of a Customer.io destination. The default of endpoint is the region's. The default of settle is
// 0s.
type Config struct {
	adapter.Common `yaml:",inline"`
	// SiteID is the workspace's site ID, from Settings > API Credentials > Track API Keys. Required.
	SiteID string `yaml:"site_id" example:"s1te"`
	// APIKey is the API key beside that site ID. Required.
	APIKey adapter.Secret `yaml:"api_key"`
	// AppAPIKey is a key of the App API, with which `aka verify` reads back what it sent. aka does not use it otherwise. Behind another
	// endpoint, the App API is asked there, too. Default: none.
	AppAPIKey adapter.Secret `yaml:"app_api_key"`
	// Region is where the account is: us or eu. Customer.io refuses the calls of a US account in the EU. It forwards those of an
	// EU account from the US, where they may be logged. Default us.
	Region string `yaml:"region" words:"us eu"`
	// Identifiers says how the workspace identifies people, as shown under Settings > Workspace Settings: both, id or email. An id
	// that begins with cio_ is always Customer.io's own id. Default both.
	Identifiers Identifiers `yaml:"identifiers"`
	// Alias is what an alias of two known ids becomes: ensure_and_merge, merge or off. With merge, send an identify of the userId
	// before every alias. Default ensure_and_merge.
	Alias AliasMode `yaml:"alias"`
	// MergeWait is how long aka waits between that identify and the merge, up to 1m. Customer.io may not find a new person at once,
	// and then loses the merge. Its pages do not say how long that takes. Default 3s.
	MergeWait time.Duration `yaml:"merge_wait"`
	// AnonymousMerge says whether an identify, and an alias of the call's anonymousId, give Customer.io the anonymousId. Customer.io
	// then joins the anonymous events of the last 30 days to the person. Default true.
	AnonymousMerge bool `yaml:"anonymous_merge"`
	// AnonymousEvents says whether calls without a userId are sent, under their anonymousId. Default true.
	AnonymousEvents bool `yaml:"anonymous_events"`
	// PageEvents says which pages and screens are sent: all, named, categorized or none. Default all.
	PageEvents adapter.PageEvents `yaml:"page_events"`
	// Groups says whether groups are sent, as objects. Default true.
	Groups bool `yaml:"groups"`
	// ObjectTypeID is the number of the object type that a group has, unless its trait object_type_id or objectTypeId is another. Default 1.
	ObjectTypeID string `yaml:"object_type_id"`
	// Devices says whether `Application Installed`, `Application Opened` and `Application Backgrounded` add the call's device to the
	// person, for push messages, and whether `Application Uninstalled` removes it. Default true.
	Devices bool `yaml:"devices"`
	// PeopleEvents makes the tracks `User Deleted`, `User Suppressed`, `User Unsuppressed`, `Object Deleted` and
	// `Relationship Deleted` do what their names say. **Warning:** with it, a browser's write key can delete people. Otherwise they
	// are events like others. Default false.
	PeopleEvents bool `yaml:"people_events"`
	// ConvertTimestamps makes Unix seconds of dates with a time, such as 2026-01-02T03:04:05Z, in traits and properties. Customer.io
	// takes them for text otherwise. Default true.
	ConvertTimestamps bool `yaml:"convert_timestamps"`
}

// New builds the adapter. Its error lists every mistake in the settings.
func New(settings adapter.Settings) (adapter.Adapter, error) {
	config := Config{
		Region:            "us",
		Identifiers:       IdentifyByBoth,
		Alias:             AliasEnsureAndMerge,
		MergeWait:         3 * time.Second,
		AnonymousMerge:    true,
		AnonymousEvents:   true,
		PageEvents:        adapter.PagesAll,
		Groups:            true,
		ObjectTypeID:      "1",
		Devices:           true,
		ConvertTimestamps: true,
	}
	problems := []error{settings.Decode(&config), config.check()}
	base, err := config.BaseURL(regions[config.Region])
	if err := errors.Join(append(problems, err)...); err != nil {
		return nil, err
	}
	return newTranslator(config, base), nil
}

var objectType = regexp.MustCompile(`^[1-9][0-9]*$`)

func (c *Config) check() error {
	problems := []error{
		adapter.OneOf("region", c.Region, "us", "eu"),
		adapter.OneOf("identifiers", string(c.Identifiers), string(IdentifyByBoth), string(IdentifyByID), string(IdentifyByEmail)),
		adapter.OneOf("alias", string(c.Alias), string(AliasEnsureAndMerge), string(AliasMerge), string(AliasOff)),
		c.PageEvents.Check(),
	}
	switch {
	case c.SiteID == "":
		problems = append(problems, adapter.Required("site_id"))
	case strings.Contains(c.SiteID, ":"):
		problems = append(problems, adapter.Invalid("site_id", "must not hold a colon"))
	}
	if !c.APIKey.IsSet() {
		problems = append(problems, adapter.Required("api_key"))
	}
	if c.MergeWait < 0 || c.MergeWait > maxMergeWait {
		problems = append(problems, adapter.Invalid("merge_wait", "0s to 1m, not %s", c.MergeWait))
	}
	if !objectType.MatchString(c.ObjectTypeID) {
		problems = append(problems, adapter.Invalid("object_type_id", "%q is not the number of an object type, such as 1", c.ObjectTypeID))
	}
	return errors.Join(problems...)
}

func basic(siteID string, apiKey adapter.Secret) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(siteID+":"+apiKey.Reveal()))
}
