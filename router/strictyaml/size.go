package strictyaml

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes. It is written as 512, 64KiB, 10GiB, or in the decimal units KB, MB, GB and TB.
type Size int64

// The binary units.
const (
	KiB Size = 1 << (10 * (iota + 1))
	MiB
	GiB
	TiB
)

type unit struct {
	name  string
	bytes Size
}

// units stand with the largest first and the binary before the decimal, which is how String picks one.
var units = []unit{
	{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
}

// String returns the size in the largest binary unit that divides it, such as 10GiB; else in plain bytes.
func (s Size) String() string {
	for _, u := range units[:4] {
		if s != 0 && s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText gives String.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a whole number and its unit.
func (s *Size) UnmarshalText(text []byte) error {
	number, bytes := splitUnit(strings.TrimSpace(string(text)))
	value, err := strconv.ParseInt(number, 10, 64)
	if err != nil || value < 0 || value > math.MaxInt64/int64(bytes) {
		return fmt.Errorf("expected a size such as 512KiB, 64MiB or 10GiB, not %q", text)
	}
	*s = Size(value) * bytes
	return nil
}

func splitUnit(text string) (number string, bytes Size) {
	for _, u := range units {
		if number, ok := strings.CutSuffix(text, u.name); ok {
			return strings.TrimRight(number, " "), u.bytes
		}
	}
	return text, 1
}

// AutoSize is a size that a config may leave to the program: it is Auto then.
type AutoSize Size

// Auto is written as the word auto.
const Auto AutoSize = -1

const autoWord = "auto"

// String returns the word, or the size as Size does.
func (s AutoSize) String() string {
	if s == Auto {
		return autoWord
	}
	return Size(s).String()
}

// MarshalText gives String.
func (s AutoSize) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the word, or what Size reads.
func (s *AutoSize) UnmarshalText(text []byte) error {
	if string(text) == autoWord {
		*s = Auto
		return nil
	}
	var size Size
	if err := size.UnmarshalText(text); err != nil {
		return fmt.Errorf("expected auto, or a size such as 512KiB, 64MiB or 10GiB, not %q", text)
	}
	*s = AutoSize(size)
	return nil
}
