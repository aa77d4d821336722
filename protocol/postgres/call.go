package postgres

import (
	"errors"

	"github.com/stratosmesh/stratos/protocol/postgres/datetime"
	"github.com/stratosmesh/stratos/protocol/postgres/sqlstate"
)

// MaxSize bounds, in bytes, every value that is made here. PostgreSQL's own bound is 1 GiB; a value that a replica touches
// sets the price of its statement, so it is the largest for which there is a price.
const MaxSize = 4 << 20

// A Call is what a function may know besides its arguments.
type Call struct {
	Env    datetime.Env          // the time of the transaction, the session's time zone
	Charge func(gas uint64) bool // takes gas for work beyond one pass over the arguments; false: there is no more. nil: no bounds
	Types  []OID                 // of the arguments, where the declared type is "any" or any of its kind
	Result OID                   // of the result, where that is
}

var exhausted = sqlstate.New(sqlstate.Exhausted, "no gas left")

// Exhausted tells whether a call ended because Call.Charge refused it gas.
func Exhausted(err error) bool { return errors.Is(err, exhausted) }

// gasUnit is how many simple operations one gas buys.
const gasUnit = 32

// work pays for simple operations.
func (c *Call) work(operations uint64) error {
	if c != nil && c.Charge != nil && operations >= gasUnit && !c.Charge(operations/gasUnit) {
		return exhausted
	}
	return nil
}

var tooLarge = sqlstate.New(sqlstate.LimitExceeded, "value too large: values have at most %d bytes", MaxSize)

// sized refuses results that are too large.
func sized(n int) error {
	if n < 0 || n > MaxSize {
		return tooLarge
	}
	return nil
}
