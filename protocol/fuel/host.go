package fuel

import "math"

// MaxFuel is the most fuel that the host may give: far from where charges could wrap.
const MaxFuel = 1 << 62

// StopFuel stops a task: the host sets the fuel to it while the task runs. It is far below anything that a task reaches by
// itself, and far above the least integer, below which charges would wrap and give fuel.
const StopFuel = math.MinInt64 / 2

// A Global is an exported global of an instance; wazero's api.MutableGlobal is one.
type Global interface {
	Get() uint64
	Set(uint64)
}

// An Outcome says which budget ended a run, if one did.
type Outcome uint8

const (
	// Within: both budgets lasted. The run returned, or trapped by the module's own fault.
	Within Outcome = iota
	// OutOfFuel: the fuel is spent. The run counts as such even when it returned or trapped in the last region that it could
	// not pay for.
	OutOfFuel
	// OutOfStack: its calls are nested too deeply.
	OutOfStack
	// Stopped: the host set the fuel to StopFuel. It says nothing of the module, and binds nobody.
	Stopped
)

// OutcomeOf reads the two globals after a run ended, by return or by trap. Nothing else tells: out of fuel and out of stack
// both trap as unreachable does. After a trap the instance must not be used again.
func OutcomeOf(fuel, stack Global) Outcome {
	switch left := int64(fuel.Get()); {
	case left < StopFuel/2:
		return Stopped
	case left < 0:
		return OutOfFuel
	case int32(stack.Get()) < 0:
		return OutOfStack
	}
	return Within
}

// Used is the fuel that a run spent of what it was given. A run that went out of fuel used it all, and no more is charged.
func Used(given int64, fuel Global) int64 {
	if left := int64(fuel.Get()); left > 0 {
		return given - left
	}
	return given
}
