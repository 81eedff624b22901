package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"aka/destinations/adapter"
	"aka/router/config"
	"aka/router/segment"
)

// samples are calls as SDKs send them, one of each type.
var samples = []string{
	`{"type":"alias","previousId":"sample-previous","userId":"sample-user"}`,
	`{"type":"identify","userId":"sample-user","anonymousId":"sample-device","traits":{"email":"jane@example.com","name":"Jane Roe",
		"firstName":"Jane","lastName":"Roe","phone":"+14155550123","plan":"pro","address":{"city":"Berlin","country":"DE"}},
		"context":{"ip":"203.0.113.7","locale":"en-US","userAgent":"Mozilla/5.0"}}`,
	`{"type":"track","userId":"sample-user","anonymousId":"sample-device","event":"Order Completed","properties":{"order_id":"o1","total":19.9,
		"revenue":19.9,"currency":"EUR","products":[{"product_id":"p1","sku":"s1","name":"Shirt","price":19.9,"quantity":1}]},
		"context":{"traits":{"email":"jane@example.com"},"ip":"203.0.113.7","locale":"en-US"}}`,
	`{"type":"page","userId":"sample-user","anonymousId":"sample-device","name":"Pricing","category":"Docs","properties":{"url":"https://example.com/","title":"Pricing"}}`,
	`{"type":"screen","userId":"sample-user","anonymousId":"sample-device","name":"Home"}`,
	`{"type":"group","userId":"sample-user","groupId":"sample-group","traits":{"name":"Acme","plan":"pro"}}`,
}

// sampleLines says what becomes of the samples at destinations that the config describes: which are rejected, and which members have
// no value. That may be as it should be, or a name below properties or traits that no call has.
func sampleLines(c *config.Config) (lines []string) {
	for _, name := range slices.Sorted(maps.Keys(c.Destinations)) {
		d := c.Destinations[name]
		leafer, ok := d.Adapter.(adapter.Leafer)
		if !ok {
			continue
		}
		for _, call := range sampleCalls() {
			if line := sampleLine(d, leafer, call); line != "" {
				lines = append(lines, fmt.Sprintf("%s: a sample %s %s", name, call.Type, line))
			}
		}
	}
	return lines
}

func sampleLine(d *config.Destination, leafer adapter.Leafer, call *segment.Call) string {
	outcome := d.Translate(call)
	if outcome.Rejected != nil {
		return "is rejected: " + d.Masker.Mask(outcome.Rejected.Error())
	}
	if len(outcome.Requests) == 0 {
		return ""
	}
	var missing []string
	for _, leaf := range leafer.Leaves(call) {
		if leaf.Missing {
			missing = append(missing, leaf.Key)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return "is sent without " + strings.Join(missing, ", ")
}

func sampleCalls() (calls []*segment.Call) {
	for _, body := range samples {
		result, err := segment.Parse([]byte(body), segment.Options{ReceivedAt: time.Unix(1_767_323_045, 0)})
		if err != nil {
			panic("cli: a sample is no call: " + err.Error())
		}
		call, err := result.Messages[0].Decode()
		if err != nil {
			panic("cli: a sample is no call: " + err.Error())
		}
		calls = append(calls, call)
	}
	return calls
}
