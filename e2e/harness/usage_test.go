package harness

import "testing"

func TestWhatAProcessHasWrittenIsReadFromProc(t *testing.T) {
	const text = "rchar: 8403392\nwchar: 8388702\nsyscr: 29\nsyscw: 11\nread_bytes: 1\nwrite_bytes: 8388608\ncancelled_write_bytes: 2\n"
	if got, err := writtenIn(text); err != nil || got != 8388608 {
		t.Errorf("got %d, %v", got, err)
	}
	for _, text := range []string{"", "rchar: 1\n", "cancelled_write_bytes: 2\n", "write_bytes: many\n"} {
		if got, err := writtenIn(text); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}
