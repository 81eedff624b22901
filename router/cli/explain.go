package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"aka/router/config"
	"aka/router/explain"
	"aka/router/segment"
	"aka/router/spelling"
	"aka/router/strictyaml"
	"aka/router/terminal"
)

// maxExplained bounds what explain reads: the size of a large batch.
const maxExplained = 16 * strictyaml.MiB

// explainFlags are the flags of aka explain.
type explainFlags struct {
	config, source string
	output         choice
	callType       choice
	device         bool
	showSecrets    bool
	leaves         bool
}

func newExplain() *cobra.Command {
	flags := explainFlags{output: choice{value: "text", words: []string{"text", "json"}}}
	for _, t := range segment.Types {
		flags.callType.words = append(flags.callType.words, t.String())
	}
	command := &cobra.Command{
		Use:   "explain [FILE|-]",
		Short: "Show the requests for a call, without sending them",
		Long: `Explain reads a body as an SDK would send it, from a file or from standard input: one call, a batch, a JSON array
of calls, or a line for each of these. For each call it shows the requests to every destination, or why there are none.
It sends nothing, and secrets may be missing from the environment.`,
		Example: `  echo '{"type":"alias","previousId":"anon-1","userId":"jane"}' | aka explain`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			return explainFile(command.InOrStdin(), command.OutOrStdout(), flags, strings.Join(args, ""))
		},
	}
	addConfigFlag(command, &flags.config)
	command.Flags().StringVarP(&flags.source, "source", "s", "", "source of the call (default: by its write key, else the only one)")
	command.Flags().VarP(&flags.output, "output", "o", "how to show it: text or json")
	command.Flags().Var(&flags.callType, "type", "type of the call, as the path /v1/alias would set it (default: the call's own)")
	command.Flags().BoolVar(&flags.device, "device", false, "explain it as the call of a browser or phone, not of a server")
	command.Flags().BoolVar(&flags.leaves, "leaves", false, "show each expression of the settings with its value")
	command.Flags().BoolVar(&flags.showSecrets, "show-secrets", false, "show tokens and keys as they are sent")
	return command
}

func explainFile(in io.Reader, out io.Writer, flags explainFlags, file string) error {
	config, err := loadConfig(flags.config, config.LoadOptions{MissingSecret: missingSecret})
	if err != nil {
		return err
	}
	body, err := readBody(in, file)
	if err != nil {
		return err
	}
	callType, _ := segment.ParseType(flags.callType.value)
	explanation, err := explain.Body(config, body, explain.Options{
		Source: flags.source, Type: callType, Device: flags.device, ShowSecrets: flags.showSecrets, Leaves: flags.leaves,
	})
	if err != nil {
		return err
	}
	if flags.output.value == "text" {
		return explanation.WriteText(out)
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(explanation)
}

// readBody reads the named file, or standard input for - and for none.
func readBody(in io.Reader, file string) ([]byte, error) {
	if file != "" && file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer opened.Close()
		in = opened
	}
	body, err := io.ReadAll(io.LimitReader(in, int64(maxExplained)+1))
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	if len(body) > int(maxExplained) {
		return nil, fmt.Errorf("the body is larger than %s", maxExplained)
	}
	return body, nil
}

// choice is a flag that takes one of a few words.
type choice struct {
	value string
	words []string
}

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return strings.Join(c.words, "|") }

func (c *choice) Set(text string) error {
	if slices.Contains(c.words, text) {
		c.value = text
		return nil
	}
	return fmt.Errorf("expected one of %s%s", strings.Join(c.words, ", "), spelling.Hint(text, c.words))
}

// write shows a result as the flag says: as JSON, or as the text that the function writes.
func (c *choice) write(out io.Writer, result any, asText func(*bytes.Buffer)) error {
	var shown bytes.Buffer
	if c.value == "json" {
		encoder := json.NewEncoder(&shown)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(result); err != nil {
			return err
		}
	} else {
		asText(&shown)
	}
	_, err := io.WriteString(out, terminal.Escape(shown.String()))
	return err
}
