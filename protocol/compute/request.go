package compute

import (
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/wirepb"
)

// Methods of a node that runs tasks; see task.proto.
const (
	TaskKeysPath = "/v1/task-keys"
	TaskPath     = "/v1/task"
	TaskLogPath  = "/v1/task-log"
)

const (
	// MaxAccesses is how many accesses a task can have, and for how many prefixes keys are asked at once.
	MaxAccesses = 16
	// MaxTaskRequest bounds a request: that of a reduce names each map's output.
	MaxTaskRequest = 16 << 20
	// MaxTaskLog is how much of a task's log a node keeps, its end, as long as it keeps the task.
	MaxTaskLog = 16 << 10
	// MaxLogRequest bounds a request for a log, and what an answer has besides that.
	MaxLogRequest = 256
	// MaxTaskReply bounds a reply.
	MaxTaskReply = MaxTaskLog + 4<<10
	// MaxKeysRequest bounds a request for keys.
	MaxKeysRequest = MaxAccesses*(mesh.MaxKeyLen+100) + 64
)

// CheckTaskRequest refuses, as Invalid, a request that is malformed or whose parts do not fit each other. Whether the node may run it, the log says.
func CheckTaskRequest(q *wirepb.TaskRequest) error {
	bad := func(format string, a ...any) error {
		return mesh.Errorf(mesh.Invalid, "request to run a task: "+format, a...)
	}
	if len(q.Job) != 16 || q.Text == nil || q.Module == nil || q.Output == nil {
		return bad("a part of it is missing")
	}
	if err := CheckTask(q.Text); err != nil {
		return err
	}
	if len(q.Access) > MaxAccesses {
		return bad("%d accesses, %d are the most", len(q.Access), MaxAccesses)
	}
	if len(q.Files) != len(q.Text.Stage.Files) || len(q.Inputs) != len(q.Text.Inputs) {
		return bad("%d files and %d inputs, the task has %d and %d", len(q.Files), len(q.Inputs), len(q.Text.Stage.Files), len(q.Text.Inputs))
	}
	for _, list := range [][]*wirepb.StoredObject{{q.Module}, q.Files, q.Inputs, {q.Output}} {
		for _, o := range list {
			if int64(o.Access) >= int64(len(q.Access)) {
				return bad("object %s/%s is under access %d of %d", o.Bucket, o.Key, o.Access, len(q.Access))
			}
			if err := mesh.CheckKey(o.Key); err != nil {
				return err
			}
			if o != q.Output && len(o.Version) != 16 {
				return bad("object %s/%s has a version of %d bytes, not 16", o.Bucket, o.Key, len(o.Version))
			}
		}
	}
	return nil
}
