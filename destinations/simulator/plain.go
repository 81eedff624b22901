package simulator

import (
	"net/http"
	"net/url"
	"strings"
)

// plain is a vendor that has no simulation of its own: it answers 200 and {} to everything, and knows no people.
type plain struct{}

func newPlain(*accountState, Options) vendor { return plain{} }

// decode reads a JSON array's elements, another JSON value, or a form.
func (plain) decode(in *request) ([]item, error) {
	if in.isGzip() {
		if err := in.gunzip(); err != nil {
			return nil, err
		}
	}
	if len(in.body) == 0 {
		return nil, nil
	}
	if strings.HasPrefix(in.header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		form, err := url.ParseQuery(string(in.body))
		return []item{{value: textsOf(form), bytes: len(in.body)}}, err
	}
	value, err := decodeJSON(in.body)
	if err != nil {
		return nil, err
	}
	values, isArray := value.([]any)
	if !isArray {
		values = []any{value}
	}
	items := make([]item, len(values))
	for i, value := range values {
		items[i].value = maskMembers(value)
	}
	return items, nil
}

func textsOf(form url.Values) map[string]any {
	record := map[string]any{}
	for name, values := range form {
		record[name] = strings.Join(values, "\n")
	}
	maskMembers(record)
	return record
}

// maskMembers masks, in place, what is called like a credential.
func maskMembers(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			v[name] = maskMembers(inner)
			if isSecretName(name) {
				v[name] = secret
			}
		}
	case []any:
		for i, inner := range v {
			v[i] = maskMembers(inner)
		}
	}
	return value
}

func (plain) handle(*request) answer { return jsonAnswer(http.StatusOK, struct{}{}) }
