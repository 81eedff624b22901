package enginetest

import (
	"testing"

	"aka/router/journal/engine"
)

func TestMemoryKeepsWhatEnginesPromise(t *testing.T) {
	for name, fault := range map[string]Fault{"failed writes are lost": Lost, "failed writes are stored": Stored} {
		t.Run(name, func(t *testing.T) {
			Run(t, func(*testing.T) Store { return memoryStore(fault) })
		})
	}
}

// memoryStore is a store whose failed writes end in one way.
func memoryStore(fault Fault) Store {
	m := NewMemory()
	repair := func() { m.FailWrites(nil) }
	return Store{
		Open: func(*testing.T) engine.Engine {
			m = m.Crash() // what it stored is all that is left of it
			return m
		},
		Crash:  func(*testing.T, engine.Engine) { m = m.Crash() },
		Damage: func(_ *testing.T, seq uint64, _ []byte) { m.DamageFrame(seq) },
		Fill: func(*testing.T) func() {
			m.FailWrites(func(Write) Fault { return NoSpace })
			return repair
		},
		FailLog: func(_ *testing.T, _ Operation, skip int) func() {
			m.FailWrites(func(w Write) Fault {
				if w == AppendWrite {
					skip--
				}
				if w != AppendWrite || skip >= 0 {
					return None
				}
				return fault
			})
			return repair
		},
	}
}

func TestMemoryHasALimit(t *testing.T) {
	m := NewMemory()
	m.MaxBytes = 100
	if _, err := m.Append(t.Context(), [][]byte{make([]byte, 60)}, 0); err != nil {
		t.Fatal(err)
	}
	s := begin(t, Store{Open: func(*testing.T) engine.Engine { return m }})
	_, err := m.Append(t.Context(), [][]byte{make([]byte, 60)}, 1)
	s.wantError(err, engine.ErrFull)
}
