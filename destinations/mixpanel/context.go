package mixpanel

import (
	"strconv"
	"strings"

	"aka/destinations/adapter"
)

// mapping says which part of the context becomes which of Mixpanel's default properties
// (https://docs.mixpanel.com/docs/data-structure/property-reference/default-properties).
type mapping struct{ property, section, field string }

var eventMappings = []mapping{
	{"$current_url", "page", "url"},
	{"$referrer", "page", "referrer"},
	{"$app_version_string", "app", "version"},
	{"$app_build_number", "app", "build"},
	{"$os", "os", "name"},
	{"$os_version", "os", "version"},
	{"$manufacturer", "device", "manufacturer"},
	{"$model", "device", "model"},
	{"$carrier", "network", "carrier"},
	{"$wifi", "network", "wifi"},
	{"$bluetooth_enabled", "network", "bluetooth"},
	{"$screen_width", "screen", "width"},
	{"$screen_height", "screen", "height"},
	{"mp_lib", "library", "name"},
}

// On iOS, Mixpanel calls the version a release and the build a version.
var iosMappings = []mapping{
	{"$ios_version", "os", "version"},
	{"$ios_device_model", "device", "model"},
	{"$ios_app_release", "app", "version"},
	{"$ios_app_version", "app", "build"},
}

var androidMappings = []mapping{
	{"$android_os", "os", "name"},
	{"$android_os_version", "os", "version"},
	{"$android_manufacturer", "device", "manufacturer"},
	{"$android_model", "device", "model"},
	{"$android_app_version", "app", "version"},
	{"$android_app_version_code", "app", "build"},
}

func addEventContext(properties, context map[string]any) {
	pick(properties, context, eventMappings)
	addBrowser(properties, context)
	addCampaign(properties, context)
}

// profileContext returns what the context says of the person's devices.
func profileContext(context map[string]any) map[string]any {
	properties := map[string]any{}
	switch platformOf(context) {
	case ios:
		pick(properties, context, iosMappings)
	case android:
		pick(properties, context, androidMappings)
	default:
		pick(properties, context, []mapping{{"$os", "os", "name"}})
		addBrowser(properties, context)
	}
	return properties
}

func pick(into, context map[string]any, mappings []mapping) {
	for _, m := range mappings {
		if value := adapter.Field(context, m.section, m.field); says(value) {
			into[m.property] = value
		}
	}
}

func addCampaign(into, context map[string]any) {
	campaign, _ := context["campaign"].(map[string]any)
	for field, value := range campaign {
		if field != "name" && says(value) {
			into["utm_"+field] = value
		}
	}
	if name := campaign["name"]; says(name) {
		into["utm_campaign"] = name
	}
}

func says(value any) bool { return value != nil && value != "" }

const (
	ios     = "ios"
	android = "android"
)

// platformOf returns ios, android, or "" for anything else.
func platformOf(context map[string]any) string {
	for _, value := range []any{adapter.Field(context, "device", "type"), adapter.Field(context, "os", "name")} {
		switch strings.ToLower(adapter.Text(value)) {
		case "ios", "ipados", "iphone os":
			return ios
		case "android":
			return android
		}
	}
	return ""
}

// deviceToken returns the push token of the call's device and the profile's list that it belongs to.
func deviceToken(context map[string]any) (token, list string) {
	token = adapter.Text(adapter.Field(context, "device", "token"))
	switch platformOf(context) {
	case ios:
		return token, "$ios_devices"
	case android:
		return token, "$android_devices"
	}
	return "", ""
}

const safari = "Safari"

// signature is a word in the user agents of a browser or of an operating system. Browsers pretend to be those that came before
// them, so the newest pretender stands first.
type signature struct{ name, word string }

var browsers = []signature{
	{"Microsoft Edge", "Edg/"},
	{"Microsoft Edge", "EdgA/"},
	{"Microsoft Edge", "EdgiOS/"},
	{"Opera", "OPR/"},
	{"Samsung Internet", "SamsungBrowser/"},
	{"Firefox iOS", "FxiOS/"},
	{"Firefox", "Firefox/"},
	{"Chrome iOS", "CriOS/"},
	{"Chrome", "Chrome/"},
	{safari, "Version/"},
}

var systems = []signature{
	{"iOS", "iPhone"},
	{"iOS", "iPad"},
	{"Android", "Android"},
	{"Windows", "Windows"},
	{"Chrome OS", "CrOS"},
	{"Mac OS X", "Macintosh"},
	{"Linux", "Linux"},
}

// addBrowser reads the user agent as far as Mixpanel's own SDK for browsers would have. What is no browser says nothing.
func addBrowser(into, context map[string]any) {
	agent := adapter.Text(context["userAgent"])
	browser, rest := find(browsers, agent)
	if browser == safari {
		browser = whichSafari(rest)
	}
	if browser == "" {
		return
	}
	into["$browser"] = browser
	if version, ok := leadingNumber(rest); ok {
		into["$browser_version"] = version
	}
	if system, _ := find(systems, agent); system != "" && into["$os"] == nil {
		into["$os"] = system
	}
}

// whichSafari tells the one with a version from others that have one too.
func whichSafari(rest string) string {
	switch {
	case !strings.Contains(rest, "Safari/"):
		return ""
	case strings.Contains(rest, "Mobile"):
		return "Mobile Safari"
	}
	return safari
}

// find returns the name of the first signature in the text, and what follows it.
func find(signatures []signature, text string) (name, rest string) {
	for _, s := range signatures {
		if _, rest, found := strings.Cut(text, s.word); found {
			return s.name, rest
		}
	}
	return "", ""
}

// leadingNumber reads the major and minor version that a text begins with, as a number: 17.4 of "17.4.1 Safari".
func leadingNumber(text string) (number float64, ok bool) {
	dots := 0
	end := strings.IndexFunc(text, func(r rune) bool {
		if r == '.' {
			dots++
		}
		return dots == 2 || r != '.' && (r < '0' || r > '9')
	})
	if end >= 0 {
		text = text[:end]
	}
	number, err := strconv.ParseFloat(text, 64)
	return number, err == nil
}
