package expression

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"aka/destinations/adapter"
)

// maxEmail is the longest email, in characters.
const maxEmail = 254

var (
	emailForm = regexp.MustCompile(`^[^@\s[:cntrl:]]+@[^@\s[:cntrl:]]+\.[^@\s[:cntrl:]]+$`)
	e164Form  = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
)

// read returns the text or the digits of an argument. ok is false for nil.
func read(value any) (s string, ok bool, err error) {
	if value == nil {
		return "", false, nil
	}
	s, ok = written(value)
	if !ok {
		return "", false, problemf("takes a text, and has %s", kind(value))
	}
	return s, true, nil
}

// onText makes a function of one on texts. Nothing comes of nothing.
func onText(f func(string) string) func(*budget, []any) (any, error) {
	return func(_ *budget, args []any) (any, error) {
		s, ok, err := read(args[0])
		if !ok || err != nil {
			return nil, err
		}
		if s = f(s); s == noText {
			return nil, nil
		}
		return s, nil
	}
}

// noText stands for nil in what onText is given: U+FFFF is in no text.
const noText = "\uffff"

// text returns a text without the space around it, or a number's digits. Anything else, and an empty text, is nil.
func text(_ *budget, args []any) (any, error) {
	s, ok := written(args[0])
	if s = strings.TrimSpace(s); !ok || s == "" {
		return nil, nil
	}
	return s, nil
}

// num returns a number that can be calculated with, of a number or a text; else nil.
func num(_ *budget, args []any) (any, error) {
	if n, ok := number(args[0]); ok {
		return n, nil
	}
	if s, ok := args[0].(string); ok {
		if digits, isAmount := decimal(s); isAmount {
			n, _ := number(digits)
			return n, nil
		}
	}
	return nil, nil
}

var decimalForm = regexp.MustCompile(`^-?[0-9]{1,300}(\.[0-9]{1,300})?$`)

func decimal(s string) (json.Number, bool) {
	s = strings.TrimSpace(s)
	return json.Number(s), len(s) <= 300 && decimalForm.MatchString(s)
}

// boolean reads true and false, also where they are written as "true", "yes", "1" or 1; else nil.
func boolean(_ *budget, args []any) (any, error) {
	if is, ok := args[0].(bool); ok {
		return is, nil
	}
	s, _ := written(args[0])
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "yes", "1":
		return true, nil
	case "false", "no", "0":
		return false, nil
	}
	return nil, nil
}

// email returns an email without the space around it; nil for what is none.
func email(_ *budget, args []any) (any, error) {
	s := adapter.Text(args[0])
	if utf8.RuneCountInString(s) > maxEmail || !emailForm.MatchString(s) {
		return nil, nil
	}
	return s, nil
}

// e164 returns a phone number such as +491701234567; nil for what is none.
func e164(_ *budget, args []any) (any, error) {
	s := adapter.Text(args[0])
	if len(s) > 16 || !e164Form.MatchString(s) {
		return nil, nil
	}
	return s, nil
}

// cut returns the first characters of a text.
func cut(_ *budget, args []any) (any, error) {
	s, ok, err := read(args[0])
	n, isNumber := number(args[1])
	length, isWhole := n.(int)
	switch {
	case !isNumber, !isWhole, length < 0:
		return nil, problem("takes a text and how many characters")
	case !ok || err != nil:
		return nil, err
	}
	return adapter.Cut(s, length), nil
}

// words returns the texts that are not blank, with a space between them; nil where none is left.
func words(_ *budget, args []any) (any, error) {
	var parts []string
	for _, arg := range args {
		s, ok, err := read(arg)
		if err != nil {
			return nil, err
		}
		if s = strings.TrimSpace(s); ok && s != "" {
			parts = append(parts, s)
		}
	}
	if len(parts) == 0 {
		return nil, nil
	}
	return strings.Join(parts, " "), nil
}

// blank reports whether a value says nothing: nil, a text of spaces, an empty list or object.
func blank(_ *budget, args []any) (any, error) {
	switch v := args[0].(type) {
	case nil:
		return true, nil
	case string:
		return strings.TrimSpace(v) == "", nil
	case []any:
		return len(v) == 0, nil
	case map[string]any:
		return len(v) == 0, nil
	}
	return false, nil
}

// count is len: the characters of a text, the elements of a list, the members of an object; 0 for nil.
func count(_ *budget, args []any) (any, error) {
	switch v := args[0].(type) {
	case nil:
		return 0, nil
	case string:
		return utf8.RuneCountInString(v), nil
	case []any:
		return len(v), nil
	case map[string]any:
		return len(v), nil
	}
	return nil, problemf("takes a text, a list or an object, and has %s", kind(args[0]))
}

// sha256Hex, hmacHex and uuidOf make nothing of an empty text: everybody without an email would have the same digest.
func sha256Hex(s string) string {
	if s == "" {
		return noText
	}
	digest := sha256.Sum256([]byte(s))
	return hex.EncodeToString(digest[:])
}

func hmacHex(_ *budget, args []any) (any, error) {
	key, _, err := read(args[0])
	if err != nil {
		return nil, err
	}
	s, _, err := read(args[1])
	switch {
	case err != nil:
		return nil, err
	case key == "":
		return nil, problem("takes a key and a text, and the key is empty")
	case s == "":
		return nil, nil
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(s))
	return hex.EncodeToString(mac.Sum(nil)), nil
}

// uuidOf is version 5 in the namespace of URLs.
func uuidOf(s string) string {
	if s == "" {
		return noText
	}
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte(s)).String()
}

func base64Of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// jsonText returns a value as JSON, the members of objects sorted.
func jsonText(b *budget, args []any) (any, error) {
	if err := b.weigh(args[0]); err != nil {
		return nil, err
	}
	encoded, err := adapter.Encode(args[0])
	if err != nil {
		return nil, problem("takes a value that JSON has")
	}
	return string(encoded), nil
}

// query returns an object's members as in the query of a URL, sorted. Members that are nil are left out.
func query(b *budget, args []any) (any, error) {
	o, err := object(args[0])
	if o == nil || err != nil {
		return nil, err
	}
	var encoded []byte
	for _, key := range sortedKeys(o) {
		if o[key] == nil {
			continue
		}
		s, ok := written(o[key])
		if is, isBool := o[key].(bool); isBool {
			s, ok = strconv.FormatBool(is), true
		}
		if !ok {
			return nil, problemf("takes texts and numbers, and a member is %s", kind(o[key]))
		}
		if err := b.spend(len(s) + len(key)); err != nil {
			return nil, err
		}
		if len(encoded) > 0 {
			encoded = append(encoded, '&')
		}
		encoded = append(adapter.AppendEscaped(encoded, key), '=')
		encoded = adapter.AppendEscaped(encoded, s)
	}
	return string(encoded), nil
}
