//go:build !amd64 || purego

package vector

func dotLanes(a, b []float32) float32 { return dotLanesGo(a, b) }

func addScaledLanes(y []float32, scale float32, x []float32) { addScaledLanesGo(y, scale, x) }
