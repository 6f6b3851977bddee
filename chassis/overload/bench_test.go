package overload_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
	"github.com/failsafe-go/failsafe-go/priority"

	"github.com/octavo-books/octavo/chassis/overload"
)

// BenchmarkLimiter is what a call costs that is admitted and done, and one that
// is refused, beside failsafe-go's limiter with priorities.
func BenchmarkLimiter(b *testing.B) {
	b.Run("own/admitted", func(b *testing.B) {
		l := overload.New("bench", slog.New(slog.DiscardHandler))
		operation := l.Operation("op")
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				began := time.Now()
				if l.Admit(operation, overload.Call{Waited: time.Microsecond, Left: time.Second}) == overload.Admitted {
					l.Done(operation, time.Since(began), true)
				}
			}
		})
	})
	b.Run("failsafe/admitted", func(b *testing.B) {
		l := adaptivelimiter.NewBuilder[any]().BuildPrioritized(adaptivelimiter.NewPrioritizer())
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if permit, err := l.AcquirePermitWithPriority(b.Context(), priority.High); err == nil {
					permit.Record()
				}
			}
		})
	})
	b.Run("own/refused", func(b *testing.B) {
		l := overload.New("bench", slog.New(slog.DiscardHandler))
		operation := l.Operation("op")
		for l.Admit(operation, overload.Call{}) == overload.Admitted {
		}
		b.ReportAllocs()
		for b.Loop() {
			l.Admit(operation, overload.Call{Waited: time.Microsecond, Left: time.Second})
		}
	})
	b.Run("failsafe/refused", func(b *testing.B) {
		l := adaptivelimiter.NewWithDefaults[any]()
		for full := false; !full; {
			_, admitted := l.TryAcquirePermit()
			full = !admitted
		}
		b.ReportAllocs()
		for b.Loop() {
			l.TryAcquirePermit()
		}
	})
}
