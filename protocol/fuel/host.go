package fuel

// MaxFuel is the most fuel that the host may give: far from where charges could wrap.
const MaxFuel = 1 << 62

// Stop is what the host sets StopExport to, to end a task that runs. One write is enough.
const Stop = 1 << 63

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
	// OutOfFuel: the fuel is spent. The run counts as such even when it returned or trapped in the last region, which it could
	// not pay for.
	OutOfFuel
	// OutOfStack: its calls are nested too deeply.
	OutOfStack
	// Stopped: the host wanted it to stop. That says nothing of the module, and binds nobody.
	Stopped
)

// Globals are the exports of an instance by which the host rules it.
type Globals struct{ Fuel, Stack, Stop Global }

// Outcome reads the globals after a run ended, by return or by trap. Nothing else tells: out of fuel, out of stack and
// stopped all trap as unreachable does. After a trap the instance must not be used again: it has not given back its stack.
func (g Globals) Outcome() Outcome {
	switch {
	case int64(g.Stop.Get()) < 0:
		return Stopped
	case int64(g.Fuel.Get()) < 0:
		return OutOfFuel
	case int32(g.Stack.Get()) < 0:
		return OutOfStack
	}
	return Within
}

// Used is the fuel that a run spent of what it was given. A run that went out of fuel used it all, and no more is charged.
func (g Globals) Used(given int64) int64 {
	return given - max(int64(g.Fuel.Get()), 0)
}
