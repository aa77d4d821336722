package wirepb

// Paths of a replica's API. Each takes and answers one message by POST over mutual TLS, in which the replica shows its answer key.
//
//	CellSubmitPath  CellTx -> DatabaseReply         apply a transaction and wait for it
//	CellQueryPath   DatabaseQuery -> DatabaseReply
//	CellGrowthPath  GrowthRequest -> Growth         wait for a block that touches a database
//	CellStatusPath  CellStatusRequest -> CellStatus
//	CellCertificatePath  CertificateRequest -> Certificate, to members
//	CellSnapshotPath  SnapshotRequest -> SnapshotAnswer, to members
//	CellExportPath    GET, with height and what: the state, or a database by its id; to members. See node/database/replica
//	CellCopyPath      GET, with the database and the least height of the checkpoint: a backup, to sessions that may read the database
const (
	CellSubmitPath = "/v1/submit"
	CellQueryPath  = "/v1/query"
	CellGrowthPath = "/v1/growth"
	CellStatusPath = "/v1/status"

	CellCertificatePath = "/v1/certificate"
	CellSnapshotPath    = "/v1/snapshot"
	CellExportPath      = "/v1/export/{height}/{what}"
	CellCopyPath        = "/v1/copy/{database}/{height}"
)
