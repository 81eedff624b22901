package main

import (
	"testing"

	"aka/e2e/harness"
)

func TestFailingPeoplesCallsMustComeInOrderAndOnce(t *testing.T) {
	c := newChains(3)
	for _, number := range []int{0, 3, 1, 5, 4, 1} { // of two people
		c.add(number)
	}
	if want := (chainCounts{Delivered: 5, Swapped: 1, Repeated: 1}); c.chainCounts != want {
		t.Errorf("%+v, want %+v", c.chainCounts, want)
	}
}

func TestASinkRefusesFailingPeopleUntilItRecovers(t *testing.T) {
	a := newAccount(mixedWorkload(""))
	a.chains, a.isRefusing = newChains(7), true
	made := chainBatches(somewhere, "failing", 2, 7, 7).Requests[0]
	others := mixedWorkload("").Singles(somewhere).Requests[0]
	if !a.refuses(made.Body(failing)) || a.refuses(others.Body(0)) {
		t.Error("it must refuse failing people and no other")
	}
	(&sink{accounts: map[string]*account{"vero": a}}).recover()
	if a.refuses(made.Body(failing)) {
		t.Error("it has recovered")
	}
	a.workload.Find(made.Body(failing), func(step harness.Step) { a.add(step, 0) })
	if a.chains.chainCounts != (chainCounts{Delivered: 7}) || a.checker.Delivered > 0 {
		t.Errorf("%+v, and %d of others", a.chains.chainCounts, a.checker.Delivered)
	}
}
