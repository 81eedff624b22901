package records

import "testing"

func TestEachLevelIsWarnedOfOncePerWayUp(t *testing.T) {
	var w FillWatch
	for _, step := range []struct{ used, want int }{
		{49, 0}, {50, 50}, {51, 0}, {49, 0}, {50, 0}, {44, 0}, {50, 50}, {97, 95}, {92, 0}, {96, 0}, {89, 0}, {95, 95}, {0, 0}, {85, 80},
	} {
		if got := w.Crossed(uint64(step.used), 100); got != step.want {
			t.Fatalf("at %d %%: got %d, want %d", step.used, got, step.want)
		}
	}
}

func TestADiskWithTooLittleRoomIsWarnedOfOnce(t *testing.T) {
	var w FillWatch
	for _, step := range []struct {
		free uint64
		want bool
	}{{100, false}, {99, true}, {98, false}, {101, false}, {99, false}, {105, false}, {99, true}} {
		if got := w.TooLittle(step.free, 100); got != step.want {
			t.Fatalf("%d free of 100 promised: got %v", step.free, got)
		}
	}
}
