// Package verify sends a story with fresh ids to one destination, and reads back what became of it. The story goes the way of calls:
// the adapter translates, the HTTP client of the pipelines sends, and the adapter judges the answers. It keeps nothing on disk.
package verify

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"time"

	"aka/destinations/adapter"
	"aka/router/config"
	"aka/router/httpclient"
)

// Finding is what came of it.
type Finding string

const (
	// Verified is a vendor that took everything, and in which all of it was found.
	Verified Finding = "verified"
	// Unverified is a vendor that took everything, and that cannot be asked: a person has to look.
	Unverified Finding = "unverified"
	// Failed is a vendor that refused something, or in which something is missing.
	Failed Finding = "failed"
)

// Options are how it is done.
type Options struct {
	// Run names an earlier run: its story is only read back, and nothing is sent. "" is a new one.
	Run string
	// Wait is how long what was sent may take to be found. Every is the pause between two looks. Default: 5 s.
	Wait, Every time.Duration
}

// Result is what was sent and what was found. No secret is in it.
type Result struct {
	Destination string        `json:"destination"`
	Type        string        `json:"type"`
	Finding     Finding       `json:"finding"`
	At          time.Time     `json:"at"`
	Story       adapter.Story `json:"story"`
	// Why says what is wrong, or why a person has to look.
	Why string `json:"why,omitempty"`
	// Calls are those that were sent, in order; none for an earlier run.
	Calls []Call `json:"calls,omitempty"`
	// Checks are what was read back.
	Checks []Check `json:"checks,omitempty"`
	// Look is what must be on the vendor's pages.
	Look []string `json:"look,omitempty"`
	// Record is the line for the vendor's page. Of an unverified one, it holds once a person has looked. A failed one has none,
	// nor has an earlier run that cannot be read back.
	Record string `json:"record,omitempty"`
}

// Plan is what would be sent.
type Plan struct {
	Story adapter.Story
	// Hosts are those that requests go to, and Checks is how many are to read back.
	Hosts  []string
	Checks int
	// Requests is how many there are, or, where Asks, at least: the rest depends on answers.
	Requests int
	Asks     bool
}

// runPattern is what a run's name is made of. It begins with a letter: no vendor takes it for a number.
var runPattern = regexp.MustCompile(`^[a-f][0-9a-f]{7}$`)

// IsRun reports whether a text is the name of a run.
func IsRun(text string) bool { return runPattern.MatchString(text) }

func newRun() string {
	var random [4]byte
	_, _ = rand.Read(random[:]) // it never fails
	name := []byte(hex.EncodeToString(random[:]))
	name[0] = 'a' + random[0]%6
	return string(name)
}

// verifier is one run at one destination.
type verifier struct {
	destination  *config.Destination
	options      Options
	verification adapter.Verification
	calls        []storyCall
	sender       *httpclient.Sender
}

// newVerifier makes the story, and finds out what must come of it.
func newVerifier(c *config.Config, d *config.Destination, options Options) (*verifier, error) {
	run := options.Run
	if run == "" {
		run = newRun()
	}
	v := &verifier{destination: d, options: options}
	v.verification = verificationOf(d.Adapter, adapter.NewStory(run))
	var err error
	v.calls, err = parseStory(c, v.verification.Story, time.Now())
	return v, err
}

// verificationOf asks the adapter. One that is no Verifier leaves it to a person.
func verificationOf(a adapter.Adapter, story adapter.Story) adapter.Verification {
	if knows, ok := a.(adapter.Verifier); ok {
		return knows.Verify(story)
	}
	return adapter.Verification{
		Story:  story,
		Unread: "the adapter of this vendor reads nothing back",
		Look:   []string{"what became of " + story.Old + " and " + story.New},
	}
}

// PlanOf says what Run would send. It sends nothing.
func PlanOf(c *config.Config, d *config.Destination) (Plan, error) {
	v, err := newVerifier(c, d, Options{})
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{Story: v.verification.Story, Checks: len(v.verification.Checks)}
	seen := map[string]bool{}
	add := func(r adapter.Request) {
		if at, err := url.Parse(r.URL); err == nil && !seen[at.Host] {
			seen[at.Host] = true
			plan.Hosts = append(plan.Hosts, at.Host)
		}
	}
	used := map[string]bool{}
	for _, call := range v.calls {
		_, outcome := v.translate(call, used)
		plan.Requests += len(outcome.Requests)
		plan.Asks = plan.Asks || outcome.Asks()
		for _, r := range outcome.Requests {
			add(r)
		}
	}
	for _, check := range v.verification.Checks {
		add(check.Request)
	}
	return plan, nil
}

// Run sends the story to the destination and reads it back. The error is that of a context that ended.
func Run(ctx context.Context, c *config.Config, d *config.Destination, options Options) (*Result, error) {
	if options.Every <= 0 {
		options.Every = 5 * time.Second
	}
	v, err := newVerifier(c, d, options)
	if err != nil {
		return nil, err
	}
	v.sender = httpclient.New(d.Delivery.HTTP())
	defer v.sender.Close()
	result := &Result{Destination: d.Name, Type: d.Type, At: time.Now().UTC(), Story: v.verification.Story, Look: v.verification.Look}
	if options.Run == "" {
		if err := v.send(ctx, result); err != nil || result.Finding == Failed {
			return result, err
		}
	}
	if err := v.readBack(ctx, result); err != nil {
		return result, err
	}
	result.Record = v.record(result)
	return result, nil
}

// fail notes the first thing that is wrong.
func (r *Result) fail(format string, args ...any) {
	r.Finding = Failed
	if r.Why == "" {
		r.Why = fmt.Sprintf(format, args...)
	}
}

// pause waits, unless the context ends before.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
