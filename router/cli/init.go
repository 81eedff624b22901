package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"aka/destinations"
	"aka/router/reference"
)

// schemaFile is where a config that init writes has its schema: beside it.
const schemaFile = "config.schema.json"

const initFoot = "Written by `aka init`. `aka check` lists what is wrong with it, or shows every value that it has; `aka check --probe` tries " +
	"the vendors' credentials. `aka schema > " + schemaFile + "`, beside this file, has editors complete and check it."

const initHead = "Every other key has its default. `aka check` shows the defaults. `aka init --full` writes every key with its meaning."

func newInit() *cobra.Command {
	var output string
	var full, force bool
	command := &cobra.Command{
		Use:   "init [VENDOR...]",
		Short: "Write a config for the vendors that you name",
		Long: `Init writes a config with a destination for each vendor that you name, or for every stable vendor. It has only the keys that
you must set. With --full it has all keys, with their meanings and defaults. The config reads secrets from the environment.
Init writes to the standard output, or to a new file. The standard error lists the variables to set.
For http, a vendor that you describe yourself, it also writes three golden cases beside the file, in the folder cases.`,
		Example: `  aka init vero > config.yaml
  aka init mixpanel vero --output config.yaml
  aka init vero --full`,
		ValidArgsFunction: completeVendors,
		RunE: func(command *cobra.Command, vendors []string) error {
			text, err := initialConfig(full, vendors)
			if err != nil {
				return usageError{err}
			}
			if output == "" || output == "-" {
				_, err = command.OutOrStdout().Write(text)
			} else {
				err = writeConfigFile(output, text, force)
			}
			if err == nil {
				err = writeCases(output, vendors)
			}
			if err == nil {
				_, _ = fmt.Fprintf(command.ErrOrStderr(), "set %s, then run aka check\n", strings.Join(variables(text), ", "))
			}
			return err
		},
	}
	command.Flags().StringVarP(&output, "output", "o", "", "file to write (default the standard output)")
	command.Flags().BoolVar(&full, "full", false, "write every key, with its meaning and its default")
	command.Flags().BoolVar(&force, "force", false, "overwrite an existing file")
	_ = command.MarkFlagFilename("output", "yaml")
	return command
}

func initialConfig(full bool, vendors []string) ([]byte, error) {
	if full {
		return reference.New().Example(schemaFile, initFoot, vendors...)
	}
	return reference.New().Short(initHead, vendors...)
}

// writeConfigFile lets only its owner read the file, for secrets may be written into it.
func writeConfigFile(path string, text []byte, force bool) error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC | syscall.O_NOFOLLOW
	}
	file, err := os.OpenFile(path, flags, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: name another file, or write over it with --force", path)
	}
	if err != nil {
		return err
	}
	err = file.Chmod(0o600) // one that is there may be open to others
	if err == nil {
		_, err = file.Write(text)
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	return err
}

// writeCases writes the golden cases of the vendors beside the config. Those that are there already stay.
func writeCases(config string, vendors []string) error {
	if config == "" || config == "-" {
		return nil
	}
	for _, vendor := range vendors {
		starter := destinations.Vendors[vendor].Starter
		if starter == nil {
			continue
		}
		files, err := fs.Glob(starter.Files, "cases/*.yaml")
		if err != nil {
			return err
		}
		for _, name := range files {
			if err := writeCase(starter.Files, name, filepath.Join(filepath.Dir(config), name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func writeCase(from fs.FS, name, path string) error {
	text, err := fs.ReadFile(from, name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Close())
}

var (
	commentLine  = regexp.MustCompile(`(?m)^ *#.*$`)
	variableName = regexp.MustCompile(`\$\{([A-Z0-9_]+)`)
)

// variables are the environment's that a config asks for, in its order.
func variables(config []byte) []string {
	var names []string
	for _, found := range variableName.FindAllSubmatch(commentLine.ReplaceAll(config, nil), -1) {
		if name := string(found[1]); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func completeVendors(_ *cobra.Command, named []string, _ string) ([]string, cobra.ShellCompDirective) {
	left := slices.DeleteFunc(destinations.Types(), func(name string) bool { return slices.Contains(named, name) })
	return left, cobra.ShellCompDirectiveNoFileComp
}
