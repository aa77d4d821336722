package database

// Believed tells whether so many of n authorities have said the same that at least one of them is honest: f+1, where less than a
// third lies. Nobody is believed by nobody.
func Believed(signed, n int) bool { return signed > 0 && 3*signed >= n }

// Certified tells whether so many of n members have said the same that no other can have as many: 2f+1 of 3f+1.
func Certified(signed, n int) bool { return 3*signed > 2*n }
