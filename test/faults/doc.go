// Package faults tests what happens to users when something or somebody
// misbehaves: floods, overload, parts that fail. It runs the real programs and
// services, and compares with what it measured just before, on the same machine.
//
// It tests nothing that a test of one package can.
package faults
