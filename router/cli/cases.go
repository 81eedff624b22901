package cli

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"aka/destinations"
	"aka/destinations/adapter/golden"
	"aka/router/config"
	"aka/router/terminal"
)

// runCases runs the golden cases of every destination that has some, and writes a line for each destination and each failure.
func runCases(out io.Writer, c *config.Config) error {
	ran, failed := 0, 0
	for _, name := range slices.Sorted(maps.Keys(c.Destinations)) {
		files, err := c.CaseFiles(name)
		if err != nil {
			return err
		}
		failures := 0
		for _, file := range files {
			if problems := runCase(c.Destinations[name], file); len(problems) > 0 {
				failures++
				fmt.Fprintf(out, "%s: FAIL %s\n    %s\n", name, terminal.Plain(file), terminal.Escape(indented(problems)))
			}
		}
		if len(files) > 0 {
			fmt.Fprintf(out, "%s: %d of %s passed\n", name, len(files)-failures, counted(len(files), "case"))
		}
		ran, failed = ran+len(files), failed+failures
	}
	switch {
	case ran == 0:
		return errors.New("no destination has cases: name their files with destinations.NAME.cases")
	case failed > 0:
		return fmt.Errorf("%d of %s failed", failed, counted(ran, "case"))
	}
	return nil
}

func runCase(d *config.Destination, file string) []string {
	vendor := destinations.Vendors[d.Type]
	vendor.Names = d.Names
	problems := golden.Record(func(t golden.T) { golden.CheckConfigured(t, file, d.Adapter, vendor, d.Masker) })
	for i := range problems {
		problems[i] = d.Masker.Mask(problems[i])
	}
	return problems
}

func indented(problems []string) string {
	return strings.ReplaceAll(strings.Join(problems, "\n"), "\n", "\n    ")
}

// uncheckedAliases names the destinations of the config's own making that send aliases which no golden case checks. An alias cannot be
// taken back at most vendors.
func uncheckedAliases(c *config.Config) (lines []string) {
	for _, name := range slices.Sorted(maps.Keys(c.Destinations)) {
		d := c.Destinations[name]
		if d.Type != "http" || !d.Describes("alias") {
			continue
		}
		if _, says := d.Merger(); !says {
			lines = append(lines, fmt.Sprintf("warning: %s sends aliases, and its merges do not say what they do there: remember_merges cannot work", name))
		}
		if len(d.Cases) == 0 {
			lines = append(lines, fmt.Sprintf("warning: %s sends aliases, and no golden case checks them: see destinations.%s.cases", name, name))
		}
	}
	return lines
}
