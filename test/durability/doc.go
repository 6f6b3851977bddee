// Package durability tests that what has been acknowledged is kept: through
// SIGKILL of any program under load, and through loss of power at any moment;
// and that the feeds between the programs come to the same end whatever is
// stopped, slow or set back. It runs the real programs.
//
// It tests nothing that a test of one store can.
package durability
