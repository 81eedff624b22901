package expression

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr"
)

// function is one that an expression can call. It must be pure, keep nothing of its arguments and modify none. The length of its
// arguments is spent before; what it reads below them it spends itself.
type function struct {
	// least and most are how many arguments it takes; most is -1 for any number.
	least, most int
	// gives is the kind of its value, beside nil; "" where that depends.
	gives string
	call  func(b *budget, args []any) (any, error)
}

func (f *function) counts() string {
	switch {
	case f.most < 0:
		return fmt.Sprintf("%d values or more", f.least)
	case f.least == f.most && f.most == 1:
		return "1 value"
	case f.least == f.most:
		return fmt.Sprintf("%d values", f.most)
	}
	return fmt.Sprintf("%d or %d values", f.least, f.most)
}

// functions is the closed list.
var functions = map[string]*function{
	"text":    {1, 1, aText, text},
	"num":     {1, 1, aNumber, num},
	"bool":    {1, 1, aBool, boolean},
	"email":   {1, 1, aText, email},
	"e164":    {1, 1, aText, e164},
	"cut":     {2, 2, aText, cut},
	"trim":    {1, 1, aText, onText(strings.TrimSpace)},
	"lower":   {1, 1, aText, onText(strings.ToLower)},
	"upper":   {1, 1, aText, onText(strings.ToUpper)},
	"words":   {1, -1, aText, words},
	"blank":   {1, 1, aBool, blank},
	"len":     {1, 1, aNumber, count},
	"omit":    {1, -1, anObject, omit},
	"pick":    {1, -1, anObject, pick},
	"rename":  {3, 3, anObject, rename},
	"merge":   {2, 2, anObject, merge},
	"filled":  {1, 1, anObject, filled},
	"flatten": {2, 2, anObject, flatten},
	"keys":    {1, 1, aList, keys},
	"trait":   {2, 2, "", trait},
	"iso":     {1, 1, aText, iso},
	"unix":    {1, 1, aNumber, unix},
	"unix_ms": {1, 1, aNumber, unixMillis},
	"date":    {1, 1, aTime, date},
	"sha256":  {1, 1, aText, onText(sha256Hex)},
	"hmac":    {2, 2, aText, hmacHex},
	"uuid":    {1, 1, aText, onText(uuidOf)},
	"base64":  {1, 1, aText, onText(base64Of)},
	"query":   {1, 1, aText, query},
	"json":    {1, 1, aText, jsonText},
}

// hidden are those that the checker puts in the place of operators.
var hidden = map[string]*function{
	"a turn":      {1, 1, "", takeTurn},
	"a list":      {1, 1, "", list},
	"a sum":       {2, 2, "", sum},
	"a number":    {1, 1, "", operand},
	"in order":    {1, 1, "", inOrder},
	"as a number": {1, 1, "", asNumber},
	"as it is":    {1, 1, "", weighed},
	"a text":      {1, 1, "", searched},
	"truth":       {1, 1, aBool, func(_ *budget, args []any) (any, error) { return truth(args[0]) }},
}

// FunctionNames lists the functions, sorted.
func FunctionNames() []string { return slices.Clone(functionNames) }

var (
	functionNames   = slices.Sorted(maps.Keys(functions))
	functionOptions = makeOptions()
)

func makeOptions() (list []expr.Option) {
	for _, table := range []map[string]*function{functions, hidden} {
		for name, f := range table {
			call := func(args ...any) (any, error) {
				b := args[0].(*budget)
				if err := b.spendOn(args[1:]); err != nil {
					return nil, err
				}
				return f.call(b, args[1:])
			}
			list = append(list, expr.Function(name, call, new(func(...any) any)))
		}
	}
	return list
}

func truth(value any) (bool, error) {
	is, ok := value.(bool)
	if !ok && value != nil {
		return false, problemf("is %s; true or false is wanted", kind(value))
	}
	return is, nil
}

func takeTurn(b *budget, args []any) (any, error) { return args[0], b.spend(turn) }

// list lets loops go over nothing.
func list(_ *budget, args []any) (any, error) {
	switch v := args[0].(type) {
	case nil:
		return []any{}, nil
	case []any, []string, []int:
		return v, nil
	}
	return nil, problemf("is %s; a list is wanted", kind(args[0]))
}

// sum is +, of two numbers, or of two texts.
func sum(_ *budget, args []any) (any, error) {
	left, right := args[0], args[1]
	_, leftIsText := left.(string)
	_, rightIsText := right.(string)
	if leftIsText || rightIsText {
		one, okOne := written(left)
		other, okOther := written(right)
		if !okOne || !okOther {
			return nil, problemf("+ of %s and %s", kind(left), kind(right))
		}
		return one + other, nil
	}
	one, okOne := number(left)
	other, okOther := number(right)
	if !okOne || !okOther {
		return nil, problemf("+ of %s and %s", kind(left), kind(right))
	}
	a, isInt := one.(int)
	c, areInts := other.(int)
	if isInt && areInts {
		return a + c, nil
	}
	return float(one) + float(other), nil
}

// written returns a text or a number's digits.
func written(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case int:
		return strconv.Itoa(v), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	}
	return "", false
}

// number returns an int or a float64.
func number(value any) (any, bool) {
	switch v := value.(type) {
	case int, float64:
		return v, true
	case json.Number:
		if whole, err := strconv.Atoi(v.String()); err == nil {
			return whole, true
		}
		if part, err := v.Float64(); err == nil {
			return part, true
		}
	}
	return nil, false
}

func float(value any) float64 {
	if whole, ok := value.(int); ok {
		return float64(whole)
	}
	part, _ := value.(float64)
	return part
}

func operand(_ *budget, args []any) (any, error) {
	if n, ok := number(args[0]); ok {
		return n, nil
	}
	return nil, problemf("is %s; a number is wanted", kind(args[0]))
}

// inOrder is what < and > compare. Nothing is neither before nor after anything: NaN.
func inOrder(_ *budget, args []any) (any, error) {
	switch v := args[0].(type) {
	case nil:
		return math.NaN(), nil
	case string:
		return v, nil
	}
	if n, ok := number(args[0]); ok {
		return n, nil
	}
	return nil, problemf("is %s; a number or a text is wanted", kind(args[0]))
}

func asNumber(b *budget, args []any) (any, error) {
	if n, ok := number(args[0]); ok {
		return n, nil
	}
	return weighed(b, args)
}

func weighed(b *budget, args []any) (any, error) { return args[0], b.weigh(args[0]) }

func searched(_ *budget, args []any) (any, error) {
	switch v := args[0].(type) {
	case nil:
		return nil, nil
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	}
	return nil, problemf("is %s; a text is wanted", kind(args[0]))
}
