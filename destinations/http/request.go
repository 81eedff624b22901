package http

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"aka/destinations/adapter"
	"aka/router/expression"
)

// request makes one request, or one for each element of a list.
type request struct {
	key                  string
	when, each, built    *expression.Program
	method, pattern      string
	path                 []pathPart
	json                 template
	form, query, headers *object
	header               map[string]string // where it is the same for all calls
	ids                  []*expression.Program
	batch                *adapter.Batch
	rate                 *adapter.Rate
	wait                 time.Duration
	merges               bool
	follows              bool // it is one of `then`
}

func (r *request) fits(env *expression.Env) (bool, error) {
	if r.when == nil {
		return true, nil
	}
	fits, err := r.when.Truth(env)
	if err != nil {
		return false, fmt.Errorf("%s.if: %w", r.key, err)
	}
	return fits, nil
}

// elements returns the elements of its list, or a single one where it has no list.
func (r *request) elements(env *expression.Env) ([]any, error) {
	if r.each == nil {
		return []any{nil}, nil
	}
	value, err := r.each.Run(env)
	if err != nil {
		return nil, fmt.Errorf("%s.each: %w", r.key, err)
	}
	elements, isList := value.([]any)
	if !isList && value != nil {
		return nil, fmt.Errorf("%s.each: expected a list", r.key)
	}
	return elements, nil
}

func (r *request) make(base string, run *run) (made adapter.Request, err error) {
	made.Merges, made.Rate, made.Wait = r.merges, r.rate, r.wait
	if made.Method, made.URL, err = r.target(base, run); err != nil {
		return made, err
	}
	if made.Header, err = r.makeHeader(run); err != nil {
		return made, err
	}
	switch {
	case r.json != nil:
		made.Body, err = r.makeJSON(run)
	case r.form != nil:
		made.Body, err = r.form.encodeFields(run)
	}
	if err == nil && r.batch != nil {
		made.Batch = r.batchOf(made)
	}
	return made, err
}

func (r *request) makeJSON(run *run) ([]byte, error) {
	value, err := r.json.make(run)
	if err != nil {
		return nil, err
	}
	if isMissing(value) {
		return nil, fmt.Errorf("%s.json: has no value", r.key)
	}
	body, err := adapter.Encode(value)
	if err != nil {
		return nil, fmt.Errorf("%s.json: holds a value that is not JSON", r.key)
	}
	return body, nil
}

// target returns the method and the URL.
func (r *request) target(base string, run *run) (method, url string, err error) {
	target := append(make([]byte, 0, 128), base...)
	if r.built != nil {
		method, target, err = r.buildTarget(target, run)
	} else {
		method = r.method
		for _, part := range r.path {
			if target, err = part.append(target, run, r.key+".request"); err != nil {
				return "", "", err
			}
		}
	}
	if err != nil || r.query == nil {
		return method, string(target), err
	}
	query, err := r.query.encodeFields(run)
	if len(query) > 0 {
		target = append(append(target, '?'), query...)
	}
	return method, string(target), err
}

func (r *request) buildTarget(target []byte, run *run) (string, []byte, error) {
	key := r.key + ".request"
	value, err := (&leaf{key, r.built}).make(run)
	if err != nil {
		return "", nil, err
	}
	text, _ := value.(string)
	method, path, _ := strings.Cut(text, " ")
	if !slices.Contains(methods, method) || !strings.HasPrefix(path, "/") || !isPath(path) {
		return "", nil, fmt.Errorf("%s: expected a method and a path, such as POST /users", key)
	}
	return method, append(target, path...), nil
}

// fixHeader makes the headers now where no call changes them.
func (r *request) fixHeader() {
	header := map[string]string{}
	if r.headers != nil {
		for _, m := range r.headers.members {
			var value any
			switch fixed := m.template.(type) {
			case literal:
				value = fixed.value
			case constant:
				value = fixed.value
			default:
				return
			}
			text, ok := fieldText(value)
			if !ok {
				return
			}
			header[m.name] = text
		}
	}
	r.header = r.withContentType(header)
}

func (r *request) withContentType(header map[string]string) map[string]string {
	if header["Content-Type"] == "" && r.json != nil {
		header["Content-Type"] = "application/json"
	}
	if header["Content-Type"] == "" && r.form != nil {
		header["Content-Type"] = "application/x-www-form-urlencoded"
	}
	return header
}

func (r *request) makeHeader(run *run) (map[string]string, error) {
	if r.header != nil && run.leaves == nil || r.headers == nil {
		return r.header, nil
	}
	header := map[string]string{}
	err := r.headers.eachField(run, func(m *member, text string) error {
		if !isHeaderValue(text) {
			return fmt.Errorf("%s: expected a text without line breaks", m.key)
		}
		header[m.name] = text
		return nil
	})
	return r.withContentType(header), err
}

// batchOf keeps apart what cannot travel together: a batch goes to one URL, with one set of headers.
func (r *request) batchOf(made adapter.Request) *adapter.Batch {
	if r.isFixed() {
		return r.batch
	}
	batch := *r.batch
	batch.Key += " " + made.Method + " " + made.URL
	if r.header == nil {
		for _, m := range r.headers.members {
			batch.Key += "\n" + m.name + ": " + made.Header[m.name]
		}
	}
	return &batch
}

// isFixed reports whether all that is around the body is the same for all calls.
func (r *request) isFixed() bool {
	return r.built == nil && len(r.path) == 1 && r.query == nil && r.header != nil
}
