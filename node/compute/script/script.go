// Package script is the system module that runs JavaScript: QuickJS as a command of WASI preview 1. A task whose module it is runs the file
// called File, so that a task's text binds both; to everything else that is a module like any other. The package holds the module and says
// which it is. It runs nothing itself (the pool does); who makes tasks calls it, and who serves modules.
package script

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"path/filepath"

	"github.com/stratosmesh/stratos/mesh"
)

// File is what the script is called among a task's files.
const File = "script.js"

// digest is the SHA-256 of the module. It is part of what a task's result is signed for: a change of the module changes it.
const digest = "f2da29107551a4ca5859acc9e878f7ae7a51a7b071b233d4ec3b6b93405cce0c"

//go:embed quickjs/quickjs.wasm
var module string

// Module is the WebAssembly binary.
func Module() string { return module }

// Hash is the SHA-256 by which tasks name the module.
func Hash() (h [sha256.Size]byte) {
	copy(h[:], must(hex.DecodeString(digest)))
	return h
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// Is tells by its name whether a program is a script, and not a WebAssembly module. What cannot be run as either is Invalid.
func Is(path string) (bool, error) {
	switch filepath.Ext(path) {
	case ".js":
		return true, nil
	case ".mjs", ".cjs", ".ts":
		return false, mesh.WithHint(mesh.Errorf(mesh.Invalid, "%s is no script that can be run: ES modules, CommonJS and TypeScript are not", path),
			"Bundle it to one plain script, whose name ends in .js: esbuild --bundle --format=iife")
	}
	return false, nil
}
