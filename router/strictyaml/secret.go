package strictyaml

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// secretProblem says what is in a secret that was never meant to be in it, or "". It shows nothing of the secret. Shells, editors
// and secret stores add such things, and a vendor that is sent them answers that the credentials are wrong.
func secretProblem(text string) string {
	isLineBreak := func(r rune) bool { return strings.ContainsRune("\n\r\v\f\u0085\u2028\u2029", r) }
	isInvisible := func(r rune) bool { return !unicode.IsPrint(r) }
	switch {
	case !utf8.ValidString(text):
		return "expected UTF-8, not bytes of another encoding"
	case strings.ContainsRune(text, 0):
		return "expected no NUL byte"
	case strings.ContainsRune(text, '\ufeff'):
		return "expected no byte order mark"
	case strings.ContainsFunc(text, isLineBreak):
		return "expected a single line, without a line break"
	case strings.TrimSpace(text) != text:
		return "expected no space at either end"
	case strings.ContainsFunc(text, isInvisible):
		return "expected no invisible character"
	}
	return ""
}

// cutNewline cuts the newline with which editors end a file. A second one is no part of that.
func cutNewline(text string) string {
	if cut, found := strings.CutSuffix(text, "\r\n"); found {
		return cut
	}
	return strings.TrimSuffix(text, "\n")
}

// variableProblem says what is wrong with the variables that a secret has in it, or "".
func variableProblem(variables []variable) string {
	for _, v := range variables {
		if problem := secretProblem(v.value); problem != "" {
			return "environment variable " + v.name + ": " + problem
		}
	}
	return ""
}
