// Package terminal makes text of others' safe to show: what came in with a call or an answer can neither break a line nor
// act on the terminal.
package terminal

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Plain returns one line of text as it is, or quoted as Go does where it holds what does not print.
func Plain(text string) string {
	if strings.ContainsFunc(text, unprintable) {
		return strconv.Quote(text)
	}
	return text
}

// PlainLines returns each line of a text as Plain does.
func PlainLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = Plain(lines[i])
	}
	return strings.Join(lines, "\n")
}

// Escape writes whatever does not print as JSON's \u escapes. Line breaks stay: in JSON they stand only between values.
func Escape(text string) string {
	escaped := func(r rune) bool { return r != '\n' && unprintable(r) }
	if !strings.ContainsFunc(text, escaped) {
		return text
	}
	var out strings.Builder
	for _, r := range text {
		if !escaped(r) {
			out.WriteRune(r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			_, _ = fmt.Fprintf(&out, `\u%04x`, unit)
		}
	}
	return out.String()
}

// unprintable takes what is no UTF-8 too: a terminal may read a byte of it as a control.
func unprintable(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }
