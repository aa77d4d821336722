package mesh

import (
	"errors"
	"strings"
)

// Bech32 as BIP-173 defines it, for payloads of whole bytes. It stands here because this package imports nothing.

const bech32Charset = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

// bech32MaxLen bounds a text in Bech32; our longest has 45 characters.
const bech32MaxLen = 90

func bech32Polymod(chk uint32, v byte) uint32 {
	gen := [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3}
	top := chk >> 25
	chk = (chk&0x1ffffff)<<5 ^ uint32(v)
	for i, g := range gen {
		if top>>i&1 == 1 {
			chk ^= g
		}
	}
	return chk
}

func bech32Prefix(hrp string) uint32 {
	chk := uint32(1)
	for i := range len(hrp) {
		chk = bech32Polymod(chk, hrp[i]>>5)
	}
	chk = bech32Polymod(chk, 0)
	for i := range len(hrp) {
		chk = bech32Polymod(chk, hrp[i]&31)
	}
	return chk
}

func bech32Encode(hrp string, data []byte) string {
	var out strings.Builder
	out.Grow(len(hrp) + 7 + (len(data)*8+4)/5)
	out.WriteString(hrp)
	out.WriteByte('1')
	chk := bech32Prefix(hrp)
	put := func(v byte) { out.WriteByte(bech32Charset[v]) }
	var acc, bits uint
	for _, b := range data {
		acc, bits = acc<<8|uint(b), bits+8
		for bits >= 5 {
			bits -= 5
			v := byte(acc >> bits & 31)
			chk = bech32Polymod(chk, v)
			put(v)
		}
	}
	if bits > 0 {
		v := byte(acc << (5 - bits) & 31)
		chk = bech32Polymod(chk, v)
		put(v)
	}
	for range 6 {
		chk = bech32Polymod(chk, 0)
	}
	chk ^= 1
	for i := range 6 {
		put(byte(chk >> (5 * (5 - i)) & 31))
	}
	return out.String()
}

func bech32Decode(s string) (hrp string, data []byte, err error) {
	if len(s) > bech32MaxLen {
		return "", nil, errors.New("too long for bech32")
	}
	if lower := strings.ToLower(s); s != lower {
		if s != strings.ToUpper(s) {
			return "", nil, errors.New("capitals and small letters mixed")
		}
		s = lower
	}
	sep := strings.LastIndexByte(s, '1')
	if sep < 1 || sep+7 > len(s) {
		return "", nil, errors.New("not bech32")
	}
	hrp = s[:sep]
	for i := range len(hrp) {
		if hrp[i] < 33 || hrp[i] > 126 {
			return "", nil, errors.New("not bech32")
		}
	}
	chk := bech32Prefix(hrp)
	var acc, bits uint
	for i := sep + 1; i < len(s); i++ {
		v := strings.IndexByte(bech32Charset, s[i])
		if v < 0 {
			return "", nil, errors.New("a character that bech32 has not")
		}
		chk = bech32Polymod(chk, byte(v))
		if i >= len(s)-6 {
			continue
		}
		acc, bits = (acc<<5|uint(v))&0xfff, bits+5
		if bits >= 8 {
			bits -= 8
			data = append(data, byte(acc>>bits))
		}
	}
	if chk != 1 {
		return "", nil, errors.New("the checksum does not match: a typing error")
	}
	if bits >= 5 || acc&(1<<bits-1) != 0 {
		return "", nil, errors.New("bad padding")
	}
	return hrp, data, nil
}
