package adapter

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
)

// Shown is a request with its query and body decoded, for people to read: in explain and in golden cases.
type Shown struct {
	Method string            `json:"method"`
	URL    string            `json:"url"`
	Query  map[string]string `json:"query,omitempty"`
	Header map[string]string `json:"headers,omitempty"`
	// Form holds the fields of a form body; those whose value is a JSON object or array are decoded.
	Form map[string]any `json:"form,omitempty"`
	// JSON is the body where it is JSON, decoded with every number's digits.
	JSON any `json:"json,omitempty"`
	// Text is a body that is neither.
	Text string `json:"text,omitempty"`
	// Merges is true for a request that the rules of merges may leave out.
	Merges bool `json:"merges,omitempty"`
	// Asks is true for a request whose answer decides what comes next.
	Asks bool `json:"asks,omitempty"`
	// Sign is how each try is signed, and the message's id, such as "standard_webhooks m1".
	Sign string `json:"sign,omitempty"`
	// Envelope is what the body goes in, with others of its kind: {"batch":[…]}. It is "" for an array, and for what goes alone.
	Envelope string `json:"envelope,omitempty"`
	// Rate is how many such requests may begin, such as "2.5/s merges".
	Rate string `json:"rate,omitempty"`
	// Wait is how long the next request waits, such as 3s.
	Wait string `json:"wait,omitempty"`
}

// Show decodes a request. A parameter that is given more than once shows its values joined by newlines.
func Show(r Request) Shown {
	shown := Shown{Method: r.Method, Header: r.Header, Merges: r.Merges, Asks: r.Asks}
	if b := r.Batch; b != nil && (b.Before != "" || b.After != "" || b.Separator != "") {
		shown.Envelope = b.Before + "…" + b.After
	}
	if r.Sign != nil {
		shown.Sign = string(r.Sign.Scheme) + " " + r.Sign.ID
	}
	if r.Rate != nil {
		shown.Rate = strconv.FormatFloat(r.Rate.PerSecond, 'g', -1, 64) + "/s " + r.Rate.Key
	}
	if r.Wait > 0 {
		shown.Wait = min(r.Wait, MaxWait).String()
	}
	address, query, _ := strings.Cut(r.URL, "?")
	shown.URL = address
	if values, err := url.ParseQuery(query); err == nil && query != "" {
		shown.Query = map[string]string{}
		for name, all := range values {
			shown.Query[name] = strings.Join(all, "\n")
		}
	}
	switch {
	case len(r.Body) == 0:
	case strings.HasPrefix(r.Header["Content-Type"], "application/x-www-form-urlencoded"):
		values, _ := url.ParseQuery(string(r.Body))
		shown.Form = map[string]any{}
		for name, all := range values {
			shown.Form[name] = formValue(strings.Join(all, "\n"))
		}
	default:
		if value, ok := decodeJSON(string(r.Body)); ok {
			shown.JSON = value
		} else {
			shown.Text = string(r.Body)
		}
	}
	return shown
}

// Mask replaces secrets everywhere in what is shown. Authorization is masked whole.
func (s Shown) Mask(m *Masker) Shown {
	s.URL = m.Mask(s.URL)
	s.Text = m.Mask(s.Text)
	s.Sign = m.Mask(s.Sign)
	s.JSON = maskValue(s.JSON, m)
	query, header, form := map[string]string{}, map[string]string{}, map[string]any{}
	for name, value := range s.Query {
		query[m.Mask(name)] = m.Mask(value)
	}
	for name, value := range s.Header {
		if strings.EqualFold(name, "Authorization") {
			value = masked
		}
		header[name] = m.Mask(value)
	}
	for name, value := range s.Form {
		form[m.Mask(name)] = maskValue(value, m)
	}
	s.Query, s.Header, s.Form = query, header, form
	return s
}

func maskValue(value any, m *Masker) any {
	switch v := value.(type) {
	case string:
		return m.Mask(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, inner := range v {
			out[m.Mask(name)] = maskValue(inner, m)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = maskValue(inner, m)
		}
		return out
	}
	return value
}

func formValue(text string) any {
	if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
		if value, ok := decodeJSON(text); ok {
			return value
		}
	}
	return text
}

func decodeJSON(text string) (any, bool) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil || decoder.More() {
		return nil, false
	}
	return value, true
}
