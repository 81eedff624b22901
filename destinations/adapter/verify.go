package adapter

import (
	"fmt"
	"net/http"
	"strings"
)

// Verifier is implemented by an adapter that knows how what became of a Story can be seen at the vendor: by requests that read it back,
// by eye, or both. `aka verify` sends the story, and then asks.
type Verifier interface {
	// Verify says what must be there once the story was delivered. It does no I/O, and equal stories give equal verifications.
	Verify(Story) Verification
}

// Story is the calls that `aka verify` sends to a test account: identify and track under Old, an alias of Old to New, identify and track
// under New. Each identify has the Run as a trait, and each track as a property.
type Story struct {
	// Run is what tells the story from others, such as "a1b2c3d4". It is in both ids.
	Run string `json:"run"`
	// Old is an e-mail address of a domain that is reserved. New is an id, unless the Verification has another one.
	Old string `json:"old"`
	New string `json:"new"`
}

// What the calls of a story are called by.
const (
	BeforeTrait = "aka_verify_before" // of the identify under Old
	AfterTrait  = "aka_verify_after"  // of the identify under New
	BeforeEvent = "Aka Verify Before" // under Old
	AfterEvent  = "Aka Verify After"  // under New
)

// verifyDomain is reserved (RFC 2606): no mail arrives there.
const verifyDomain = "@example.com"

// NewStory returns the story of a run.
func NewStory(run string) Story {
	return Story{Run: run, Old: "aka-verify-" + run + "-old" + verifyDomain, New: "aka-verify-" + run + "-new"}
}

// WithEmails returns the story with an e-mail address for New, too: for an account that knows people by their e-mail only.
func (s Story) WithEmails() Story {
	if !strings.HasSuffix(s.New, verifyDomain) {
		s.New += verifyDomain
	}
	return s
}

// Verification is how what became of a story can be seen. No secret is in it, but in the headers of requests.
type Verification struct {
	// Story is the story to send: the given one, unless the account takes other ids.
	Story Story
	// Setup are the settings that the result holds for, such as "id_merge original".
	Setup string
	// Checks read back, in order. Where there are none, Unread says why, and which setting would allow them.
	Checks []Check
	Unread string
	// Keys are the settings with the credentials of the checks, such as "app_api_key".
	Keys []string
	// Look is what a person must find on the vendor's own pages, such as "one person under NEW".
	Look []string
}

// Check is one question to the vendor. It changes nothing there.
type Check struct {
	// Expected is what must be found, such as "one person with both traits".
	Expected string
	Request  Request
	// Read reports whether an answer shows what is expected, and what it shows otherwise, or in addition: "" for nothing. It does no I/O. It
	// is not asked about web pages, nor about answers that refuse the credentials or put off the question.
	Read func(Answer) (ok bool, found string)
}

// Judge reads an answer to the check. ok is false for any that is not the vendor's word. A panic of Read counts as not found.
func (c Check) Judge(answer Answer, keys []string) (ok bool, found string) {
	switch verdict := answer.Verdict(); {
	case answer.IsPage():
		return false, fmt.Sprintf("the answer (%d) is a web page, and not the vendor's", answer.Status)
	case verdict.Class == Operator:
		return false, fmt.Sprintf("the vendor refuses the credentials (%d): see %s", answer.Status, strings.Join(keys, ", "))
	case answer.Status == http.StatusTooManyRequests:
		return false, "the vendor has had too many questions (429)"
	case verdict.Class == Later:
		return false, fmt.Sprintf("the vendor cannot answer now (%d)", answer.Status)
	}
	defer func() {
		if recover() != nil {
			ok, found = false, fmt.Sprintf("the answer (%d) cannot be read", answer.Status)
		}
	}()
	return c.Read(answer)
}
