package vector

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// random is a vector of normal values at an odd offset, so that nothing is
// aligned by chance.
func random(r *rand.Rand, n int) []float32 {
	v := make([]float32, n+1)[1:]
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

func TestTheAssemblyGivesTheBitsOfTheGoCode(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := 0; n <= 512; n += 8 {
		for range 20 {
			a, b := random(r, n), random(r, n)
			if n > 0 {
				if got, want := dotLanes(a, b), dotLanesGo(a, b); math.Float32bits(got) != math.Float32bits(want) {
					t.Fatalf("Dot of %d: %v, in Go %v", n, got, want)
				}
			}
			y, twin := random(r, n), make([]float32, n)
			copy(twin, y)
			scale := float32(r.NormFloat64())
			AddScaled(y, scale, a)
			addScaledLanesGo(twin, scale, a)
			for i := range y {
				if math.Float32bits(y[i]) != math.Float32bits(twin[i]) {
					t.Fatalf("AddScaled of %d at %d: %v, in Go %v", n, i, y[i], twin[i])
				}
			}
		}
	}
}

func TestFourRowsAreAddedAsOneAfterTheOther(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for n := range 200 {
		stride := n + r.IntN(9)
		x, y := random(r, 3*stride+n), append(random(r, n), 7) // one behind the end
		twin, inGo := append([]float32(nil), y...), append([]float32(nil), y...)
		scale := [4]float32(random(r, 4))
		AddFour(y[:n], &scale, x, stride)
		addFourLanesGo(inGo[:n], &scale, x, stride)
		for row, s := range scale {
			AddScaled(twin[:n], s, x[row*stride:row*stride+n])
		}
		for i := range y {
			if y[i] != twin[i] || y[i] != inGo[i] {
				t.Fatalf("AddFour of %d at %d: %v, one after the other %v, in Go %v", n, i, y[i], twin[i], inGo[i])
			}
		}
	}
}

func TestAnyLengthIsAddedUpWhole(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 200 {
		a, b := random(r, n), random(r, n)
		var want float64
		for i := range a {
			want += float64(a[i]) * float64(b[i])
		}
		if got := float64(Dot(a, b)); math.Abs(got-want) > 1e-4 {
			t.Errorf("Dot of %d = %v, want %v", n, got, want)
		}
		y := append(random(r, n), 7) // one behind the end
		before := append([]float32(nil), y...)
		AddScaled(y, 0.5, a)
		for i := range a {
			if want := before[i] + float32(0.5*a[i]); y[i] != want {
				t.Errorf("AddScaled of %d at %d = %v, want %v", n, i, y[i], want)
			}
		}
		if y[n] != 7 {
			t.Errorf("AddScaled of %d wrote behind its end", n)
		}
	}
}

func TestSolveSolves(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 100} {
		// MᵀM + I is positive definite.
		m := random(r, n*n)
		a := make([]float32, n*n)
		for i := range n {
			for j := range n {
				for k := range n {
					a[i*n+j] += m[k*n+i] * m[k*n+j]
				}
			}
			a[i*n+i]++
		}
		want := random(r, n)
		b := make([]float32, n)
		for i := range n {
			b[i] = Dot(a[i*n:i*n+n], want)
		}
		if !Solve(a, b) {
			t.Fatalf("a system of %d was refused", n)
		}
		for i := range b {
			if math.Abs(float64(b[i]-want[i])) > 2e-2 {
				t.Errorf("system of %d: x[%d] = %v, want %v", n, i, b[i], want[i])
			}
		}
	}
}

func TestSolveRefusesWhatHasNoSolution(t *testing.T) {
	nan := float32(math.NaN())
	for name, a := range map[string][]float32{
		"singular":     {1, 1, 1, 1},
		"negative":     {-1, 0, 0, 1},
		"not a number": {nan, 0, 0, 1},
		"infinite":     {float32(math.Inf(1)), 0, 0, 1},
	} {
		if Solve(a, []float32{1, 1}) {
			t.Errorf("a %s matrix was accepted", name)
		}
	}
}

func BenchmarkDot(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{64, 128, 256} {
		x, y := random(r, n), random(r, n)
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			for b.Loop() {
				Dot(x, y)
			}
		})
		b.Run(fmt.Sprintf("n=%d/go", n), func(b *testing.B) {
			for b.Loop() {
				dotLanesGo(x, y)
			}
		})
	}
}

func BenchmarkAddFour(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	const n = 128
	y, x, scale := random(r, n), random(r, 4*n), [4]float32{1e-9, -1e-9, 1e-9, -1e-9}
	b.Run("four", func(b *testing.B) {
		for b.Loop() {
			AddFour(y, &scale, x, n)
		}
	})
	b.Run("one-by-one", func(b *testing.B) {
		for b.Loop() {
			for t, s := range scale {
				AddScaled(y, s, x[t*n:t*n+n])
			}
		}
	})
	b.Run("go", func(b *testing.B) {
		for b.Loop() {
			addFourLanesGo(y, &scale, x, n)
		}
	})
}

func BenchmarkSolve(b *testing.B) {
	const n = 100
	r := rand.New(rand.NewPCG(1, 1))
	a, x := make([]float32, n*n), random(r, n)
	scratch, rhs := make([]float32, n*n), make([]float32, n)
	for i := range n {
		for j := range n {
			a[i*n+j] = 0.5 / float32(1+max(i-j, j-i))
		}
		a[i*n+i] = 3
	}
	for b.Loop() {
		copy(scratch, a)
		copy(rhs, x)
		if !Solve(scratch, rhs) {
			b.Fatal("refused")
		}
	}
}
