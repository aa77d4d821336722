// Package job runs jobs on the nodes of the network: it cuts the inputs where they lie, has the log draw workers, gives these their tasks, each
// with a grant made out to its key, and follows the log until every task is verified.
//
// It is the agent of a job's author: `stratos run` while it is attached. It draws nobody, verifies nothing that the log does not, and pays nobody: the
// log does. What a task is stands in protocol/compute.
package job
