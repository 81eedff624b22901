package simulator

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// CustomerIO is how a simulated Customer.io workspace is set, and what it does where the vendor's pages are silent or say two
// things. The zero value is the likelier of each; a word that is left empty is the first of those named.
type CustomerIO struct {
	// SiteID is the user of the credentials, and Options.Token the password; "" takes any.
	SiteID string
	// AppAPIKey is the key of the App API; "" takes any.
	AppAPIKey string
	// Region is where the account is: "us" or "eu".
	Region string
	// Host is the region of the host that the endpoint is: "us" or "eu". Default: that of the account.
	Host string

	// Identifiers are those that the workspace allows beside cio_id: "both", "id" or "email". In "id" an e-mail is an attribute
	// that many people can have.
	Identifiers string
	// Phone allows phone numbers as identifiers too. No merge takes them.
	Phone bool
	// NoAutoMerge switches off auto-merge: an identify with the id of one person and the e-mail of another merges the two, if
	// neither has the identifier of the other. The older person stays.
	NoAutoMerge bool
	// NoAnonymousMerge switches off anonymous merge: an identify with an anonymous_id joins the events under that id.
	NoAnonymousMerge bool
	// EmailUpdatesByID allows an identify by id to change an e-mail. Without it only an identify by cio_id can.
	EmailUpdatesByID bool

	// FindableAfter is how long a merge does not find a person, or an identifier of a person, that was just made. The pages say that
	// an identify and a merge at once race, not for how long. Default: 2 s; below zero it is found at once.
	FindableAfter time.Duration
	// BatchOrder is the order in which the items of a batch are taken: "given" or "reversed".
	BatchOrder string
	// LongIDs is what becomes of an id over 150 bytes: it is "refused", or "cut", so that two people can become one.
	LongIDs string
	// TakenAnonymousID is what an identify does whose anonymous_id is somebody else's: the first person has it "kept", or it is
	// "moved" to the second with what comes from then on.
	TakenAnonymousID string
	// Rejoin is what an identify makes of events that came over five minutes after an identify with the same anonymous_id: it
	// joins them "again", as the newer page says, or "never", as the older does.
	Rejoin string
	// SelfMerge is what a merge of a person with itself does: "nothing", it is "refused" with 400, or the person is "deleted".
	SelfMerge string
	// MergedIdentifiers are an id or e-mail of the secondary that the primary lacks: "inherited", as any attribute that it
	// lacks, or "free" for a new person.
	MergedIdentifiers string
	// Conflict is what becomes of an identify whose identifiers cannot all be set: it does "nothing", or the "rest" of its
	// attributes is taken.
	Conflict string
	// Future is what becomes of a time that lies ahead: it is "kept", or it becomes "now".
	Future string
	// AnonymousEvents with identifiers.anonymous_id, which other senders use and the API's description does not have, are "taken"
	// or "refused". Version 1 takes them in any case.
	AnonymousEvents string
	// RelatedPeople is what becomes of people that an object is related to and no call has identified: they are "made" or "ignored".
	RelatedPeople string
	// RecentDays is how old an event can be that a merge moves at once; older ones come an hour later. One page says 30, another
	// 29. Default: 30.
	RecentDays int
	// Kilobyte is that of the limits in bytes: 1000 or 1024. Default: 1000, which is the stricter.
	Kilobyte int
	// Rate is how many requests a second are taken; the others get 429. The pages name 1000 and 100 as fair use and do not say
	// what more gets. Default: 0, no limit.
	Rate int
}

func (c *CustomerIO) choices() []wordChoice {
	return []wordChoice{
		{"region", &c.Region, []string{"us", "eu"}},
		{"identifiers", &c.Identifiers, []string{"both", "id", "email"}},
		{"batch_order", &c.BatchOrder, []string{"given", "reversed"}},
		{"long_ids", &c.LongIDs, []string{"refused", "cut"}},
		{"taken_anonymous_id", &c.TakenAnonymousID, []string{"kept", "moved"}},
		{"rejoin", &c.Rejoin, []string{"again", "never"}},
		{"self_merge", &c.SelfMerge, []string{"nothing", "refused", "deleted"}},
		{"merged_identifiers", &c.MergedIdentifiers, []string{"inherited", "free"}},
		{"conflict", &c.Conflict, []string{"nothing", "rest"}},
		{"future", &c.Future, []string{"kept", "now"}},
		{"anonymous_events", &c.AnonymousEvents, []string{"taken", "refused"}},
		{"related_people", &c.RelatedPeople, []string{"made", "ignored"}},
	}
}

func (c CustomerIO) withDefaults() CustomerIO {
	for _, choice := range c.choices() {
		if *choice.value == "" {
			*choice.value = choice.words[0]
		}
	}
	if c.Host == "" {
		c.Host = c.Region
	}
	if c.FindableAfter == 0 {
		c.FindableAfter = 2 * time.Second
	}
	if c.RecentDays == 0 {
		c.RecentDays = 30
	}
	if c.Kilobyte == 0 {
		c.Kilobyte = 1000
	}
	return c
}

func checkCustomerIO(options Options) error {
	set := options.CustomerIO.withDefaults()
	choices := append(set.choices(), wordChoice{"host", &set.Host, []string{"us", "eu"}})
	for _, choice := range choices {
		if !slices.Contains(choice.words, *choice.value) {
			return fmt.Errorf("%s %q is not one of %s", choice.name, *choice.value, strings.Join(choice.words, ", "))
		}
	}
	if set.Kilobyte != 1000 && set.Kilobyte != 1024 {
		return fmt.Errorf("kilobyte %d is not one of 1000, 1024", set.Kilobyte)
	}
	return nil
}

// allows reports whether the workspace knows people by this kind of identifier.
func (c CustomerIO) allows(kind string) bool {
	switch kind {
	case "id":
		return c.Identifiers != "email"
	case "email":
		return c.Identifiers != "id"
	case "phone":
		return c.Phone
	}
	return kind == "cio_id"
}

// byShape is how version 1 reads the identifier in a path.
func (c CustomerIO) byShape(value string) cioRef {
	switch cioID, ok := strings.CutPrefix(value, "cio_"); {
	case ok:
		return cioRef{"cio_id", cioID}
	case c.Identifiers == "email", strings.Contains(value, "@") && c.allows("email"):
		return cioRef{"email", strings.ToLower(value)}
	}
	return cioRef{"id", value}
}
