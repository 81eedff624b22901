package docs

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"aka/router/expression"
	"aka/router/segment"
	"aka/router/transform/transformtest"
)

// transformExample is a filter and a transform on a page, with a call as it came and as it is sent.
var transformExample = regexp.MustCompile("(?s)<!-- transform -->\n\n```yaml\n(.*?)```\n\n```json\n(.*?)```\n\n```json\n(.*?)```\n")

func TestTheExamplesOfTransformsDoWhatThePageSays(t *testing.T) {
	examples := transformExample.FindAllStringSubmatch(read(t, "docs/transform.md"), -1)
	if len(examples) < 4 {
		t.Fatalf("%d examples", len(examples))
	}
	for _, e := range examples {
		program := transformtest.Compile(t, e[1])
		result, err := segment.Parse([]byte(e[2]), segment.Options{ReceivedAt: time.Now()})
		if err != nil || len(result.Messages) != 1 {
			t.Fatalf("%s: %v", e[2], err)
		}
		call, err := result.Messages[0].Decode()
		if err != nil {
			t.Fatal(err)
		}
		for what, passes := range map[string]func() (bool, error){
			"header": func() (bool, error) { return program.PassesHeader(&call.Header) },
			"call":   func() (bool, error) { return program.Passes(call) },
		} {
			if ok, err := passes(); !ok || err != nil {
				t.Errorf("the filter of the %s: %v, %v\n%s", what, ok, err, e[1])
			}
		}
		edited, err := program.Apply(call)
		if err != nil {
			t.Errorf("%v\n%s", err, e[1])
			continue
		}
		if got, want := plain(t, edited.JSON()), plain(t, []byte(e[3])); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// plain writes JSON with its members sorted.
func plain(t *testing.T, text []byte) string {
	t.Helper()
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	sorted, _ := json.Marshal(value)
	return string(sorted)
}

var (
	functionTable = regexp.MustCompile(`(?s)<!-- functions -->.*<!-- end of functions -->`)
	functionName  = regexp.MustCompile("`([a-z0-9_]+)\\(")
)

func TestThePageOfTransformsNamesOnlyFunctionsThatThereAre(t *testing.T) {
	rows := functionTable.FindString(read(t, "docs/transform.md"))
	named := 0
	for _, row := range strings.Split(rows, "\n") {
		if cells := strings.Split(row, "|"); len(cells) > 2 {
			for _, m := range functionName.FindAllStringSubmatch(cells[1], -1) {
				if named++; !slices.Contains(expression.FunctionNames(), m[1]) {
					t.Errorf("there is no function %s", m[1])
				}
			}
		}
	}
	if named < 20 {
		t.Errorf("the table has %d functions", named)
	}
}
