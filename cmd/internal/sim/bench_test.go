package sim

import (
	"fmt"
	"testing"
)

// BenchmarkRun is a flash crowd; per host and piece it should cost the same
// however many there are.
func BenchmarkRun(b *testing.B) {
	for _, hosts := range []int{16, 64, 256} {
		b.Run(fmt.Sprint(hosts), func(b *testing.B) {
			sc := Defaults()
			sc.Hosts, sc.Size = hosts, 16<<20
			for b.Loop() {
				if _, err := Run(b.Context(), sc); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*hosts*64), "µs/piece")
		})
	}
}
