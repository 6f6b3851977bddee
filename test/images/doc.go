// Package images tests the container images that tools/images makes: that the
// same sources give the same bytes, that a change in one service changes only
// the images it is in, what is in them, and that the programs run from them as
// in a container.
//
// It knows images as archives and programs by their flags alone. Running them
// needs root, for the mounts; it fails, and does not skip, without.
package images
