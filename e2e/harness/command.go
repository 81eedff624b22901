package harness

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Scenario is one thing that a command does with aka.
type Scenario[S any] struct {
	Name, Does string
	Run        func(S)
	// LongOnly leaves it out of the short form, and ShortOnly of the long one, unless it is named.
	LongOnly, ShortOnly bool
}

// Names are the scenarios' names.
func Names[S any](all []Scenario[S]) (names []string) {
	for _, s := range all {
		names = append(names, s.Name)
	}
	return names
}

// Choose returns the scenarios that only names, with commas between. A name that no scenario has chooses all that begin with it. When
// only is empty, it returns those of the short form, or of the long one.
func Choose[S any](all []Scenario[S], only string, short bool) (chosen []Scenario[S], err error) {
	if only == "" {
		for _, s := range all {
			if short && !s.LongOnly || !short && !s.ShortOnly {
				chosen = append(chosen, s)
			}
		}
		return chosen, nil
	}
	for _, name := range strings.Split(only, ",") {
		before := len(chosen)
		exact := slices.Contains(Names(all), name)
		for _, s := range all {
			if s.Name == name || !exact && strings.HasPrefix(s.Name, name) {
				chosen = append(chosen, s)
			}
		}
		if len(chosen) == before {
			return nil, fmt.Errorf("-only: there is no scenario %q", name)
		}
	}
	return chosen, nil
}

// Program is what the commands that run scenarios share.
type Program struct {
	// Only, Aka, JSON and Short are flags.
	Only, Aka, JSON string
	Short           bool
	// Ctx ends when the command is interrupted. Dir is a folder that is removed afterwards, Binary the aka to run.
	Ctx         context.Context
	Dir, Binary string
}

// Flags declares the flags. The names are the scenarios'.
func (p *Program) Flags(names []string) {
	flag.StringVar(&p.Only, "only", "", "the scenarios to run, with commas between: "+strings.Join(names, ", "))
	flag.StringVar(&p.Aka, "aka", "", "the aka to run (default: the one whose source this is)")
	flag.StringVar(&p.JSON, "json", "", "a file to write the results to, as JSON")
	flag.BoolVar(&p.Short, "short", false, "the short form, about a minute")
}

// Main runs the command, with its data in a new folder below dir, and returns the exit code.
func (p *Program) Main(dir string, run func() (ok bool, err error)) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p.Ctx = ctx
	ok, err := p.inFolder(dir, run)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
	}
	if err != nil || !ok {
		return 1
	}
	return 0
}

func (p *Program) inFolder(dir string, run func() (bool, error)) (ok bool, err error) {
	if p.Dir, err = os.MkdirTemp(dir, "aka-"); err != nil {
		return false, err
	}
	defer os.RemoveAll(p.Dir)
	ok, err = run()
	return ok, errors.Join(p.Ctx.Err(), err)
}

// Build builds the aka to run where no -aka is named, with more of go build's flags.
func (p *Program) Build(flags ...string) error {
	if p.Binary = p.Aka; p.Binary != "" {
		return nil
	}
	p.Binary = filepath.Join(p.Dir, "aka")
	return Build(p.Binary, flags...)
}

// WriteJSON writes the results where -json says.
func (p *Program) WriteJSON(results any) error {
	if p.JSON == "" {
		return nil
	}
	text, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(p.JSON, append(text, '\n'), 0o644)
}
