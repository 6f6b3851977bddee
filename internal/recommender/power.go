package recommender

import "math"

// power is x to the power of exponent for x above 0, to ten digits, at a fraction
// of the time of math.Pow, and with the same bits on every machine, which math.Pow
// does not promise: no product is fused with a sum.
func power(x, exponent float64) float64 {
	const mantissa = 52
	bits := math.Float64bits(x)
	e := int(bits>>mantissa) - 1023
	if e < -1022 || e > 1023 { // 0, a number too small to be normal, below 0, or none
		return math.Pow(x, exponent)
	}
	m := math.Float64frombits(bits&(1<<mantissa-1) | 1023<<mantissa)
	if m > math.Sqrt2 {
		m, e = m/2, e+1
	}
	// ln m = 2 artanh t, for |t| < 0.172
	t := (m - 1) / (m + 1)
	s := float64(t * t)
	log := 1./9 + float64(s*(1./11+float64(s*(1./13))))
	log = 1. + float64(s*(1./3+float64(s*(1./5+float64(s*(1./7+float64(s*log)))))))
	y := float64(exponent * (float64(e) + float64(float64(2*math.Log2E*t)*log)))
	if !(y > -1000 && y < 1000) {
		return math.Pow(x, exponent)
	}
	k := int(y+1024.5) - 1024 // the nearest whole number
	f := float64((y - float64(k)) * math.Ln2)
	exp := 1./120 + float64(f*(1./720+float64(f*(1./5040+float64(f*(1./40320+float64(f*(1./362880))))))))
	exp = 1 + float64(f*(1+float64(f*(1./2+float64(f*(1./6+float64(f*(1./24+float64(f*exp)))))))))
	return exp * math.Float64frombits(uint64(k+1023)<<mantissa)
}
