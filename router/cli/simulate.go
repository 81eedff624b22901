package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"aka/destinations"
	"aka/destinations/simulator"
	"aka/router/reference"
)

// simulatedSecret is used for a secret where simulated vendors are: they take any.
const simulatedSecret = "simulated"

// simulatedKey is used for a key that signs, and is one by its form.
const simulatedKey = "whsec_c2ltdWxhdGVkIHNpbXVsYXRlZCBzaW11bGF0ZWQ="

// simulation is the simulated vendors of this process.
type simulation struct {
	*simulator.Simulator
	opened map[simulated]string // their endpoints
	// findableAfter is how long Customer.io does not find a person that was just made; 0 is the simulator's default.
	findableAfter time.Duration
}

// simulated is what an account was opened for.
type simulated struct{ destination, vendorType, idMerge, flavor string }

func startSimulation(address string) (simulation, error) {
	started, err := simulator.Start(address)
	return simulation{Simulator: started, opened: map[simulated]string{}}, err
}

// endpoint returns the endpoint of an account of the destination's name, which it opens where it is new. One that is of another
// vendor, Mixpanel mode or upstream's flavor now gets an account beside the one it had. It is not for concurrent use.
func (s simulation) endpoint(name, vendorType string, settings *yaml.Node) (string, error) {
	var mode struct {
		IDMerge string `yaml:"id_merge"`
		Flavor  string `yaml:"flavor"`
	}
	if err := settings.Decode(&mode); err != nil {
		return "", err
	}
	wanted := simulated{name, vendorType, mode.IDMerge, mode.Flavor}
	if known, ok := s.opened[wanted]; ok {
		return known, nil
	}
	account := name
	for n := 2; s.Account(account) != nil; n++ {
		account = fmt.Sprintf("%s-%d", name, n)
	}
	opened, err := s.Add(account, vendorType, simulator.Options{
		IDMerge: mode.IDMerge, Segment: simulator.Segment{Flavor: mode.Flavor}, CustomerIO: simulator.CustomerIO{FindableAfter: s.findableAfter},
	})
	if err == nil {
		s.opened[wanted] = opened
	}
	return opened, err
}

// accountsURL lists the accounts and what each holds.
func (s simulation) accountsURL() string { return s.ControlURL() + "/accounts" }

// graphURL shows which ids an account takes for one person.
func (s simulation) graphURL(account string) string {
	return s.accountsURL() + "/" + account + "/graph?format=text"
}

// simulatedAccount is one that aka simulate serves. settings are those that its vendor requires, as YAML.
type simulatedAccount struct{ name, vendor, idMerge, settings string }

// simulatedAccounts are one per vendor, or one per word where a vendor requires one of several, as Mixpanel's id_merge.
func simulatedAccounts() (all []simulatedAccount) {
	for _, v := range reference.New().Vendors {
		if destinations.Vendors[v.Type].Starter != nil {
			continue // what it requires is the config's to say; --simulate serves it
		}
		all = append(all, accountsOf(v)...)
	}
	return all
}

func accountsOf(v *reference.Vendor) []simulatedAccount {
	all := []simulatedAccount{{name: v.Type, vendor: v.Type}}
	for _, k := range v.Settings.Keys {
		if !k.Required && k.Unless == nil {
			continue
		}
		if len(k.Words) == 0 {
			for i := range all {
				all[i] = all[i].with(k.Name, simulatedValue(k))
			}
			continue
		}
		var split []simulatedAccount
		for _, a := range all {
			for _, word := range k.Words {
				split = append(split, a.inMode(k.Name, word.Value))
			}
		}
		all = split
	}
	return all
}

// simulatedValue is what an account has for a key that it needs.
func simulatedValue(k *reference.Key) string {
	if k.Kind == reference.List {
		return "[" + simulatedKey + "]"
	}
	return cmp.Or(k.Example, simulatedSecret)
}

func (a simulatedAccount) with(key, value string) simulatedAccount {
	a.settings += key + ": " + value + ", "
	return a
}

func (a simulatedAccount) inMode(key, word string) simulatedAccount {
	a.name += "-" + word
	if key == "id_merge" {
		a.idMerge = word
	}
	return a.with(key, word)
}

func newSimulate() *cobra.Command {
	var listen string
	command := &cobra.Command{
		Use:   "simulate",
		Short: "Serve simulated vendors, to try aka without accounts",
		Long: `Simulate serves the vendors in memory, as their documentation describes them, until SIGINT or SIGTERM. It prints the
destinations section of a config that sends to them. That includes the key that allows private addresses. Its control API
shows which ids each vendor treats as one person, and makes vendors fail in many ways. The API has no access control, so
listen on loopback only.`,
		Example: `  aka simulate
  aka simulate --listen 127.0.0.1:9900 > destinations.yaml
  aka health --admin 127.0.0.1:9900      # does it live?`,
		Args: noArguments,
		RunE: func(command *cobra.Command, _ []string) error {
			return untilSignalled(command.Context(), func(ctx context.Context) error {
				return simulate(ctx, listen, command.OutOrStdout())
			})
		},
	}
	command.Flags().StringVar(&listen, "listen", "127.0.0.1:9900", "address to serve on, as host:port; port 0 is any free one")
	return command
}

func simulate(ctx context.Context, listen string, out io.Writer) error {
	vendors, err := startSimulation(listen)
	if err != nil {
		return err
	}
	defer vendors.Close()
	if err := vendors.open(out); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// open adds the accounts and prints the config that sends to them.
func (s simulation) open(out io.Writer) error {
	text := fmt.Sprintf(`# Simulated vendors at %s, until Ctrl-C. They take any secret. What they hold:
#   curl %s
#   curl '%s'
# What else they can be asked, and how to make them fail:
#   curl %s
destinations:
`, s.URL(), s.accountsURL(), s.graphURL("vero"), s.ControlURL())
	for _, a := range simulatedAccounts() {
		endpoint, err := s.Add(a.name, a.vendor, simulator.Options{IDMerge: a.idMerge})
		if err != nil {
			return err
		}
		text += fmt.Sprintf("  %s:\n    type: %s\n    delivery: { allow_private: true }\n    settings: { %sendpoint: %q }\n",
			a.name, a.vendor, a.settings, endpoint)
	}
	_, err := io.WriteString(out, text)
	return err
}
