package engine

// Work is what an engine has under way.
type Work struct {
	// Requests to other hosts, and reads of origins.
	Requests, OriginReads int
	// Writes are pieces that wait to be written to disk.
	Writes int
	// Memory of MemorySize bytes is in use for pieces.
	Memory, MemorySize int64
}

// Work returns what is under way now.
func (e *Engine) Work() Work {
	w := Work{Memory: e.memory.budget.InUse(), MemorySize: e.memory.budget.Size()}
	for _, c := range e.Contents() {
		c.mu.Lock()
		w.Requests += len(c.flights)
		w.OriginReads += len(c.origins)
		c.mu.Unlock()
	}
	e.writes.mu.Lock()
	defer e.writes.mu.Unlock()
	for _, q := range e.writes.queues {
		w.Writes += len(q)
	}
	return w
}

// Contents returns the contents that are in memory, at most
// Options.MaxContents and those in use.
func (e *Engine) Contents() []*Content {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.all()
}
