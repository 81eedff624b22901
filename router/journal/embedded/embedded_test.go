package embedded

import (
	"testing"

	"aka/router/journal/engine/enginetest"
)

func TestTheEngineOnDiskKeepsWhatEnginesPromise(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) enginetest.Store { return onDisk(t).store() })
}

func TestTheEngineInAPowerCutKeepsWhatEnginesPromise(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) enginetest.Store { return inMemory(t).store() })
}
