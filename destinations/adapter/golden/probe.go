package golden

import (
	"fmt"
	"slices"

	"aka/destinations/adapter"
)

// probeProblem returns what is wrong with how a probe reads answers, of those that are not thought of too. A panic is the test's.
func probeProblem(a adapter.Adapter) string {
	prober, ok := a.(adapter.Prober)
	if !ok {
		return ""
	}
	probe := prober.Probe()
	if probe.Read == nil {
		return ""
	}
	for _, own := range unexpected {
		for _, control := range append([]adapter.Answer{{}}, unexpected...) {
			finding, sentence := probe.Read(own, control)
			if again, same := probe.Read(own, control); again != finding || same != sentence {
				return "Probe: Read is not repeatable"
			}
			if finding != "" && !slices.Contains(adapter.Findings, finding) {
				return fmt.Sprintf("Probe: Read finds %q, which is no finding", finding)
			}
		}
	}
	return ""
}
