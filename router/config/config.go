// Package config reads the config file, says everything that is wrong with it, and builds its destinations.
package config

import (
	"time"

	"aka/destinations"
	"aka/router/admin"
	"aka/router/delivery"
	"aka/router/ingress"
	"aka/router/journal"
	"aka/router/logging"
	"aka/router/strictyaml"
	"aka/router/tracing"

	"gopkg.in/yaml.v3"
)

// Config is the whole config, as Load reads it from a file.
type Config struct {
	// Config is listen, sources and limits: what the ingress needs.
	ingress.Config `yaml:",inline"`
	// Destinations are the vendors, by name: 1 to 63 of a-z, 0-9, _ and -. At least one. The name stands in metrics and logs, and
	// works in a call's `integrations` beside the vendor's own names. A name that is new gets the calls that are accepted from
	// then on. What waits for one that is taken out is kept until it is back, or forgotten: `aka destination forget`.
	Destinations map[string]*Destination `yaml:"destinations"`
	// Delivery is how calls go to every destination, unless its own `delivery` says otherwise.
	Delivery delivery.Options `yaml:"delivery"`
	// Journal is the accepted calls on disk.
	Journal Journal `yaml:"journal"`
	// DeadLetters are the calls that were given up on, kept in the journal's folder to be replayed.
	DeadLetters journal.DeadLetterOptions `yaml:"dead_letters"`
	// Admin is the operator's own server.
	Admin Admin `yaml:"admin"`
	// Log is the log, on standard error.
	Log logging.Options `yaml:"log"`
	// Otel is the traces, which an OpenTelemetry collector takes.
	Otel tracing.Options `yaml:"otel"`
	// BufferBytes bounds the calls that all destinations hold in memory together. Each has the same share, whatever the
	// others need, and its own window_bytes as well. At least 1MiB for each. Default 32MiB.
	BufferBytes strictyaml.Size `yaml:"buffer_bytes"`
	// MemoryLimit is the soft limit on the process's memory: the garbage collector works harder near it. It refuses no call.
	// auto is 90 % of the limit of the process's cgroup, such as a container's, and no limit where the cgroup has none. 0 is no
	// limit, a size is at least 64MiB. The environment variable GOMEMLIMIT overrides this key. Default auto.
	MemoryLimit strictyaml.AutoSize `yaml:"memory_limit"`
	// ShutdownTimeout is how long a stopping process may finish what it has begun. What is left stays in the journal.
	// Above 0. Default 20s.
	ShutdownTimeout time.Duration `yaml:"shutdown_timeout"`

	// again loads the config anew, from where it came.
	again func() (*Config, error)
	file  string
	line  func(key string) int
}

// Destination is one configured vendor.
type Destination struct {
	// Type says whose adapter it is. Another type under the same name is refused while calls wait, unless `was_type` allows it.
	// Default: the destination's name.
	Type string `yaml:"type"`
	// WasType is the type that the destination had before its `type` was changed. Calls that were accepted for that type and still
	// wait, and its dead letters when they are replayed, then go to the new vendor. It may stay in the config. Default: none.
	WasType string `yaml:"was_type"`
	// IntegrationNames are more names that it goes by in a call's `integrations`, beside its own and the vendor's.
	IntegrationNames []string `yaml:"integration_names"`
	// LenientNames forgives case and spaces in those names. Default false.
	LenientNames bool `yaml:"lenient_names"`
	// RememberMerges keeps a memory of the merges that were delivered, on disk, the newest million, by digests of their ids (100
	// to 250 bytes of memory each). An alias that would change nothing (already_merged), or that the vendor would throw away
	// with the answer of a success (alias_taken, would_cycle, cluster_full), is dropped then. What was delivered while this was
	// off is not known; to switch it off forgets all. Default false.
	RememberMerges bool `yaml:"remember_merges"`
	// Settings are the vendor's own.
	//
	// After Load they are the effective ones, their secrets masked.
	Settings *yaml.Node `yaml:"settings"`
	// Overrides are the keys of the section `delivery` that differ for this destination.
	//
	// After Load they are all of Delivery's.
	Overrides *yaml.Node `yaml:"delivery"`

	// Delivery is what the destination goes by: the defaults, the vendor's order, and its overrides.
	Delivery delivery.Options `yaml:"-"`
	// Destination is what was built of it.
	*destinations.Destination `yaml:"-"`
}

// Journal is the journal's section.
type Journal struct {
	journal.Options `yaml:",inline"`
	// NATS is the place of an external cluster's address. It is refused.
	NATS *yaml.Node `yaml:"nats"`
}

// Admin is the section of the operator's own server.
type Admin struct {
	// Listen is where health, metrics, dead letters and explanations are served, as host:port. Without a token, anyone who
	// reaches it may read and replay calls, so that any other than a loopback address, such as :9090 in a container, needs one.
	// Default 127.0.0.1:9090.
	Listen string `yaml:"listen"`
	// Tokens are the files of the tokens that let in.
	admin.Tokens `yaml:",inline"`
	// Hosts are the names under which browsers reach it, such as aka.internal, beside localhost, IP addresses and the host
	// of listen. A request under another name is refused, unless it has a token in its header. Default: none.
	Hosts []string `yaml:"hosts"`
}

// Default returns the config of a file that says nothing. It is not valid: it has no source and no destination.
func Default() *Config {
	return &Config{
		Config:          ingress.DefaultConfig,
		Delivery:        delivery.DefaultOptions,
		Journal:         Journal{Options: journal.DefaultOptions},
		DeadLetters:     journal.DefaultOptions.DeadLetters,
		Admin:           Admin{Listen: "127.0.0.1:9090"},
		Log:             logging.Options{Level: "info", Format: "json"},
		Otel:            tracing.DefaultOptions,
		BufferBytes:     32 * strictyaml.MiB,
		MemoryLimit:     strictyaml.Auto,
		ShutdownTimeout: 20 * time.Second,
	}
}

// Again loads the config anew, from where it came.
func (c *Config) Again() (*Config, error) { return c.again() }

// Refuse returns the error of a config that loads, and that what is kept on disk does not allow.
func (c *Config) Refuse(problems ...strictyaml.Problem) *Mistakes {
	for i := range problems {
		if c.line != nil {
			problems[i].Line = c.line(problems[i].Key)
		}
	}
	return &Mistakes{c.file, problems}
}

// Effective returns the config as YAML: every key with the value it has, secrets as <secret>. It is itself a config.
func (c *Config) Effective() []byte {
	text, err := strictyaml.Encode(c)
	if err != nil {
		panic("config: does not encode: " + err.Error())
	}
	return text
}
