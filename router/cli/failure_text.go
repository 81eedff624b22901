package cli

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"aka/destinations/adapter"
	"aka/router/delivery"
	"aka/router/terminal"
)

// lastFailure is the answer's status and the vendor's words, or why there was no answer; and how often and when.
func lastFailure(f *delivery.Failure, now time.Time) string {
	text := answerText(f)
	if words := shortWords(f.Detail); words != "" {
		text += ": " + words
	}
	return fmt.Sprintf("%s x%d, last %s ago", text, f.Calls, shortAge(now.Sub(f.Last)))
}

// judged says how an answer was judged, where its status does not.
var judged = map[string]string{
	adapter.Later.String(): "to be tried again", adapter.Never.String(): "refused", adapter.Operator.String(): "credentials refused",
	adapter.Split.String(): "too large", adapter.Isolate.String(): "refused as a batch", string(adapter.NotTheVendor): "not the vendor's answer",
}

func answerText(f *delivery.Failure) string {
	if f.Status == 0 {
		return "no answer, " + strings.ReplaceAll(f.Kind, "_", " ")
	}
	text := strings.TrimSpace(fmt.Sprintf("%d %s", f.Status, http.StatusText(f.Status)))
	if f.Status < http.StatusMultipleChoices || f.Kind == string(adapter.NotTheVendor) {
		text += ", " + judged[f.Kind]
	}
	return text
}

// mostWords bounds what a line shows of a vendor's words, in characters.
const mostWords = 100

// shortWords is the beginning of what was said, on one line. Words stand in quotes; JSON does not need them.
func shortWords(said string) string {
	said = strings.Join(strings.Fields(said), " ")
	if runes := []rune(said); len(runes) > mostWords {
		said = string(runes[:mostWords]) + "…"
	}
	if shown := terminal.Plain(said); shown != said || said == "" || strings.HasPrefix(said, "{") || strings.HasPrefix(said, "[") {
		return shown
	}
	return `"` + said + `"`
}

// shortAge is a time span in its largest unit.
func shortAge(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
