package load

import (
	"encoding/binary"
	"fmt"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/wire"
)

// content is one Task with one Version, with the messages that name them.
type content struct {
	task    *pieces.Task
	key     pieces.Key
	facts   pieces.Facts
	pieces  int
	taskPB  *commonpb.Task
	factsPB *commonpb.Facts
}

// newContent makes the n-th content of a run, of size bytes.
func newContent(run string, n int, size int64) (*content, error) {
	task, err := pieces.NewTask(fmt.Sprintf("http://origin.example/%s/files/%08d.tar", run, n), pieces.Options{}, nil)
	if err != nil {
		return nil, err
	}
	facts := pieces.Facts{Size: size, Ranges: true, Validator: pieces.Validator{Kind: pieces.StrongETag, Value: fmt.Sprintf("%q", run)}}
	geo, err := facts.Geometry()
	if err != nil {
		return nil, err
	}
	return &content{
		task: task, key: pieces.Key{Task: task.ID, Version: facts.VersionID()}, facts: facts, pieces: geo.Count(),
		taskPB: wire.TaskTo(task), factsPB: wire.FactsTo(facts),
	}, nil
}

// all is the whole content.
func (c *content) all() pieces.Extent { return pieces.Extent{End: c.pieces} }

// sums makes up the digests of e.
func (c *content) sums(e pieces.Extent, setter pieces.HostID) pieces.SumRun {
	run := pieces.SumRun{First: e.First, Setter: setter}
	for i := range e.All() {
		var s pieces.Sum
		copy(s[:], c.key.Task)
		binary.BigEndian.PutUint32(s[24:], uint32(i+1))
		run.Sums = append(run.Sums, s)
	}
	return run
}
