package postgres

func jsonOperators() []Routine { return nil }
func jsonFunctions() []Routine { return nil }
