package explain

import (
	"bytes"
	"encoding/json"
	"errors"

	"aka/router/config"
	"aka/router/segment"
)

// linesOf returns the lines of NDJSON that are not empty; nil where the body is no NDJSON: its first line must be JSON, and not the
// only one.
func linesOf(body []byte) (lines [][]byte) {
	for line := range bytes.Lines(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			lines = append(lines, line)
		}
	}
	if len(lines) < 2 || !json.Valid(lines[0]) {
		return nil
	}
	return lines
}

// eachLine explains each line as a body of its own. A line that would be refused whole is one refused call. The positions of calls go
// on from line to line.
func eachLine(c *config.Config, lines [][]byte, options Options) (*Explanation, error) {
	all := &Explanation{}
	for i, line := range lines {
		explained, err := one(c, line, options)
		refused := (*segment.Error)(nil)
		switch {
		case errors.As(err, &refused):
			explained = &Explanation{Source: all.Source, Calls: []Call{refusedCall(0, refused.Code, refused.Message)}}
		case err != nil:
			return nil, err
		}
		if i == 0 {
			all.Source = explained.Source
		}
		for _, call := range explained.Calls {
			call.Index = len(all.Calls)
			if call.Source == "" && explained.Source != all.Source {
				call.Source = explained.Source
			}
			all.Calls = append(all.Calls, call)
		}
	}
	return all, nil
}
