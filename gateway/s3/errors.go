package s3

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/versity/versitygw/s3err"

	"github.com/stratosmesh/stratos/mesh"
)

// errUnavailable is what the official clients try again, with growing pauses.
var errUnavailable = s3err.APIError{Code: "ServiceUnavailable", HTTPStatusCode: http.StatusServiceUnavailable,
	Description: "Service is unable to handle request. Please retry."}

// errNotImplemented is what no header asks for, of which S3's own text speaks.
var errNotImplemented = s3err.APIError{Code: "NotImplemented", HTTPStatusCode: http.StatusNotImplemented, Description: "This gateway has no such function."}

// A meaning is what kinds of errors mean for one question: that something is absent is NoSuchBucket, NoSuchKey,
// NoSuchVersion or NoSuchUpload by what was asked, and a conflict by what was attempted.
type meaning map[mesh.Kind]s3err.S3Error

// s3Error makes of an error of the mesh the one that S3 has for it, unwrapped, as versitygw wants it: the kind's place
// in the meanings, the first that has one, or else in S3's own list. What is already S3's is returned as it is. A fault
// of ours is logged here, and nowhere else.
func s3Error(log *slog.Logger, op string, err error, means ...meaning) error {
	if err == nil {
		return nil
	}
	var own s3err.S3Error
	if errors.As(err, &own) {
		return own
	}
	kind := mesh.KindOf(err)
	if kind == mesh.Internal && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		kind = mesh.Unavailable
	}
	for _, m := range means {
		if e, ok := m[kind]; ok {
			return e
		}
	}
	switch kind {
	case mesh.NotFound:
		return s3err.GetAPIError(s3err.ErrNoSuchKey)
	case mesh.Denied:
		return s3err.GetAPIError(s3err.ErrAccessDenied)
	case mesh.Invalid:
		return s3err.APIError{Code: "InvalidRequest", Description: sentence(err), HTTPStatusCode: http.StatusBadRequest}
	case mesh.Conflict:
		return s3err.APIError{Code: "OperationAborted", HTTPStatusCode: http.StatusConflict,
			Description: "A conflicting conditional operation is currently in progress against this resource. Try again."}
	case mesh.Unavailable:
		return errUnavailable
	case mesh.Exhausted:
		return s3err.APIError{Code: "QuotaExceeded", Description: sentence(err), HTTPStatusCode: http.StatusForbidden}
	}
	log.Error("a request failed", "op", op, "kind", kind, "err", err)
	return s3err.GetAPIError(s3err.ErrInternalError)
}

// sentence is an error for a person: what failed, and what to do next.
func sentence(err error) string {
	if h := mesh.HintOf(err); h != "" {
		return err.Error() + "; " + h
	}
	return err.Error()
}
