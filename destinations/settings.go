package destinations

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

// settingsRecorder keeps what a vendor decodes its settings into.
type settingsRecorder struct{ into any }

// Decode implements adapter.Settings.
func (s *settingsRecorder) Decode(into any) error {
	s.into = into
	return nil
}
