// Package mesh is the vocabulary of Stratos: identifiers, amounts, names, limits and the closed set of error kinds
// that every other package speaks. It decides nothing and does no I/O.
//
// It stands at the bottom of the import ladder and imports the standard library only. Everybody calls it.
package mesh
