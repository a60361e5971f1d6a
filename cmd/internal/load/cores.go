package load

import (
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// processors lists those that this process may run on.
func processors() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, err
	}
	var cpus []int
	for i := range 1024 {
		if set.IsSet(i) {
			cpus = append(cpus, i)
		}
	}
	return cpus, nil
}

// leave keeps this whole process off a processor from now on. It may be called
// again with the same one.
func leave(core int) error {
	cpus, err := processors()
	if err != nil {
		return err
	}
	var set unix.CPUSet
	for _, c := range cpus {
		if c != core {
			set.Set(c)
		}
	}
	if set.Count() == 0 {
		return nil
	}
	// A thread made meanwhile inherits from its maker: a second pass finds
	// those whose maker came late in the first.
	for range 2 {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil {
				continue
			}
			if err := unix.SchedSetaffinity(id, &set); err != nil && err != unix.ESRCH {
				return err
			}
		}
	}
	runtime.GOMAXPROCS(set.Count())
	return nil
}
