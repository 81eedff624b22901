// Package expression compiles and runs the expressions that a config holds: the leaves of a mapping, filters and transforms.
// A call goes in as variables, and a value comes out. An expression has no clock, environment, file, network or random order:
// equal calls give equal values. The language is expr (https://expr-lang.org) with a list of functions of our own, and none
// of its own but map, filter, any and all.
//
// Absent members are nil. A comparison with nil is false, functions on texts return nil for nil, and nil is false
// where true or false is wanted. Numbers keep the digits with which they were sent, unless something is calculated with them.
package expression

import (
	"errors"
	"fmt"
	"sync"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
)

const (
	// MaxText is how many bytes an expression may have.
	MaxText = 10_000
	// maxNodes is how many parts an expression may have: names, literals, operators and calls.
	maxNodes = 500
	// maxElements is how many elements the lists and objects may have that one run makes.
	maxElements = 1_000_000
)

// Want is what an expression must return.
type Want uint8

const (
	// Any is any value that JSON has.
	Any Want = iota
	// Bool is true or false. Run then returns nothing else: nil counts as false.
	Bool
)

// Options say what an expression may name, and what it must return.
type Options struct {
	// Secrets and Constants are the objects of that name. Their values are compiled in. A secret can be used only by its name.
	Secrets   map[string]string
	Constants map[string]any
	// Extra are the variables that are there beside those of a call: of Item, Status, Body and AfterAmbiguous.
	Extra []string
	// WithoutCall says that there is no call: only Extra, Secrets and Constants can be named.
	WithoutCall bool
	Want        Want
}

// Error is a mistake in an expression, or why it has no value for a call. It holds names, positions and kinds of values, and
// never a value of the call or a secret.
type Error struct {
	// Offset is where it is, in characters from the start of the text. Line and Column begin with 1.
	Offset, Line, Column int
	// Place is the part of the expression that it is about, such as "properties.total"; "" where it has no short name.
	Place string
	// Problem is what is wrong and what was expected.
	Problem string
}

// Error returns the place, or else the column, and the problem.
func (e *Error) Error() string {
	if e.Place != "" {
		return e.Place + ": " + e.Problem
	}
	return fmt.Sprintf("column %d: %s", e.Column, e.Problem)
}

// Program is a compiled expression. It is safe for concurrent use.
type Program struct {
	text   string
	code   *vm.Program
	want   Want
	names  map[string]bool
	places map[int]place
	// builds tells that the value may hold lists and objects that the expression made.
	builds bool
}

// Compile compiles an expression. The error is an *Error: the first mistake in the text.
func Compile(text string, options Options) (*Program, error) {
	if len(text) > MaxText {
		return nil, &Error{Line: 1, Column: 1, Problem: fmt.Sprintf("longer than %d bytes", MaxText)}
	}
	check := newChecker(options)
	code, err := compile(text, check)
	if err == nil {
		check.finish(code.Node())
	}
	if check.mistake != nil {
		return nil, check.mistake.at(text)
	}
	if err != nil {
		return nil, syntaxError(err)
	}
	return &Program{text: text, code: code, want: options.Want, names: check.names, places: check.places, builds: check.builds}, nil
}

// compile turns a panic into an error: the text comes from a config file, and must not end the process.
func compile(text string, check *checker) (code *vm.Program, err error) {
	defer func() {
		if recover() != nil {
			code, err = nil, errors.New("cannot be compiled")
		}
	}()
	settings := []expr.Option{
		expr.Env(scope{}), expr.DisableAllBuiltins(), expr.DisableIfOperator(), expr.MaxNodes(maxNodes), expr.Patch(check),
	}
	for _, name := range loops {
		settings = append(settings, expr.EnableBuiltin(name))
	}
	return expr.Compile(text, append(settings, functionOptions...)...)
}

// syntaxError returns the mistake that expr has found: its words hold what the config says, and nothing of a call.
func syntaxError(err error) *Error {
	var found *file.Error
	if !errors.As(err, &found) {
		return &Error{Line: 1, Column: 1, Problem: err.Error()}
	}
	return &Error{Offset: found.From, Line: max(found.Line, 1), Column: found.Column + 1, Problem: found.Message}
}

// HeaderOnly reports whether the expression names only what a call's header holds, so that OfHeader is enough to run it.
func (p *Program) HeaderOnly() bool {
	for name := range p.names {
		if !headerNames[name] {
			return false
		}
	}
	return true
}

// Uses reports whether the expression names a variable, such as "properties".
func (p *Program) Uses(variable string) bool { return p.names[variable] }

// String returns the text.
func (p *Program) String() string { return p.text }

var machines = sync.Pool{New: func() any { return &vm.VM{MemoryBudget: maxElements} }}

// Run returns the expression's value: nil, or a bool, string, json.Number, int, float64, []any or map[string]any. Lists and objects
// may be the call's own, and must not be modified. The error is an *Error. One Env serves one Run at a time.
func (p *Program) Run(env *Env) (any, error) {
	env.budget = budget{}
	env.scope.Budget = &env.budget
	machine := machines.Get().(*vm.VM)
	value, err := machine.Run(p.code, &env.scope)
	clear(machine.Stack[:cap(machine.Stack)]) // else the pool would keep what calls hold
	machines.Put(machine)
	if err == nil {
		value, err = p.result(value, &env.budget)
	}
	if err != nil {
		return nil, p.failure(err)
	}
	return value, nil
}

// Truth is Run for an expression that is compiled with Bool.
func (p *Program) Truth(env *Env) (bool, error) {
	value, err := p.Run(env)
	is, _ := value.(bool)
	return is, err
}

func (p *Program) result(value any, spent *budget) (any, error) {
	if p.want == Bool {
		return truth(value)
	}
	if !p.builds {
		return value, plainProblem(value)
	}
	return value, spent.weigh(value)
}

// failure returns what is said of an error at run time. The words of expr may hold values of the call.
func (p *Program) failure(err error) *Error {
	offset, words := p.code.Node().Location().From, "cannot be evaluated with these values"
	var found *file.Error
	if errors.As(err, &found) {
		if offset = found.From; p.places[offset].isMember {
			words = "cannot be read: nothing is there that could hold it; with ?. it would be nothing itself"
		}
	}
	var own problem
	if errors.As(err, &own) {
		words = string(own)
	}
	return (&mistake{offset, p.places[offset].name, words}).at(p.text)
}

// problem is an error in our own words, which hold nothing of a call.
type problem string

func (p problem) Error() string { return string(p) }

func problemf(format string, args ...any) problem { return problem(fmt.Sprintf(format, args...)) }
