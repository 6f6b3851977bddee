// Package manifests checks what is in deploy/kubernetes without a cluster: that
// every overlay, and every component with every other, is built, has only fields
// that Kubernetes knows, is allowed where pods are restricted, and says of the
// programs only what the programs themselves say.
//
// It has a module of its own, so that nobody who uses Octavo downloads
// Kubernetes. It has no code that is not a test.
package manifests
