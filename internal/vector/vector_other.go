//go:build !amd64 || purego

package vector

// Prefetch asks for the memory of what will soon be read, where the machine can
// be told.
func Prefetch[T byte | uint32 | float32]([]T) {}

func dotLanes(a, b []float32) float32 { return dotLanesGo(a, b) }

func addScaledLanes(y []float32, scale float32, x []float32) { addScaledLanesGo(y, scale, x) }

func addFourLanes(y []float32, scale *[4]float32, x []float32, stride int) {
	addFourLanesGo(y, scale, x, stride)
}
