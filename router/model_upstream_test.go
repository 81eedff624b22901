package router

import (
	"slices"

	"aka/destinations/simulator"
)

// forwarded is a call that an upstream has taken.
type forwarded struct {
	kind, messageID string
	ids             []string
}

// forwardedTo are the calls that an account did not refuse, in their order. An upstream takes a messageId once.
func forwardedTo(account *simulator.Account) (calls []forwarded) {
	seen := map[string]bool{}
	for _, exchange := range account.Exchanges() {
		if exchange.Status/100 == 4 {
			continue
		}
		for _, record := range exchange.Records {
			said := func(name string) string { text, _ := record.(map[string]any)[name].(string); return text }
			call := forwarded{kind: said("type"), messageID: said("messageId")}
			for _, name := range []string{"previousId", "userId", "anonymousId"} {
				if id := said(name); id != "" {
					call.ids = append(call.ids, id)
				}
			}
			if !seen[call.messageID] {
				calls = append(calls, call)
			}
			seen[call.messageID] = true
		}
	}
	return calls
}

// checkPlaces checks that each alias came in its place among the calls that share an id with it, as an ideal delivery has it. The
// people there do not say: ids may be joined in any order.
func (m *model) checkPlaces(d modelDestination) {
	m.t.Helper()
	place := map[string]int{}
	for i, call := range forwardedTo(m.faulty.Account(d.name)) {
		place[call.messageID] = i
	}
	aliases, want := 0, forwardedTo(m.ideal.Account(d.name))
	for i, alias := range want {
		at, ok := place[alias.messageID]
		if alias.kind != "alias" || !ok { // one that was delivered before is not sent again
			continue
		}
		aliases++
		for j, other := range want {
			there, ok := place[other.messageID]
			shares := slices.ContainsFunc(other.ids, func(id string) bool { return slices.Contains(alias.ids, id) })
			if ok && j != i && shares && (j < i) != (there < at) {
				m.t.Errorf("%s: the %s call %s came on the other side of the alias %s", d.name, other.kind, other.messageID, alias.messageID)
			}
		}
	}
	if aliases < 5 {
		m.t.Errorf("%s: the story has only %d aliases", d.name, aliases)
	}
}
