// Package wirepb is the generated code of the messages that cross the wire, and the paths under which an authority takes
// them. What a message must be is checked by the package beside it; see ../DESIGN.md. Everybody calls it.
package wirepb

// Paths of an authority's API. Each takes and answers one message by POST over mutual TLS; see protocol/rpc.
//
//	SubmitPath     Tx -> SubmitAnswer       apply a transaction and wait for it
//	QueryPath      Query -> QueryAnswer
//	TicketPath     TicketRequest -> TicketAnswer
//	AppliedPath    Applied -> Applied       long poll: answers when a greater height is applied
//	HeaderPath     Applied -> SignedHeader  the block's header that proves a height
//	HeartbeatPath  Signed Heartbeat -> Applied
//	NoticePath     NoticeRequest -> Signed Notice
//	JoinPath       JoinRequest -> JoinAnswer  how to follow the group's log
const (
	SubmitPath    = "/v1/submit"
	QueryPath     = "/v1/query"
	TicketPath    = "/v1/ticket"
	AppliedPath   = "/v1/applied"
	HeaderPath    = "/v1/header"
	HeartbeatPath = "/v1/heartbeat"
	NoticePath    = "/v1/notice"
	JoinPath      = "/v1/join"

	// MaxQueryAnswer bounds the bytes of the answers to one Query.
	MaxQueryAnswer = 8 << 20
)
