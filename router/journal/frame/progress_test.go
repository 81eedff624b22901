package frame

import (
	"reflect"
	"testing"
)

// The place at which the order goes on is saved with the progress, as long as the log has what it needs.
func TestProgress_KeepsTheOrderWhileTheLogHasIt(t *testing.T) {
	p := NewProgress(Position{Seq: 9}, 20)
	if p.Needed() != 9 {
		t.Errorf("without an order frame %d is needed", p.Needed())
	}
	want := Order{Frame: 8, First: 5, Encoded: []byte{1, 2, 3}}
	p.SetOrder(want)
	read, err := DecodeProgress(p.Encode(true))
	if err != nil {
		t.Fatal(err)
	}
	if got := read.Order(); !reflect.DeepEqual(got, want) || read.Needed() != 5 || read.Floor() != 9 || read.Crashed() {
		t.Errorf("read %+v, frame %d is needed, %v", got, read.Needed(), err)
	}
	read.CutAt(7)
	if read.Order().Frame != 0 || read.Needed() != 7 {
		t.Errorf("the log ends before %+v", read.Order())
	}
	read.SetOrder(want)
	read.DropBelow(10)
	if read.Order().Frame != 0 || read.Needed() != 10 {
		t.Errorf("the log has not what %+v needs", read.Order())
	}
}
