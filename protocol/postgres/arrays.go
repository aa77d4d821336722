package postgres

func arrayOperators() []Routine { return nil }
func arrayFunctions() []Routine { return nil }
