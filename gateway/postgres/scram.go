package postgres

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	_ "crypto/sha512" // of certificates
	"crypto/tls"
	"crypto/x509"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/xdg-go/scram"

	"github.com/stratosmesh/stratos/mesh"
)

const (
	scramPlain = "SCRAM-SHA-256"
	scramBound = "SCRAM-SHA-256-PLUS"
	iterations = 4096 // as PostgreSQL has them; secrets are 200 random bits

	maxName = 128 // bytes of an access key's name
)

// authenticate has the client show that it knows an access key's secret. A key that there is not goes the same way as one whose secret
// is another, so that nobody learns names.
func (s *Server) authenticate(ctx context.Context, be *pgproto3.Backend, name string, binding []byte) (*Key, *sqlError) {
	if name == "" {
		return nil, newError("28000", "no PostgreSQL user name specified in startup packet").hint("the user is the name of an access key: stratos keys create NAME --format env")
	}
	denied := newError("28P01", "password authentication failed for user \"%.*s\"", maxName, name).hint("user and password are name and secret of an access key: stratos keys create NAME --format env")
	ctx, cancel := context.WithTimeout(ctx, s.opts.StartupTime)
	defer cancel()
	var key *Key
	if len(name) <= maxName {
		var err error
		if key, err = s.keys.Key(ctx, name); err != nil && mesh.KindOf(err) != mesh.NotFound && mesh.KindOf(err) != mesh.Denied {
			return nil, errorOf(err)
		}
	}
	secret := ""
	if key != nil {
		secret = key.Secret
	}
	h := hmac.New(sha256.New, s.salts[:])
	h.Write([]byte(name))
	made, err := scram.SHA256.NewClientUnprepped("", secret, "")
	if err != nil {
		return nil, errorOf(err)
	}
	stored, err := made.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(h.Sum(nil)[:16]), Iters: iterations})
	if err != nil {
		return nil, errorOf(err)
	}
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return stored, nil })
	if err != nil {
		return nil, errorOf(err)
	}
	offer := &pgproto3.AuthenticationSASL{AuthMechanisms: []string{scramPlain}}
	if binding != nil {
		offer.AuthMechanisms = []string{scramBound, scramPlain}
	}
	talk := server.NewConversation()
	if binding != nil {
		talk = server.NewConversationWithChannelBinding(scram.ChannelBinding{Type: scram.ChannelBindingTLSServerEndpoint, Data: binding})
	}
	be.Send(offer)
	first, refused := exchange[*pgproto3.SASLInitialResponse](be, pgproto3.AuthTypeSASL)
	if refused != nil {
		return nil, refused
	}
	if bound := strings.HasPrefix(string(first.Data), "p="); first.AuthMechanism != scramPlain && (first.AuthMechanism != scramBound || binding == nil) || bound != (first.AuthMechanism == scramBound) {
		return nil, newError("08P01", "client selected an invalid SASL authentication mechanism")
	}
	challenge, err := talk.Step(string(first.Data))
	if err != nil {
		return nil, newError("08P01", "malformed SCRAM message: %v", err)
	}
	be.Send(&pgproto3.AuthenticationSASLContinue{Data: []byte(challenge)})
	second, refused := exchange[*pgproto3.SASLResponse](be, pgproto3.AuthTypeSASLContinue)
	if refused != nil {
		return nil, refused
	}
	last, err := talk.Step(string(second.Data))
	if err != nil || !talk.Valid() || key == nil {
		return nil, denied
	}
	be.Send(&pgproto3.AuthenticationSASLFinal{Data: []byte(last)})
	be.Send(&pgproto3.AuthenticationOk{})
	return key, nil
}

// exchange sends what waits, and receives the client's answer.
func exchange[M pgproto3.FrontendMessage](be *pgproto3.Backend, auth uint32) (m M, refused *sqlError) {
	lost := newError("08006", "the connection was lost")
	if err := be.Flush(); err != nil {
		return m, lost
	}
	if err := be.SetAuthType(auth); err != nil {
		return m, errorOf(err)
	}
	got, err := be.Receive()
	if err != nil {
		return m, lost
	}
	m, ok := got.(M)
	if !ok {
		return m, newError("08P01", "expected SASL response, got %T", got)
	}
	return m, nil
}

// endpoint is what tls-server-end-point binds to: a digest of the certificate, by the hash of its signature (RFC 5929). nil: none.
func endpoint(c *tls.Certificate) []byte {
	if c == nil || len(c.Certificate) == 0 {
		return nil
	}
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		return nil
	}
	hash := crypto.SHA256
	switch leaf.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		hash = crypto.SHA512
	case x509.PureEd25519:
		return nil // RFC 5929 knows no hash of it
	}
	h := hash.New()
	h.Write(leaf.Raw)
	return h.Sum(nil)
}
