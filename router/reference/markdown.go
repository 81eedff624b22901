package reference

import (
	"fmt"
	"strings"
)

const markdownHead = `# The config

This page has every key of aka's config: its meaning, its values and its default. ` + "`go generate ./router/reference`" + ` writes it
from the comments in the code that reads the config.

* ` + "`config.example.yaml`" + ` has the same keys as a file to start from.
* ` + "`aka init`" + ` writes a short config for the vendors that you name. ` + "`aka init --full`" + ` writes one with every key.
* ` + "`aka check`" + ` lists the mistakes in your config, or shows every value that it has.

The file is YAML. An unknown key is a mistake, and so is a key that appears twice. aka reports each with its line.

* A **duration** is written ` + "`500ms`, `10s`, `10m`, `24h` or `7d`" + `. A **size** is written ` + "`64KiB`, `32MiB` or `10GiB`" + ` (or in KB, MB, GB).
* ` + "`${NAME}`" + ` anywhere in a value is an environment variable. ` + "`${NAME:-text}`" + ` has a default. ` + "`$${`" + ` is a plain ` + "`${`" + `.
* A **secret** can be in a file. Add ` + "`_file`" + ` to its key: ` + "`token_file: /run/secrets/mixpanel`" + `. aka cuts one newline at the end of the file.
  A secret with a line break, a space at either end, a byte order mark or a NUL is a mistake. aka shows secrets as ` + "`<secret>`" + `.
* Paths start at the working folder.

Editors complete and check the file as you write, if its first line has its [JSON Schema](config.schema.json). ` + "`aka schema`" + ` prints the
schema.

` + "```yaml\n# yaml-language-server: $schema=config.schema.json\n```\n"

// Markdown returns the reference as a page of documentation.
func (r *Reference) Markdown() []byte {
	var out strings.Builder
	out.WriteString(markdownHead)
	out.WriteString("\n## At the top\n\n")
	var sections []*Key
	for _, k := range inOrder(r.Keys) {
		if k.Keys != nil {
			sections = append(sections, k)
			continue
		}
		out.WriteString(k.line())
	}
	for _, k := range sections {
		writeSection(&out, 2, k.Name, k)
		if k.Name == "destinations" {
			r.writeVendors(&out)
		}
	}
	return []byte(out.String())
}

// writeSection writes a section's own keys before the sections in it.
func writeSection(out *strings.Builder, level int, path string, k *Key) {
	title := path
	if k.Kind == Named {
		title += ".NAME"
	}
	fmt.Fprintf(out, "\n%s %s\n\n%s\n\n", strings.Repeat("#", level), title, prose(k.describe()))
	for _, inner := range k.Keys {
		if inner.Keys == nil || inner.repeats() {
			out.WriteString(inner.line())
		}
	}
	for _, inner := range k.Keys {
		if inner.Keys != nil && !inner.repeats() {
			writeSection(out, level+1, title+"."+inner.Name, inner)
		}
	}
}

// repeats reports whether a section is described elsewhere, because it overrides another.
func (k *Key) repeats() bool { return strings.HasPrefix(k.Keys[0].Otherwise, overridden) }

func (r *Reference) writeVendors(out *strings.Builder) {
	for _, v := range r.Vendors {
		settings := *v.Settings
		settings.Meaning = strings.TrimSpace(fmt.Sprintf("The settings of a destination of type `%s`. %s", v.Type, v.Meaning))
		writeSection(out, 3, "settings of "+v.Type, &settings)
	}
}

// line is a key as an item of a list.
func (k *Key) line() string {
	about := []string{k.kindText()}
	switch {
	case k.Required:
		about = append(about, "required")
	case k.Default != "" && k.Otherwise == "":
		about = append(about, "default `"+k.Default+"`")
	}
	text := fmt.Sprintf("* **`%s`** (%s): %s\n", k.Name, strings.Join(about, ", "), prose(k.describe()))
	for _, w := range k.Words {
		if w.Meaning != "" {
			text += fmt.Sprintf("  * `%s`: %s\n", w.Value, prose(strings.TrimSuffix(w.Meaning, ".")))
		}
	}
	if k.Of != nil {
		for _, inner := range k.Of.Keys {
			text += "  " + inner.line()
		}
	}
	return text
}

// prose keeps < from being taken for HTML; in code it never is.
func prose(text string) string {
	parts := strings.Split(text, "`")
	for i := 0; i < len(parts); i += 2 {
		parts[i] = strings.ReplaceAll(parts[i], "<", `\<`)
	}
	return strings.Join(parts, "`")
}

func (k *Key) kindText() string {
	switch k.Kind {
	case List:
		return "list of " + k.Of.kindText()
	case Choice:
		words := make([]string, len(k.Words))
		for i, w := range k.Words {
			words[i] = "`" + w.Value + "`"
		}
		return strings.Join(words, " | ")
	}
	return string(k.Kind)
}
