// Package resilience tests what must hold under overload and when parts fail, on
// real servers of the chassis and connections of its dialler. The tests run for
// seconds; with -long, as in 'make soak', for minutes. Each prints a row of
// docs/reference/faults.md.
//
// It knows no service: what the real ones do together is tested in test/faults.
package resilience
