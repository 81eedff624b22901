package golden

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"aka/destinations/adapter"
)

// verifyRun is the run of every case's story.
const verifyRun = "a1b2c3d4"

// wantVerification is what an adapter.Verifier says of the story of verifyRun.
type wantVerification struct {
	// Unread is in the sentence that says why nothing is read back.
	Unread string      `yaml:"unread"`
	Checks []wantCheck `yaml:"checks"`
}

type wantCheck struct {
	wantRequest `yaml:",inline"`
	// Reads are answers to the check, and what it reads in them.
	Reads []wantReading `yaml:"reads"`
}

type wantReading struct {
	Status      int    `yaml:"status"`
	ContentType string `yaml:"content_type"`
	Body        string `yaml:"body"`
	OK          bool   `yaml:"ok"`
	// Found is in what was found.
	Found string `yaml:"found"`
}

// compareVerification checks what the adapter says of a story.
func (c *Case) compareVerification(t T, a adapter.Adapter) {
	t.Helper()
	if c.Verify == nil {
		return
	}
	verifier, is := a.(adapter.Verifier)
	if !is {
		t.Fatal("verify: the adapter is no adapter.Verifier")
	}
	got := verifier.Verify(adapter.NewStory(verifyRun))
	if len(got.Checks) != len(c.Verify.Checks) || (c.Verify.Unread == "") != (got.Unread == "") || !strings.Contains(got.Unread, c.Verify.Unread) {
		t.Fatalf("verify: %d checks, unread %q; want %d, %q", len(got.Checks), got.Unread, len(c.Verify.Checks), c.Verify.Unread)
	}
	for i, want := range c.Verify.Checks {
		want.compare(t, i, got.Checks[i].Request, c.masker)
		for _, r := range want.Reads {
			answer := adapter.Answer{Status: r.Status, ContentType: r.ContentType, Body: []byte(r.Body)}
			if ok, found := got.Checks[i].Judge(answer, got.Keys); ok != r.OK || !strings.Contains(found, r.Found) {
				t.Errorf("verify: check %d reads %t, %q in a %d %s; want %t, %q", i, ok, found, r.Status, r.Body, r.OK, r.Found)
			}
		}
	}
}

// verifyProblem returns what is wrong with what an adapter says of a story, or "".
func verifyProblem(a adapter.Adapter, secrets []adapter.Secret) string {
	verifier, is := a.(adapter.Verifier)
	if !is {
		return ""
	}
	given := adapter.NewStory(verifyRun)
	v, again := verifier.Verify(given), verifier.Verify(given)
	switch {
	case v.Story != given && v.Story != given.WithEmails():
		return fmt.Sprintf("Verify: the story is %+v, want the given one or its WithEmails", v.Story)
	case !reflect.DeepEqual(visible(v), visible(again)):
		return fmt.Sprintf("Verify is not repeatable:\n first %q\nsecond %q", visible(v), visible(again))
	case v.Setup == "" || len(v.Look) == 0:
		return "Verify: Setup and Look must say something"
	case (len(v.Checks) == 0) == (v.Unread == ""):
		return "Verify: Unread must say why there are no checks, and only then"
	case len(v.Checks) > 0 && len(v.Keys) == 0:
		return "Verify: Keys must name the credentials of the checks"
	}
	for _, text := range visible(v) {
		for _, secret := range secrets {
			if strings.Contains(text, secret.Reveal()) {
				return fmt.Sprintf("Verify: a secret stands in what is shown: %q", adapter.NewMasker(secrets).Mask(text))
			}
		}
	}
	for _, check := range v.Checks {
		if problem := checkProblem(a, check, v.Keys, secrets); problem != "" {
			return "Verify: " + check.Expected + ": " + problem
		}
	}
	return ""
}

// visible are the parts of a verification that are shown.
func visible(v adapter.Verification) []string {
	all := append([]string{v.Story.Old, v.Story.New, v.Setup, v.Unread}, slices.Concat(v.Keys, v.Look)...)
	for _, check := range v.Checks {
		all = append(all, check.Expected, check.Request.Method+" "+check.Request.URL)
	}
	return all
}

// saysNothing are answers in which nothing is found.
var saysNothing = []string{"", "null", "{}", "[]", "true", "\xff{\x00"}

// checkProblem returns what is wrong with a check: it asks somebody else, or is content with too little. A panic is the test's.
func checkProblem(a adapter.Adapter, check adapter.Check, keys []string, secrets []adapter.Secret) string {
	r := check.Request
	if problem := problemOf(adapter.Send(r), secrets); problem != "" {
		return problem
	}
	if r.Batch != nil || r.Asks || r.Merges || r.Wait != 0 || r.Sign != nil || r.Rate != nil {
		return "a request that reads back has no batch, wait, rate, signature or mark"
	}
	if prober, is := a.(adapter.Prober); is && ownerOf(r.URL) != ownerOf(prober.Probe().Request.URL) {
		return "it does not ask a host of the vendor: " + r.URL
	}
	for _, body := range saysNothing {
		if ok, _ := check.Judge(adapter.Answer{Status: 200, Body: []byte(body)}, keys); ok {
			return fmt.Sprintf("it is content with %q", body)
		}
	}
	for _, answer := range slices.Concat(unexpected, pages) {
		ok, found := check.Read(answer)
		if again, same := check.Read(answer); again != ok || same != found {
			return "Read is not repeatable"
		}
	}
	return ""
}

// ownerOf is what the hosts of one vendor have in common: the last two labels.
func ownerOf(address string) string {
	at, err := url.Parse(address)
	if err != nil {
		return ""
	}
	labels := strings.Split(at.Hostname(), ".")
	return strings.Join(labels[max(0, len(labels)-2):], ".")
}
