// Package replica is one replica of a cell: it follows the cell's log, executes it on an engine file for each database, answers
// envelopes and queries with its signature, and signs checkpoints of what the databases hold.
//
// It knows nothing of its node, of what is paid for, or of the meta layer but what the log says: notices that f+1 authorities
// signed. A node runs it as a child process, because stopping CometBFT can take its process down. How it all hangs together
// stands in node/database/DESIGN.md.
//
// State, blocks, checkpoints and joining share one store and one order of commits, so that it is one package of more than 3,000 lines.
package replica
