// Package config reads the config file, says everything that is wrong with it, and builds its destinations.
package config

import (
	"strings"
	"time"

	"aka/destinations"
	"aka/router/admin"
	"aka/router/delivery"
	"aka/router/ingress"
	"aka/router/journal"
	"aka/router/logging"
	"aka/router/mergerules"
	"aka/router/segment"
	"aka/router/strictyaml"
	"aka/router/tracing"
	"aka/router/transform"

	"gopkg.in/yaml.v3"
)

// Config is the whole config, as Load reads it from a file.
type Config struct {
	// Config is listen, sources and limits: what the ingress needs.
	ingress.Config `yaml:",inline"`
	// Destinations are the vendors, by name: 1 to 63 of a-z, 0-9, _ and -. At least one. The name appears in metrics and logs.
	// It also works in a call's `integrations`, beside the vendor's own names. A new name receives the calls that are accepted
	// from then on. If you remove a name, aka keeps its waiting calls until you add it again, or run `aka destination forget`.
	Destinations map[string]*Destination `yaml:"destinations"`
	// Delivery is how aka sends calls to every destination. A destination's own `delivery` overrides it key by key.
	Delivery delivery.Options `yaml:"delivery"`
	// Merges is which ids may become one person at a destination, and what happens to a merge that may not. A destination's own
	// `merges` overrides it key by key. The rules need remember_merges, except blocked_ids and direction.
	Merges Merges `yaml:"merges"`
	// IDs are patterns that say what an id is: a user's, an e-mail or a device's. The rules of `merges` use them. Without a pattern,
	// aka recognizes an e-mail by its shape and a device by the calls, and every other id is a user's. An id that matches patterns
	// of one kind is of that kind, whatever the calls say. A source's own `ids` replace these list by list.
	IDs mergerules.IDs `yaml:"ids"`
	// Instance names this aka among those that a call may pass. A call that aka forwards takes it along (context.aka.via), and aka
	// does not forward a call that has it already: so two akas that forward to each other end after one lap. Give the replicas
	// of one aka the same name. 1 to 64 of A-Z, a-z, 0-9, ., _ and -. Default: a UUID that aka makes in the journal's folder.
	Instance string `yaml:"instance"`
	// Journal is the accepted calls on disk.
	Journal Journal `yaml:"journal"`
	// DeadLetters are the calls that aka gave up on. It stores them in the journal's folder, and you can replay them.
	DeadLetters journal.DeadLetterOptions `yaml:"dead_letters"`
	// Dropped are the dropped calls that aka keeps, so that you can replay them once a setting is corrected. They are in the
	// journal's folder, too.
	Dropped journal.DroppedOptions `yaml:"dropped"`
	// Admin is the operator's own server.
	Admin Admin `yaml:"admin"`
	// Log is the log, on standard error.
	Log logging.Options `yaml:"log"`
	// Otel is the traces, for an OpenTelemetry collector.
	Otel tracing.Options `yaml:"otel"`
	// BufferBytes bounds the calls in memory, for all destinations together. Each destination has the same share, and its own
	// window_bytes as well. At least 1MiB for each. Default 32MiB.
	BufferBytes strictyaml.Size `yaml:"buffer_bytes"`
	// MemoryLimit is the soft limit on the process's memory. Near it the garbage collector works harder, and aka refuses no
	// call. auto is 90 % of the limit of the process's cgroup, such as a container's. If the cgroup has no limit, auto is none.
	// 0 is no limit, a size is at least 64MiB. The environment variable GOMEMLIMIT overrides this key. Default auto.
	MemoryLimit strictyaml.AutoSize `yaml:"memory_limit"`
	// ShutdownTimeout is how long a stopping process may finish what it has begun. The rest stays in the journal. Above 0.
	// Default 20s.
	ShutdownTimeout time.Duration `yaml:"shutdown_timeout"`

	// instance is the name that adapters see: Instance, or the one that NameInstance gave.
	instance string
	// reload loads the config anew, from where it came.
	reload func() (*Config, error)
	file   string
	line   func(key string) int
}

// Destination is one configured vendor.
type Destination struct {
	// Type is the type of the vendor. If calls wait, aka refuses another type under the same name, unless `was_type` allows it.
	// Default: the destination's name.
	Type string `yaml:"type"`
	// WasType is the type that the destination had before you changed its `type`. Then the calls that wait for that type go to
	// the new vendor, and so do replays of its dead letters. It may stay in the config. Default: none.
	WasType string `yaml:"was_type"`
	// IntegrationNames are more names for it in a call's `integrations`, beside its own name and the vendor's.
	IntegrationNames []string `yaml:"integration_names"`
	// LenientNames makes aka ignore case and spaces in those names. Default false.
	LenientNames bool `yaml:"lenient_names"`
	// RememberMerges makes aka remember delivered merges and users on disk, by keyed digests of their ids. That takes about 60 bytes
	// for each id, and up to 16 MiB of memory. merges.memory bounds it. The rules of `merges` need it. aka also drops an alias that
	// would change nothing (already_merged), and one that the vendor would ignore while it answers success (alias_taken, would_cycle,
	// cluster_full). aka does not know merges that were delivered while this was off. If you switch it off, aka forgets all of them,
	// and the rules known_users, device_of_another_user and max_ids do not fire.
	//
	// At Vero aka also remembers the userIds that came without another anonymousId. aka sends an alias of such an id although the
	// id is anonymous: it was a guest's. Default: true where the vendor merges ids, else false.
	//
	// After Load it is never nil.
	RememberMerges *bool `yaml:"remember_merges"`
	// Mode is live or dry. A dry destination does everything that a live one does, except sending: aka checks, orders and translates
	// the calls, applies the merge rules and remembers what would be merged. A call that it would send ends as would_send. It runs
	// under the name with ~dry behind it, in the metrics and everywhere else. Once the destination is live, aka drops what the dry
	// one has remembered, and sends what it accepts from then on. What waited when a live destination became dry goes out when it
	// is live again. Default live.
	Mode Mode `yaml:"mode"`
	// FromStart keeps the calls that are accepted while the destination is dry. They wait, as for a paused destination, and
	// delivery.max_backlog_age bounds that. Once it is live, aka sends them, too. Only with mode: dry; then it may stay in the
	// config. Default false.
	FromStart bool `yaml:"from_start"`
	// Cases are golden cases of this destination, as patterns of files such as cases/*.yaml, from the folder of the config. A case has
	// a call, and what must become of it. `aka check --cases` runs them. Default [].
	Cases []string `yaml:"cases"`
	// Edits are which calls the destination gets, and what of them.
	Edits transform.Options `yaml:",inline"`
	// Settings are the settings of the vendor.
	//
	// After Load they are the effective ones, their secrets masked.
	Settings *yaml.Node `yaml:"settings"`
	// Overrides are the keys of the section `delivery` that differ for this destination.
	//
	// After Load they are all of Delivery's.
	Overrides *yaml.Node `yaml:"delivery"`

	// MergeOverrides are the keys of the section `merges` that differ for this destination.
	//
	// After Load they are all of MergeOptions'.
	MergeOverrides *yaml.Node `yaml:"merges"`

	// MergeOptions is the destination's rules and bounds of merges: the defaults, and its overrides.
	MergeOptions mergerules.Options `yaml:"-"`
	// Delivery is the destination's options: the defaults, the vendor's order, and its overrides.
	Delivery delivery.Options `yaml:"-"`
	// Destination is what was built of it.
	*destinations.Destination `yaml:"-"`
	// Waits has its calls wait until it is live.
	Waits bool `yaml:"-"`
}

// Mode is whether a destination sends anything.
type Mode string

// The modes.
const (
	ModeLive Mode = "live"
	ModeDry  Mode = "dry"
)

// drySuffix is behind the name of a destination that is dry. No name in the config has it.
const drySuffix = "~dry"

// IsDry reports whether a name is that of a dry run.
func IsDry(name string) bool { return strings.HasSuffix(name, drySuffix) }

// LiveName is a destination's name in the config, also where its dry run is named.
func LiveName(name string) string { return strings.TrimSuffix(name, drySuffix) }

// Running are the destinations as they run: a dry one under a name of its own, so that nothing that is kept of it is taken for what a
// vendor has got, and beside it the live one where that keeps calls.
func (c *Config) Running() map[string]*Destination {
	running := map[string]*Destination{}
	for name, d := range c.Destinations {
		if d.Mode != ModeDry {
			running[name] = d
			continue
		}
		dry, built := *d, *d.Destination
		built.Name, built.Dry, built.Routes = name+drySuffix, true, &segment.Routes{}
		dry.Destination = &built
		running[built.Name] = &dry
		if d.FromStart {
			waiting := *d
			waiting.Waits = true
			running[name] = &waiting
		}
	}
	return running
}

// Merges is the section of the rules of merges, with what is the same for all destinations.
type Merges struct {
	mergerules.Options `yaml:",inline"`
	// KeyFile is a file with the key of the digests by which aka remembers ids: at least 32 bytes, as text. With another key aka
	// remembers nothing of before. Keep the file out of static_dir. Default: a key that aka makes in the journal's folder.
	KeyFile string `yaml:"key_file"`
}

// Journal is the journal's section.
type Journal struct {
	journal.Options `yaml:",inline"`
	// NATS is the place of an external cluster's address. It is refused.
	NATS *yaml.Node `yaml:"nats"`
}

// Admin is the section of the operator's own server.
type Admin struct {
	// Listen is the address of health, metrics, dead letters and explanations, as host:port. Without a token, everyone who can
	// reach it may read and replay calls. So an address that is not loopback, such as :9090 in a container, needs a token.
	// Default 127.0.0.1:9090.
	Listen string `yaml:"listen"`
	// Tokens are the files of the tokens that let in.
	admin.Tokens `yaml:",inline"`
	// Hosts are the names under which browsers reach it, such as aka.internal. localhost, IP addresses and the host of listen
	// always work. aka refuses a request under another name, unless it has a token in its header. Default: none.
	Hosts []string `yaml:"hosts"`
}

// Default returns the config of a file that says nothing. It is not valid: it has no source and no destination.
func Default() *Config {
	return &Config{
		Config:          ingress.DefaultConfig,
		Delivery:        delivery.DefaultOptions,
		Merges:          Merges{Options: mergerules.DefaultOptions},
		Journal:         Journal{Options: journal.DefaultOptions},
		DeadLetters:     journal.DefaultOptions.DeadLetters,
		Dropped:         journal.DefaultOptions.Dropped,
		Admin:           Admin{Listen: "127.0.0.1:9090"},
		Log:             logging.Options{Level: "info", Format: "json"},
		Otel:            tracing.DefaultOptions,
		BufferBytes:     32 * strictyaml.MiB,
		MemoryLimit:     strictyaml.Auto,
		ShutdownTimeout: 20 * time.Second,
	}
}

// Reload loads the config anew, from where it came.
func (c *Config) Reload() (*Config, error) { return c.reload() }

// NameInstance gives the adapters the name of this aka, if the config has none. It comes before the first call.
func (c *Config) NameInstance(name string) {
	if c.Instance == "" {
		c.instance = name
	}
}

// Refuse returns the error of a config that loads, and that what is kept on disk does not allow.
func (c *Config) Refuse(problems ...strictyaml.Problem) *Mistakes {
	for i := range problems {
		if c.line != nil {
			problems[i].Line = c.line(problems[i].Key)
		}
	}
	return &Mistakes{c.file, problems}
}

// Kinds returns what ids are, by the patterns at the top and of the sources.
func (c *Config) Kinds() *mergerules.Kinds {
	bySource := map[string]mergerules.IDs{}
	for name, source := range c.Sources {
		if source.IDs.User != nil || source.IDs.Email != nil || source.IDs.Device != nil {
			bySource[name] = source.IDs
		}
	}
	return mergerules.NewKinds(c.IDs, bySource)
}

// Effective returns the config as YAML: every key with the value it has, secrets as <secret>. It is itself a config.
func (c *Config) Effective() []byte {
	text, err := strictyaml.Encode(c)
	if err != nil {
		panic("config: does not encode: " + err.Error())
	}
	return text
}
