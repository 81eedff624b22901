package records

import (
	"context"
	"errors"
	"fmt"

	"aka/router/journal/engine"
)

// Fact is one record of what a destination remembers of its merges. Its key and value say nothing to the journal, and do not change
// while it is stored. A nil Value removes the record.
type Fact struct{ Key, Value []byte }

// KeyFact is the first byte of the keys of facts. A journal is whole without them.
const KeyFact = 'r'

// FactsKeyFile is the file in the journal's folder with the key under which facts are kept. The journal does not read it. It copies
// it with itself, as facts are of no use without it.
const FactsKeyFile = "merges.key"

// InstanceFile is the file in the journal's folder with the name of this aka. The journal copies it with itself, too: calls that were
// forwarded under the name may still come back.
const InstanceFile = "instance"

// FactsSalvaged is the key of a fact that salvage adds: some of the others may be lost.
var FactsSalvaged = []byte{2}

// facts are those of all destinations.
type facts struct{ t *table }

func factKey(key []byte) []byte { return append([]byte{keyFact}, key...) }

// Fact returns a copy of a fact's value, or nil where there is none.
func (f *facts) Fact(ctx context.Context, destination string, key []byte) ([]byte, error) {
	value, err := f.t.get(ctx, destination, factKey(key))
	if errors.Is(err, engine.ErrNoRecord) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up what %s remembers: %w", destination, err)
	}
	return value, nil
}

// EachFact calls visit for a destination's facts in the order of their keys, beginning with from, until it returns false. Key and
// value are valid during the visit only.
func (f *facts) EachFact(ctx context.Context, destination string, from []byte, visit func(key, value []byte) (more bool)) error {
	_, to := allOf(keyFact)
	err := f.t.engine.Scan(ctx, destination, factKey(from), to, func(key, value []byte) (bool, error) {
		return visit(key[1:], value), nil
	})
	if err != nil {
		return fmt.Errorf("read what %s remembers: %w", destination, err)
	}
	return nil
}

// setFacts puts facts into a change.
func (c *change) setFacts(facts []Fact) {
	bytes := 0
	for _, f := range facts {
		bytes += 1 + len(f.Key)
	}
	c.grow(len(facts))
	keys := make([]byte, 0, bytes)
	for _, f := range facts {
		begin := len(keys)
		keys = append(append(keys, keyFact), f.Key...)
		key := keys[begin:len(keys):len(keys)]
		if f.Value == nil {
			c.remove(key)
			continue
		}
		c.set(key, f.Value)
	}
}
