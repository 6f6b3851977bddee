//go:build amd64 && !purego

package vector

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

var avx2 = cpu.X86.HasAVX2

// dotLanes takes slices of one length, a multiple of 8 above 0.
func dotLanes(a, b []float32) float32 {
	if avx2 {
		return dotAVX2(&a[0], &b[0], len(a))
	}
	return dotLanesGo(a, b)
}

// addScaledLanes takes slices of one length, a multiple of 8.
func addScaledLanes(y []float32, scale float32, x []float32) {
	if avx2 {
		addScaledAVX2(&y[0], &x[0], len(x), scale)
		return
	}
	addScaledLanesGo(y, scale, x)
}

// addFourLanes takes a y of a length that is a multiple of 8 above 0, and four
// rows of x at least as long.
func addFourLanes(y []float32, scale *[4]float32, x []float32, stride int) {
	if avx2 {
		addFourAVX2(&y[0], &x[0], &x[stride], &x[2*stride], &x[3*stride], len(y), scale)
		return
	}
	addFourLanesGo(y, scale, x, stride)
}

// Prefetch asks for the memory of what will soon be read, and waits for none of
// it.
func Prefetch[T byte | uint32 | float32](list []T) {
	if len(list) > 0 {
		prefetch(unsafe.Pointer(&list[0]), (len(list)*int(unsafe.Sizeof(list[0]))+63)/64)
	}
}

//go:noescape
func prefetch(first unsafe.Pointer, lines int)

//go:noescape
func dotAVX2(a, b *float32, n int) float32

//go:noescape
func addScaledAVX2(y, x *float32, n int, scale float32)

//go:noescape
func addFourAVX2(y, x0, x1, x2, x3 *float32, n int, scale *[4]float32)
