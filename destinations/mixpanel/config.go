package mixpanel

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"aka/destinations/adapter"
)

// regions are Mixpanel's hosts (https://docs.mixpanel.com/reference/ingestion-api). Data that goes to the wrong one is lost:
// nothing redirects it.
var regions = map[string]string{
	"us": "https://api.mixpanel.com",
	"eu": "https://api-eu.mixpanel.com",
	"in": "https://api-in.mixpanel.com",
}

// IDMerge is how a Mixpanel project merges identities. A project cannot change it once it has data.
type IDMerge string

const (
	// Legacy is the mode that Mixpanel's settings call Disabled: projects from before March 2020.
	Legacy IDMerge = "legacy"
	// Original is the mode that they call Original API.
	Original IDMerge = "original"
	// Simplified is the mode that they call Simplified API: the default of organizations since April 2024.
	Simplified IDMerge = "simplified"
)

// AliasStrategy is what an alias becomes in the original mode.
type AliasStrategy string

const (
	// AliasAuto sends $identify for an anonymous id that is a UUIDv4, and $create_alias for everything else.
	AliasAuto AliasStrategy = "auto"
	// AliasCreate always sends $create_alias.
	AliasCreate AliasStrategy = "create_alias"
	// AliasIdentify always sends $identify. It drops an alias that Mixpanel would refuse: its previousId is not a UUIDv4.
	AliasIdentify AliasStrategy = "identify"
	// AliasMerge always sends $merge. Mixpanel does not check it, and nothing undoes it.
	AliasMerge AliasStrategy = "merge"
)

// legacySettle is how long Mixpanel takes to know an alias in the legacy mode. What comes before that, under the new id,
// always stays a separate person.
const legacySettle = time.Second

// Config is the `settings` section of a Mixpanel destination. The default of endpoint is the region's. The default of settle is
// 1s with id_merge: legacy.
type Config struct {
	adapter.Common `yaml:",inline"`
	// Token is the project's token. Required. Mixpanel also accepts profiles for a wrong token, and loses them.
	Token adapter.Secret `yaml:"token"`
	// IDMerge is how the project merges identities, as shown in Mixpanel under Settings > Project Settings > Identity Merge:
	// simplified (Simplified API), original (Original API) or legacy (Disabled). Required. A wrong value silently loses data,
	// because Mixpanel answers success to identity commands that its mode ignores.
	IDMerge IDMerge `yaml:"id_merge" example:"simplified"`
	// Region is where Mixpanel stores the project's data: us, eu or in. Default us.
	Region string `yaml:"region" words:"us eu in"`
	// ServiceAccount is the credentials for events. For most projects the token is enough. All three keys are required.
	// With it, or with api_secret, `aka verify` reads back profiles. Behind another endpoint, Mixpanel's Query API is asked there, too.
	// Default: api_secret, else the token.
	ServiceAccount *ServiceAccount `yaml:"service_account"`
	// APISecret is the project's secret for the same purpose. Mixpanel removes it on 2027-03-03. Not beside service_account.
	APISecret adapter.Secret `yaml:"api_secret"`
	// AliasStrategy is what an alias becomes with id_merge: original. It is auto, create_alias, identify or merge. Default
	// auto.
	AliasStrategy AliasStrategy `yaml:"alias_strategy"`
	// LinkOnAlias is the event that an alias becomes with id_merge: simplified, such as "Linked". In that mode only an event
	// with both ids can link a device to its user. Mixpanel bills it. Without a name, aka drops such an alias.
	LinkOnAlias string `yaml:"link_on_alias"`
	// LinkOnIdentify is the event that aka sends before an identify with both ids, with id_merge: simplified. Without a name
	// there is none, and the person's next track links the ids.
	LinkOnIdentify string `yaml:"link_on_identify"`
	// People says whether identify, group, increments and revenue write profiles. Default true.
	People bool `yaml:"people"`
	// PageEvents says which pages and screens become events: all (as "Loaded a Page"), named and categorized (as
	// "Viewed <category> <name> Page"), or none. Default all.
	PageEvents adapter.PageEvents `yaml:"page_events"`
	// GroupKeys are the group keys of the project. Without any, aka drops group calls. A group call's id for a key is the trait
	// of that name. Its groupId counts for a key called groupId or $group_id, and for the only key. A group call has at most
	// 100 groups of one key, because each takes a request of its own.
	GroupKeys []string `yaml:"group_keys"`
	// TraitsOnTrack puts context.traits on events, below their own properties. Default true.
	TraitsOnTrack bool `yaml:"traits_on_track"`
	// IncrementEvents are events that are counted on the profile of a user. aka also sets "Last <event>" there to their time.
	IncrementEvents []string `yaml:"increment_events"`
	// IncrementProperties are numeric properties of events that are summed on the profile of a user.
	IncrementProperties []string `yaml:"increment_properties"`
	// SetOnce are traits that keep their first value.
	SetOnce []string `yaml:"set_once"`
	// Union are traits whose values are added to a list, each once.
	Union []string `yaml:"union"`
	// Append are traits whose values are added to a list, also repeatedly.
	Append []string `yaml:"append"`
	// Strict makes Mixpanel report the records that it refuses. Otherwise they are silently lost. Default true.
	Strict bool `yaml:"strict"`
}

// ServiceAccount is a Mixpanel service account (https://docs.mixpanel.com/reference/service-accounts). All keys are required.
type ServiceAccount struct {
	// Username is the account's name. Required.
	Username string `yaml:"username" example:"aka"`
	// Secret is the account's secret. Required.
	Secret adapter.Secret `yaml:"secret"`
	// ProjectID is the number of the project, from its settings. Required.
	ProjectID string `yaml:"project_id" example:"1"`
}

// New builds the adapter. Its error lists every mistake in the settings.
func New(settings adapter.Settings) (adapter.Adapter, error) {
	config := Config{
		Region:        "us",
		AliasStrategy: AliasAuto,
		People:        true,
		PageEvents:    adapter.PagesAll,
		TraitsOnTrack: true,
		Strict:        true,
	}
	problems := []error{settings.Decode(&config), config.check()}
	base, err := config.BaseURL(regions[config.Region])
	if err := errors.Join(append(problems, err)...); err != nil {
		return nil, err
	}
	if config.Settle == nil && config.IDMerge == Legacy {
		settle := legacySettle
		config.Settle = &settle
	}
	return newTranslator(config, base), nil
}

func (c *Config) check() error {
	var problems []error
	if !c.Token.IsSet() {
		problems = append(problems, adapter.Required("token"))
	}
	return errors.Join(append(problems,
		c.checkIDMerge(),
		adapter.OneOf("region", c.Region, "us", "eu", "in"),
		c.PageEvents.Check(),
		c.checkCredentials(),
		c.checkStrategy(),
		c.checkLink("link_on_alias", c.LinkOnAlias),
		c.checkLink("link_on_identify", c.LinkOnIdentify),
		c.checkGroupKeys(),
		c.checkLists(),
	)...)
}

func (c *Config) checkIDMerge() error {
	if c.IDMerge == "" {
		return adapter.Invalid("id_merge", "required: legacy, original or simplified, as Mixpanel says under "+
			"Settings > Project Settings > Identity Merge (Disabled, Original API or Simplified API)")
	}
	return adapter.OneOf("id_merge", string(c.IDMerge), string(Legacy), string(Original), string(Simplified))
}

func (c *Config) checkCredentials() error {
	account := c.ServiceAccount
	if account == nil {
		return nil
	}
	var problems []error
	if c.APISecret.IsSet() {
		problems = append(problems, adapter.Invalid("api_secret", "not beside service_account: give one of them"))
	}
	if account.Username == "" {
		problems = append(problems, adapter.Required("service_account.username"))
	}
	if strings.Contains(account.Username, ":") {
		problems = append(problems, adapter.Invalid("service_account.username", "must not hold a colon"))
	}
	if !account.Secret.IsSet() {
		problems = append(problems, adapter.Required("service_account.secret"))
	}
	if account.ProjectID == "" {
		problems = append(problems, adapter.Required("service_account.project_id"))
	}
	return errors.Join(problems...)
}

func (c *Config) checkStrategy() error {
	strategy := c.AliasStrategy
	switch {
	case strategy == AliasAuto:
		return nil
	case strategy == AliasMerge && c.ServiceAccount == nil && !c.APISecret.IsSet():
		return adapter.Invalid("alias_strategy", "merge needs service_account or api_secret: Mixpanel takes $merge only with such credentials")
	case c.IDMerge != Original && c.IDMerge != "":
		return adapter.Invalid("alias_strategy", "%q is only for id_merge: original", string(strategy))
	}
	return adapter.OneOf("alias_strategy", string(strategy), string(AliasAuto), string(AliasCreate), string(AliasIdentify), string(AliasMerge))
}

func (c *Config) checkLink(key, event string) error {
	switch {
	case event == "":
		return nil
	case c.IDMerge != Simplified && c.IDMerge != "":
		return adapter.Invalid(key, "only for id_merge: simplified")
	case isCommand(event):
		return adapter.Invalid(key, "%q is an identity command, which does nothing in this mode: name an ordinary event", event)
	}
	return nil
}

func (c *Config) checkGroupKeys() error {
	for _, key := range c.GroupKeys {
		if key == "" || reservedOnEvents[key] || reservedOnProfiles[key] {
			return adapter.Invalid("group_keys", "%q cannot be a group key", key)
		}
	}
	return nil
}

// checkLists makes sure that a trait is written in one way only.
func (c *Config) checkLists() error {
	var problems []error
	for _, name := range c.Union {
		if slices.Contains(c.SetOnce, name) {
			problems = append(problems, adapter.Invalid("union", "%q is in set_once too", name))
		}
	}
	for _, name := range c.Append {
		if slices.Contains(c.SetOnce, name) || slices.Contains(c.Union, name) {
			problems = append(problems, adapter.Invalid("append", "%q is in set_once or union too", name))
		}
	}
	return errors.Join(problems...)
}

// authorization returns the header that /import wants.
func (c *Config) authorization() string {
	credentials := c.Token.Reveal() + ":"
	switch {
	case c.ServiceAccount != nil:
		credentials = c.ServiceAccount.Username + ":" + c.ServiceAccount.Secret.Reveal()
	case c.APISecret.IsSet():
		credentials = c.APISecret.Reveal() + ":"
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(credentials))
}
