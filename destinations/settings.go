package destinations

import "aka/destinations/adapter"

// SettingsOf returns a pointer to the struct that the settings of a type of vendor are decoded into, with its defaults; nil for
// a type that is not known.
func SettingsOf(vendorType string) any {
	vendor, ok := Vendors[vendorType]
	if !ok {
		return nil
	}
	var recorder settingsRecorder
	_, _ = vendor.New(&recorder) // it fails, for nothing is set
	return recorder.into
}

// RequiredOf returns the keys without which a type of vendor refuses its settings, such as "token".
func RequiredOf(vendorType string) []string {
	vendor, ok := Vendors[vendorType]
	if !ok {
		return nil
	}
	_, err := vendor.New(&settingsRecorder{})
	return requiredBy(err)
}

// requiredBy looks through errors that are joined.
func requiredBy(err error) (keys []string) {
	switch err := err.(type) {
	case *adapter.SettingError:
		if err.IsRequired() {
			keys = append(keys, err.Key)
		}
	case interface{ Unwrap() []error }:
		for _, each := range err.Unwrap() {
			keys = append(keys, requiredBy(each)...)
		}
	}
	return keys
}

// settingsRecorder keeps what a vendor decodes its settings into.
type settingsRecorder struct{ into any }

// Decode implements adapter.Settings.
func (s *settingsRecorder) Decode(into any) error {
	s.into = into
	return nil
}
