package explain

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"aka/destinations/adapter"
	"aka/router/config"
	"aka/router/httpclient"
)

const (
	// maxProbe is how long a vendor may take to answer one request of a probe.
	maxProbe = 10 * time.Second
	// maxSaid is how much is kept of what a vendor answers.
	maxSaid = 300
)

// Probed is what was found out about a destination's credentials. No secret is in it.
type Probed struct {
	Destination string          `json:"destination"`
	Type        string          `json:"type"`
	Finding     adapter.Finding `json:"finding"`
	// Meaning says what was found in a sentence, and what to do about it.
	Meaning string `json:"meaning"`
	// Request is what was asked, as "POST https://api.mixpanel.com/import?strict=1".
	Request string `json:"request,omitempty"`
	// Status is that of the answer, and ControlStatus that of the answer to credentials that are made up. 0 is none.
	Status        int `json:"status,omitempty"`
	ControlStatus int `json:"control_status,omitempty"`
	// Said is the start of the answer where it is a refusal, or why there was none.
	Said string `json:"said,omitempty"`
	// Milliseconds is how long the answer took.
	Milliseconds int64 `json:"milliseconds,omitempty"`
}

// Failed reports whether nothing can be delivered there as it is.
func (p Probed) Failed() bool {
	switch p.Finding {
	case adapter.NotAccepted, adapter.Unreachable, adapter.SomebodyElse:
		return true
	}
	return false
}

// Probe asks the vendor of each destination, all at once, whether it takes the credentials. No call is sent and nothing is
// changed there. It ends within half a minute.
func Probe(c *config.Config) []Probed {
	names := slices.Sorted(maps.Keys(c.Destinations))
	found := make([]Probed, len(names))
	var probing sync.WaitGroup
	for i, name := range names {
		probing.Go(func() { found[i] = probe(c.Destinations[name]) })
	}
	probing.Wait()
	return found
}

func probe(d *config.Destination) Probed {
	found := Probed{Destination: d.Name, Type: d.Type, Finding: adapter.NotProbed}
	prober, ok := d.Adapter.(adapter.Prober)
	if !ok {
		found.Meaning = "the adapter of this vendor knows nothing harmless to ask"
		return found
	}
	asked, options := prober.Probe(), d.Delivery
	options.Timeout = min(options.Timeout, maxProbe)
	sender := httpclient.New(options.HTTP())
	began := time.Now()
	answer := ask(sender, asked.Request)
	found.Milliseconds = time.Since(began).Milliseconds()
	found.Request = d.Masker.Mask(asked.Request.Method + " " + asked.Request.URL)
	found.Status = answer.Status
	var control httpclient.Response
	if asked.Control != nil && answer.Err == nil {
		control = ask(sender, *asked.Control)
		found.ControlStatus = control.Status
	}
	found.Finding, asked.Unknown = asked.ReadAnswers(answerOf(answer), answerOf(control))
	asked.Unknown = cut(d.Masker.Mask(asked.Unknown))
	if isForeign(d, asked.Request, answer, found.Finding) {
		found.Finding = adapter.SomebodyElse
	}
	if found.Failed() || found.Status >= 300 {
		found.Said = said(answer, d.Masker)
	}
	found.Meaning = meaning(d.Name, asked, found)
	return found
}

// isForeign reports whether somebody else than the vendor answers: with a success that the adapter does not believe, or with a web page
// where nothing else is known of the credentials.
func isForeign(d *config.Destination, request adapter.Request, r httpclient.Response, finding adapter.Finding) bool {
	if r.Err != nil {
		return false
	}
	answer := answerOf(r)
	for _, verdict := range d.Judge([]adapter.Request{request}, answer) {
		if verdict.Note == string(adapter.NotTheVendor) {
			return true
		}
	}
	return finding == adapter.Reachable && answer.IsPage()
}

// answerOf is what an adapter gets of a response: at most the start of its body.
func answerOf(r httpclient.Response) adapter.Answer {
	if r.Err != nil {
		return adapter.Answer{}
	}
	return adapter.Answer{Status: r.Status, ContentType: r.ContentType, Body: r.Body, TooLong: r.TooLong}
}

func ask(sender *httpclient.Sender, r adapter.Request) httpclient.Response {
	return sender.Send(httpclient.Exchange{Method: r.Method, URL: r.URL, Header: r.Header, Body: r.Body})
}

// said is the start of an answer, on one line. It is cut after it was masked: no half of a secret is left.
func said(answer httpclient.Response, masker *adapter.Masker) string {
	if answer.Err != nil {
		return masker.Mask(answer.Err.Error())
	}
	return cut(masker.Mask(strings.Join(strings.Fields(strings.ToValidUTF8(string(answer.Body), "?")), " ")))
}

func cut(text string) string {
	for len(text) > maxSaid {
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return text
}

func seeEndpoint(name string) string {
	return "Check endpoint in destinations." + name + ".settings, and the network between aka and the vendor"
}

func meaning(name string, probe adapter.Probe, found Probed) string {
	var text, more string
	switch found.Finding {
	case adapter.Accepted:
		text, more = "the credentials are taken", probe.Unknown
	case adapter.NotAccepted:
		text, more = "the credentials are refused: see "+strings.Join(probe.Keys, ", ")+" in destinations."+name+".settings", probe.Advice
	case adapter.Reachable:
		text, more = "the vendor answers, but does not report whether the credentials are right", probe.Unknown
		if probe.Control != nil && probe.Judge(found.ControlStatus, found.ControlStatus) == adapter.Unreachable {
			text, more = "the vendor answers, but not when credentials are made up, so that nothing is known of these", ""
		}
	case adapter.SomebodyElse:
		text = fmt.Sprintf("the answer (%d) is not the vendor's but, for example, the web page of a firewall or a login. %s", found.Status, seeEndpoint(name))
	case adapter.Unreachable:
		text = "the vendor cannot be reached"
		switch status := found.Status; {
		case status >= 300 && status < 400:
			text = fmt.Sprintf("the answer is a redirect (%d), which is not followed. %s", status, seeEndpoint(name))
		case status != 0:
			text = fmt.Sprintf("the vendor cannot answer now (%d)", status)
		}
	}
	if more != "" {
		text += ". " + more
	}
	return text
}
