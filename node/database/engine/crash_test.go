package engine

const childPath = "STRATOS_ENGINE_CHILD"

func child(path string) {}
