// Package function runs functions on nodes for whoever waits for them: it has nodes drawn, gives each call to as many as its level of
// verification wants, compares what they signed, finds out who lied, and applies what the call did only when they agree.
//
// What a call may ask, and what happens when it succeeds, is the caller's: see Session. A gateway runs functions for browsers.
package function
