package register

import (
	"github.com/ethereum/go-ethereum/common"

	"cosmossdk.io/math"
	cmn "github.com/cosmos/evm/precompiles/common"

	"github.com/stratosmesh/stratos/chain/precompile"
	"github.com/stratosmesh/stratos/chain/x/register/registerpb"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/protocol/abi"
	"github.com/stratosmesh/stratos/protocol/report"
)

// NewPrecompile returns the contract with which Ethereum transactions register and read the registry. The caller of
// the contract is the operator.
func NewPrecompile(k *Keeper, bank cmn.BankKeeper) *precompile.Precompile {
	c := contract{k}
	return precompile.New(abi.Register(), bank, map[string]precompile.Method{
		"registerNode":      c.registerNode,
		"updateNode":        c.updateNode,
		"deactivateNode":    c.deactivateNode,
		"convictNode":       c.convictNode,
		"registerAuthority": c.registerAuthority,
		"updateAuthority":   c.updateAuthority,
		"voteAuthority":     c.voteAuthority,
		"leaveAuthority":    c.leaveAuthority,
		"node":              c.node,
		"nodes":             c.nodes,
		"authority":         c.authority,
		"authorities":       c.authorities,
		"candidates":        c.candidates,
	})
}

type contract struct{ k *Keeper }

func caller(c precompile.Call) mesh.Account { return mesh.Account(c.Caller) }

func signature(b any) (mesh.Signature, error) {
	if len(b.([]byte)) == 0 {
		return mesh.Signature{}, nil
	}
	return mesh.FromBytes[mesh.Signature](b.([]byte))
}

func (p contract) registerNode(c precompile.Call) ([]any, error) {
	proof, err := signature(c.Args[6])
	if err != nil {
		return nil, err
	}
	// The value of the call is the deposit; it lies on the contract's own account.
	id, err := p.k.RegisterNode(c.Ctx, abi.Register().Address.Bytes(), NodeApplication{
		Operator: caller(c), NodeKey: c.Args[0].([32]byte), TLSKey: c.Args[1].([32]byte), Kinds: c.Args[2].(uint32), Tier: c.Args[3].(uint32),
		Address: c.Args[4].(string), Domain: c.Args[5].(string), Deposit: math.NewIntFromBigInt(c.Value), Proof: proof,
	})
	return []any{[20]byte(id)}, err
}

func (p contract) updateNode(c precompile.Call) ([]any, error) {
	proof, err := signature(c.Args[5])
	if err != nil {
		return nil, err
	}
	return nil, p.k.UpdateNode(c.Ctx, caller(c), c.Args[0].([20]byte), NodeChange{
		Address: c.Args[1].(string), Domain: c.Args[2].(string), NodeKey: c.Args[3].([32]byte), TLSKey: c.Args[4].([32]byte), Proof: proof,
	})
}

func (p contract) deactivateNode(c precompile.Call) ([]any, error) {
	payout, err := p.k.DeactivateNode(c.Ctx, caller(c), c.Args[0].([20]byte))
	return []any{uint64(payout)}, err
}

func (p contract) convictNode(c precompile.Call) ([]any, error) {
	ids := c.Args[1].([][20]byte)
	signers := make([][]byte, len(ids))
	for i := range ids {
		signers[i] = ids[i][:]
	}
	signed, err := report.Pair(signers, c.Args[2].([][]byte))
	if err != nil {
		return nil, err
	}
	return nil, p.k.ConvictNode(c.Ctx, c.Args[0].([]byte), signed)
}

// keys reads three keys and two proofs from args.
func keys(args []any) (k AuthorityKeys, err error) {
	k.Report, k.Consensus, k.TLS = args[0].([32]byte), args[1].([32]byte), args[2].([32]byte)
	var err2 error
	k.ReportProof, err = signature(args[len(args)-2])
	k.ConsensusProof, err2 = signature(args[len(args)-1])
	return k, first(err, err2)
}

func (p contract) registerAuthority(c precompile.Call) ([]any, error) {
	ks, err := keys(c.Args)
	if err != nil {
		return nil, err
	}
	id, err := p.k.RegisterAuthority(c.Ctx, abi.Register().Address.Bytes(), caller(c), ks, c.Args[3].(string), math.NewIntFromBigInt(c.Value))
	return []any{[20]byte(id)}, err
}

func (p contract) updateAuthority(c precompile.Call) ([]any, error) {
	ks, err := keys(c.Args[2:])
	if err != nil {
		return nil, err
	}
	return nil, p.k.UpdateAuthority(c.Ctx, caller(c), c.Args[0].([20]byte), c.Args[1].(string), ks)
}

func (p contract) voteAuthority(c precompile.Call) ([]any, error) {
	decided, err := p.k.VoteAuthority(c.Ctx, caller(c), c.Args[0].([20]byte), c.Args[1].([20]byte))
	return []any{decided}, err
}

func (p contract) leaveAuthority(c precompile.Call) ([]any, error) {
	payout, err := p.k.LeaveAuthority(c.Ctx, caller(c), c.Args[0].([20]byte))
	return []any{uint64(payout)}, err
}

func (p contract) node(c precompile.Call) ([]any, error) {
	n, err := p.k.Node(c.Ctx, c.Args[0].([20]byte))
	if err != nil {
		return nil, err
	}
	return []any{common.BytesToAddress(n.Operator), [32]byte(n.NodeKey), [32]byte(n.TlsKey), n.Kinds, n.Tier, n.Address, n.Domain,
		uint32(n.Status), n.Deposit.BigInt(), n.RegisteredEpoch, n.PayoutEpoch}, nil
}

func (p contract) nodes(c precompile.Call) ([]any, error) {
	after := c.Args[0].([20]byte)
	var from []byte
	if after != ([20]byte{}) {
		from = after[:]
	}
	nodes, err := p.k.NodesAfter(c.Ctx, from, c.Args[1].(uint32))
	ids := make([][20]byte, len(nodes))
	for i, n := range nodes {
		ids[i] = [20]byte(n.Id)
	}
	return []any{ids}, err
}

func (p contract) authority(c precompile.Call) ([]any, error) {
	a, err := p.k.Authority(c.Ctx, c.Args[0].([20]byte))
	if err != nil {
		return nil, err
	}
	return []any{common.BytesToAddress(a.Operator), [32]byte(a.ReportKey), [32]byte(a.ConsensusKey), [32]byte(a.TlsKey), a.Address,
		uint32(a.Status), a.Deposit.BigInt(), uint32(len(a.Votes)), a.RegisteredEpoch, a.PayoutEpoch}, nil
}

func (p contract) authorities(c precompile.Call) ([]any, error) {
	present, err := p.k.Present(c.Ctx)
	return []any{ids(present)}, err
}

func (p contract) candidates(c precompile.Call) ([]any, error) {
	candidates, err := p.k.Candidates(c.Ctx)
	return []any{ids(candidates)}, err
}

func ids(authorities []registerpb.Authority) [][20]byte {
	out := make([][20]byte, len(authorities))
	for i, a := range authorities {
		out[i] = [20]byte(a.Id)
	}
	return out
}
