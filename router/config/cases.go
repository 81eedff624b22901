package config

import (
	"fmt"
	"path/filepath"
	"slices"
)

// CaseFiles returns the files of a destination's golden cases, sorted. A pattern that no file fits is an error.
func (c *Config) CaseFiles(destination string) (files []string, err error) {
	for _, pattern := range c.Destinations[destination].Cases {
		path := pattern
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(c.file), path)
		}
		found, err := filepath.Glob(path)
		if err == nil && len(found) == 0 {
			err = fmt.Errorf("no file fits %q", pattern)
		}
		if err != nil {
			return nil, fmt.Errorf("destinations.%s.cases: %w", destination, err)
		}
		files = append(files, found...)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// Describes reports whether the settings say what becomes of a type of call: those of a destination that the config describes.
func (d *Destination) Describes(callType string) bool {
	return d.Settings != nil && valueAt(d.Settings, "calls", callType) != nil
}
