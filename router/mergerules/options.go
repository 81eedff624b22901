package mergerules

import (
	"fmt"
	"slices"
	"time"

	"aka/router/spelling"
	"aka/router/strictyaml"
)

// Options are the `merges` section of the config. A destination's own section overrides them key by key. Start from
// DefaultOptions.
type Options struct {
	Rules `yaml:",inline"`
	// Memory bounds what aka remembers of merges and users, for each destination. See remember_merges.
	Memory MemoryOptions `yaml:"memory"`
	// Quarantine is what happens to aliases that a rule holds, and to the calls behind them.
	Quarantine QuarantineOptions `yaml:"quarantine"`
	// Ledger bounds the list of merges that were sent, held or refused, for each destination.
	Ledger LedgerOptions `yaml:"ledger"`
}

// Rules are the rules of merges, and what happens where they fire.
type Rules struct {
	// KnownUsers is for a merge of two users that are both known here, from calls that passed this destination's filter. allow sends
	// it. observe sends it too, counts it and shows it. hold keeps the alias until an operator decides. drop does not send it. If
	// another call merges, such as an identify, both hold and drop leave out only the request that merges. An e-mail beside a
	// user's id is no second user. Default hold.
	KnownUsers Verdict `yaml:"known_users"`
	// NewUserGrace is for how long a user is new for known_users, from when its own source first named it. So a sign-up may name
	// its new id before the alias. 0 to 24h. Default 10m.
	NewUserGrace time.Duration `yaml:"new_user_grace"`
	// DeviceOfAnotherUser is for a device that was given to another user before, as at the second sign-up in one browser: allow,
	// observe, hold or drop, as in known_users. The second user then stays alone, and its other calls are sent. Default drop.
	DeviceOfAnotherUser Verdict `yaml:"device_of_another_user"`
	// Direction is for an alias whose userId is a device, and whose previousId is none: its ids were swapped. allow,
	// observe, hold or drop, as in known_users. Default drop.
	Direction Verdict `yaml:"direction"`
	// MaxIDs is how many ids a person may have. 1 to 1000. Default 50.
	MaxIDs int `yaml:"max_ids"`
	// MaxIDsPer is the time within which aka counts ids for max_ids. Ids that joined the person earlier do not count. 1m to
	// 400d. Default 7d.
	MaxIDsPer time.Duration `yaml:"max_ids_per"`
	// MaxIDsVerdict is for a merge after which the person would have more than max_ids: allow, observe, hold or
	// drop, as in known_users. Default hold.
	MaxIDsVerdict Verdict `yaml:"max_ids_verdict"`
	// BlockedIDs are patterns of ids that aka never merges, such as test-*. A pattern matches the whole id: * is any text, ? is
	// one character, and case matters. aka drops such an alias, and sends other calls of the id. At most 100. Default: none.
	BlockedIDs Patterns `yaml:"blocked_ids"`
}

// MemoryOptions bound the memory of one destination.
type MemoryOptions struct {
	// MaxAge is how long aka remembers a person after its last merge. 1d to 3650d. Default 400d.
	MaxAge time.Duration `yaml:"max_age"`
	// MaxBytes bounds the memory on disk. Beyond it the oldest facts go. At least 1MiB. Default 1GiB.
	MaxBytes strictyaml.Size `yaml:"max_bytes"`
}

// Default is what happens to a held alias if no operator decides in time.
type Default string

const (
	// Refuse drops the alias. The calls behind it go on.
	Refuse Default = "refuse"
	// Approve sends the alias, if the vendor's own rules allow it.
	Approve Default = "approve"
)

// QuarantineOptions bound the held aliases of one destination.
type QuarantineOptions struct {
	// VerdictAfter is how long an alias is held before aka decides by itself. The time that it waited behind other held aliases
	// counts. 1m to 30d. Default 24h.
	VerdictAfter time.Duration `yaml:"verdict_after"`
	// Then is what aka decides then: refuse drops the alias, approve sends it. The calls behind it go on in both cases.
	// Default refuse.
	Then Default `yaml:"then"`
	// MaxCalls is how many calls may wait behind held aliases. Beyond it the oldest held alias gets the verdict of then at once.
	// 1000 to 100000000. Default 1000000.
	MaxCalls int `yaml:"max_calls"`
	// MaxBytes bounds the same calls on disk, in the same way. At least 1MiB. Default 1GiB.
	MaxBytes strictyaml.Size `yaml:"max_bytes"`
}

// LedgerOptions bound the ledger of one destination.
type LedgerOptions struct {
	// MaxAge is how long aka keeps an entry. 1d to 3650d. Default 400d.
	MaxAge time.Duration `yaml:"max_age"`
	// MaxBytes bounds the ledger on disk. Beyond it the oldest entries go. At least 1MiB. Default 1GiB.
	MaxBytes strictyaml.Size `yaml:"max_bytes"`
}

const day = 24 * time.Hour

// DefaultOptions are those of a config that says nothing.
var DefaultOptions = Options{
	Rules: Rules{
		KnownUsers:          Hold,
		NewUserGrace:        10 * time.Minute,
		DeviceOfAnotherUser: Drop,
		Direction:           Drop,
		MaxIDs:              50,
		MaxIDsPer:           7 * day,
		MaxIDsVerdict:       Hold,
	},
	Memory:     MemoryOptions{MaxAge: 400 * day, MaxBytes: strictyaml.GiB},
	Quarantine: QuarantineOptions{VerdictAfter: day, Then: Refuse, MaxCalls: 1_000_000, MaxBytes: strictyaml.GiB},
	Ledger:     LedgerOptions{MaxAge: 400 * day, MaxBytes: strictyaml.GiB},
}

// Check reports every value that is out of its range, by its key below the section.
func (o *Options) Check(report func(key, format string, args ...any)) {
	o.Rules.check(report)
	kept := func(key string, age time.Duration, bytes strictyaml.Size) {
		between(report, key+".max_age", age, day, 3650*day)
		atLeastMiB(report, key+".max_bytes", bytes)
	}
	kept("memory", o.Memory.MaxAge, o.Memory.MaxBytes)
	kept("ledger", o.Ledger.MaxAge, o.Ledger.MaxBytes)
	q := &o.Quarantine
	between(report, "quarantine.verdict_after", q.VerdictAfter, time.Minute, 30*day)
	oneOf(report, "quarantine.then", q.Then, Refuse, Approve)
	if q.MaxCalls < 1000 || q.MaxCalls > 100_000_000 {
		report("quarantine.max_calls", "expected 1000 to 100000000, not %d", q.MaxCalls)
	}
	atLeastMiB(report, "quarantine.max_bytes", q.MaxBytes)
}

// String returns the rules in effect on one line, such as "known_users hold, max_ids 50 per 7d hold".
func (r *Rules) String() string {
	text := fmt.Sprintf("%s %s, %s %s, %s %s, %s %d per %s %s", KnownUsers, r.KnownUsers, DeviceOfAnotherUser, r.DeviceOfAnotherUser,
		Direction, r.Direction, MaxIDs, r.MaxIDs, strictyaml.FormatDuration(r.MaxIDsPer), r.MaxIDsVerdict)
	if n := len(r.BlockedIDs); n > 0 {
		text += fmt.Sprintf(", %s %d", BlockedIDs, n)
	}
	return text
}

func (r *Rules) check(report func(key, format string, args ...any)) {
	oneOf(report, "known_users", r.KnownUsers, Verdicts...)
	between(report, "new_user_grace", r.NewUserGrace, 0, day)
	oneOf(report, "device_of_another_user", r.DeviceOfAnotherUser, Verdicts...)
	oneOf(report, "direction", r.Direction, Verdicts...)
	if r.MaxIDs < 1 || r.MaxIDs > 1000 {
		report("max_ids", "expected 1 to 1000, not %d (max_ids_verdict: allow switches the rule off)", r.MaxIDs)
	}
	between(report, "max_ids_per", r.MaxIDsPer, time.Minute, 400*day)
	oneOf(report, "max_ids_verdict", r.MaxIDsVerdict, Verdicts...)
	r.BlockedIDs.check("blocked_ids", report)
}

func between(report func(key, format string, args ...any), key string, value, least, most time.Duration) {
	if value < least || value > most {
		text := strictyaml.FormatDuration
		report(key, "expected %s to %s, not %s", text(least), text(most), text(value))
	}
}

func atLeastMiB(report func(key, format string, args ...any), key string, value strictyaml.Size) {
	if value < strictyaml.MiB {
		report(key, "expected at least 1MiB, not %s", value)
	}
}

func oneOf[Word ~string](report func(key, format string, args ...any), key string, value Word, words ...Word) {
	if slices.Contains(words, value) {
		return
	}
	known := make([]string, len(words))
	for i, word := range words {
		known[i] = string(word)
	}
	report(key, "expected %s, not %q%s", list(known), value, spelling.Hint(string(value), known))
}

// list joins words as in "allow, observe, hold or drop".
func list(words []string) string {
	text := words[0]
	for i, word := range words[1:] {
		if i == len(words)-2 {
			text += " or " + word
			continue
		}
		text += ", " + word
	}
	return text
}
