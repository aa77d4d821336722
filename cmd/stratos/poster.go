package main

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/stratosmesh/stratos/client/chain"
	"github.com/stratosmesh/stratos/client/wallet"
	"github.com/stratosmesh/stratos/mesh"
	"github.com/stratosmesh/stratos/meta"
	"github.com/stratosmesh/stratos/protocol/abi"
	"github.com/stratosmesh/stratos/protocol/report"
)

// A poster posts an authority's reports as Ethereum transactions of its operator.
type poster struct {
	url      string
	chainID  uint64
	operator wallet.Key
}

// poster returns how the authority in a home posts reports, nil when its operator's account is not there.
func (e *env) poster(ctx context.Context, home string) (meta.Poster, error) {
	c, err := meta.ReadConfig(home)
	if err != nil {
		return nil, err
	}
	store := wallet.OpenStore(filepath.Join(home, meta.OperatorDir))
	entry, err := store.Find(meta.OperatorName)
	if mesh.KindOf(err) == mesh.NotFound || errors.Is(err, fs.ErrNotExist) || c.ValueEth == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	k, err := e.key(ctx, store, entry)
	if err != nil {
		return nil, err
	}
	return &poster{c.ValueEth, c.EVMChain, k}, nil
}

// with connects anew for each step: the value layer may have been away in between.
func (p *poster) with(ctx context.Context, f func(*chain.Client) error) error {
	c, err := chain.Dial(ctx, p.url, p.chainID)
	if err != nil {
		return err
	}
	defer c.Close()
	return f(c)
}

func (p *poster) NextReport(ctx context.Context) (next mesh.Epoch, err error) {
	err = p.with(ctx, func(c *chain.Client) error {
		v, err := c.Query(ctx, abi.Pot(), "epoch")
		if err == nil {
			next = mesh.Epoch(v[1].(uint64))
		}
		return err
	})
	return next, err
}

// The states of a report on the value layer.
const (
	reportUnknown = 0
	reportOpen    = 1
)

func (p *poster) Awaits(ctx context.Context, e mesh.Epoch) (open bool, table report.Table, page uint32, err error) {
	err = p.with(ctx, func(c *chain.Client) error {
		v, err := c.Query(ctx, abi.Pot(), "report", uint64(e))
		if err != nil {
			return err
		}
		status := v[1].(uint8)
		open, table, page = status != reportUnknown, report.Tables, 0
		if status == reportOpen {
			table, page = report.Table(v[2].(uint8)), v[3].(uint32)
		}
		return nil
	})
	return open, table, page, err
}

func (p *poster) PostHeader(ctx context.Context, header []byte, signers []mesh.AuthorityID, signatures []mesh.Signature) error {
	ids, sigs := signedBy(signers, signatures)
	return p.transact(ctx, abi.Pot(), "submitReport", header, ids, sigs)
}

func (p *poster) PostConviction(ctx context.Context, conviction []byte, signers []mesh.AuthorityID, signatures []mesh.Signature) error {
	ids, sigs := signedBy(signers, signatures)
	return p.transact(ctx, abi.Register(), "convictNode", conviction, ids, sigs)
}

func (p *poster) PostPage(ctx context.Context, e mesh.Epoch, table report.Table, page uint32, envelope []byte) error {
	return p.transact(ctx, abi.Pot(), "submitPage", uint64(e), uint8(table), page, envelope)
}

// signedBy pairs signers with what they signed, as contracts take it.
func signedBy(signers []mesh.AuthorityID, signatures []mesh.Signature) (ids [][20]byte, sigs [][]byte) {
	for i := range signers {
		ids, sigs = append(ids, signers[i]), append(sigs, signatures[i][:])
	}
	return ids, sigs
}

func (p *poster) transact(ctx context.Context, contract abi.Contract, method string, args ...any) error {
	return p.with(ctx, func(c *chain.Client) error {
		_, err := c.Transact(ctx, p.operator, contract, mesh.Wei{}, method, args...)
		return err
	})
}
