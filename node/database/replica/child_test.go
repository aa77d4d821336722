package replica

const childHome = "STRATOS_REPLICA_HOME"

func child(string) {}
