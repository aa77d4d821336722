package worker

// PID is the worker's process.
func (p *Process) PID() int { return p.cmd.Process.Pid }
