package adapter

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
)

// IsOrder reports whether an event of this name completes an order, by its name of today or by that of the first version of
// Segment's e-commerce spec (https://segment.com/docs/connections/spec/ecommerce/v2/).
func IsOrder(event string) bool {
	switch strings.ToLower(strings.ReplaceAll(strings.TrimSpace(event), "_", " ")) {
	case "order completed", "completed order":
		return true
	}
	return false
}

// Revenue returns what an event earned: its revenue, or the total of an order that has none. ok is false where that is no sum of
// money.
func Revenue(event string, properties map[string]any) (amount json.Number, ok bool) {
	if amount, ok = Amount(properties["revenue"]); !ok && IsOrder(event) {
		return Amount(properties["total"])
	}
	return amount, ok
}

var decimal = regexp.MustCompile(`^(-?)0*([0-9]+(?:\.[0-9]+)?)$`)

// Amount reads a sum of money, a number or a text such as "$19.99", as a number without exponent and leading zeros.
func Amount(value any) (json.Number, bool) {
	digits := strings.TrimSpace(strings.TrimPrefix(Text(value), "$"))
	if number, is := value.(json.Number); is && strings.ContainsAny(digits, "eE") {
		float, err := number.Float64()
		if err != nil {
			return "", false
		}
		digits = strconv.FormatFloat(float, 'f', -1, 64)
	}
	parts := decimal.FindStringSubmatch(digits)
	if parts == nil {
		return "", false
	}
	return json.Number(parts[1] + parts[2]), true
}
