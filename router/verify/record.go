package verify

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// record is the line for the vendor's page. It names no id: those of another run are others. An earlier run that cannot be read back has
// none: what the vendor answered then is not known.
func (v *verifier) record(r *Result) string {
	if r.Finding == Unverified && len(r.Calls) == 0 {
		return ""
	}
	var text strings.Builder
	fmt.Fprintf(&text, "Verified on %s with `aka verify` (%s): %s.", r.At.Format(time.DateOnly), v.setup(), v.ends())
	switch r.Finding {
	case Verified:
		var found []string
		for _, check := range r.Checks {
			line := check.Expected
			if check.Found != "" {
				line += " (" + check.Found + ")"
			}
			found = append(found, line)
		}
		text.WriteString(" Read back: " + strings.Join(found, "; ") + ".")
	case Unverified:
		text.WriteString(" Seen in the account: " + strings.Join(r.Look, "; ") + ".")
	default:
		return ""
	}
	return strings.NewReplacer(r.Story.Old, "the old id", r.Story.New, "the new id").Replace(text.String())
}

// setup is what the result holds for: the vendor, its settings, and an endpoint that is not the vendor's own.
func (v *verifier) setup() string {
	text := v.destination.Type
	if v.verification.Setup != "" {
		text += ", " + v.verification.Setup
	}
	if at, err := url.Parse(v.destination.Adapter.Shared().Endpoint); err == nil && at.Host != "" {
		text += ", endpoint " + at.Host
	}
	return text
}

// ends says how the calls of the story end, as the settings have it: a vendor that refuses one has no record.
func (v *verifier) ends() string {
	var accepted, dropped []string
	used := map[string]bool{}
	for _, c := range v.calls {
		if _, outcome := v.translate(c, used); outcome.Dropped != "" {
			dropped = append(dropped, fmt.Sprintf("%s (`%s`)", c.call.Type, outcome.Dropped))
			continue
		}
		accepted = append(accepted, c.call.Type.String())
	}
	text := "accepted " + strings.Join(accepted, ", ")
	if len(dropped) > 0 {
		text += "; dropped " + strings.Join(dropped, ", ")
	}
	return text
}
