// Package lint holds the rules of this repository that the compiler does not know: who may import whom, what a package
// must say of itself, and which names are not used. They are data in the test beside this file; nothing imports it.
package lint
