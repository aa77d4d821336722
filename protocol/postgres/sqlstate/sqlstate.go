// Package sqlstate is the errors of SQL: five characters that programs read, and a text that people read. Both are
// PostgreSQL's, so that what was written for it needs no change. All packages below protocol/postgres return them.
package sqlstate

import "fmt"

// Codes that values raise.
const (
	TooLong           = "22001" // string_data_right_truncation
	OutOfRange        = "22003" // numeric_value_out_of_range
	NullNotAllowed    = "22004"
	BadDateTime       = "22007" // invalid_datetime_format
	DateTimeOverflow  = "22008"
	ZoneDisplacement  = "22009"
	Substring         = "22011"
	DivisionByZero    = "22012"
	IntervalOverflow  = "22015"
	Logarithm         = "2201E"
	WidthBucket       = "2201G"
	Power             = "2201F"
	EscapeCharacter   = "22019"
	NotInRepertoire   = "22021"
	BadParameter      = "22023"
	BadEscape         = "22025"
	BadRegex          = "2201B"
	ArraySubscript    = "2202E"
	BadText           = "22P02" // invalid_text_representation
	BadBinary         = "22P03"
	Untranslatable    = "22P05"
	DuplicateJSONKey  = "22030"
	BadJSON           = "22032"
	NonUniqueJSONKeys = "22037"
	Unsupported       = "0A000" // feature_not_supported
	Undefined         = "42883" // undefined_function
	UndefinedObject   = "42704"
	DatatypeMismatch  = "42804"
	CannotCoerce      = "42846"
	SyntaxError       = "42601"
	NameTooLong       = "42622"
	LimitExceeded     = "54000" // program_limit_exceeded
	TooComplex        = "54001" // statement_too_complex
	Exhausted         = "53400" // configuration_limit_exceeded: no gas left
	Internal          = "XX000"
)

// An Error is why a value could not be made.
type Error struct {
	Code, Text, Detail, Hint string
}

func (e *Error) Error() string { return e.Text }

// New returns an error with a formatted text.
func New(code, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

// BadInput is the refusal of a text that stands for no value of the type.
func BadInput(typ, s string) *Error {
	return New(BadText, "invalid input syntax for type %s: \"%s\"", typ, s)
}

// Range is the refusal of a value that the type cannot hold.
func Range(typ string) *Error { return New(OutOfRange, "%s out of range", typ) }
