package expression

import (
	"encoding/json"
	"math"
)

const (
	// maxWork is how much one run may do: bytes of texts and members of objects that functions read, and turns of loops.
	maxWork = 8 << 20
	// turn is what a turn of a loop counts as.
	turn = 16
	// maxDepth is how deep a value may nest.
	maxDepth = 128
)

const tooMuch = problem("takes too much time or memory")

// budget is what a run has done so far. It bounds time by counting, so that equal calls fail equally.
type budget struct{ spent int }

func (b *budget) spend(n int) error {
	if b.spent += n; b.spent > maxWork {
		return tooMuch
	}
	return nil
}

// spendOn spends the lengths of a function's arguments.
func (b *budget) spendOn(args []any) error {
	sum := 1
	for _, arg := range args {
		sum += length(arg)
	}
	return b.spend(sum)
}

// weigh counts the whole of a value, and checks that it is one that JSON has. Lists that hold one another can make a value that is far
// larger than what is in memory.
func (b *budget) weigh(value any) error { return b.weighAt(value, 0) }

func (b *budget) weighAt(value any, depth int) error {
	if depth > maxDepth {
		return problem("nests too deep")
	}
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			if err := b.spend(len(key)); err != nil {
				return err
			}
			if err := b.weighAt(inner, depth+1); err != nil {
				return err
			}
		}
	case []any:
		for _, inner := range v {
			if err := b.weighAt(inner, depth+1); err != nil {
				return err
			}
		}
	default:
		if err := plainProblem(value); err != nil {
			return err
		}
	}
	return b.spend(1 + length(value))
}

// length is how many bytes or members a value has itself.
func length(value any) int {
	switch v := value.(type) {
	case string:
		return len(v)
	case json.Number:
		return len(v)
	case []any:
		return len(v)
	case map[string]any:
		return len(v)
	}
	return 0
}

// plainProblem returns what keeps a value from being one that JSON has, without looking into lists and objects.
func plainProblem(value any) error {
	switch v := value.(type) {
	case nil, bool, string, json.Number, int, map[string]any, []any:
		return nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return problem("is no number, as after a division by zero")
		}
		return nil
	case moment:
		return problem("is a time: write it with iso, unix or unix_ms")
	}
	return problem("is no value that JSON has")
}

// The kinds of values, as errors name them.
const (
	nothing  = "nothing"
	aBool    = "true or false"
	aText    = "a text"
	aNumber  = "a number"
	aList    = "a list"
	anObject = "an object"
	aTime    = "a time"
)

func kind(value any) string {
	switch value.(type) {
	case nil:
		return nothing
	case bool:
		return aBool
	case string:
		return aText
	case json.Number, int, float64:
		return aNumber
	case []any:
		return aList
	case map[string]any:
		return anObject
	case moment:
		return aTime
	}
	return "no value of JSON"
}
