package state

import (
	"encoding/binary"

	"github.com/stratosmesh/stratos/mesh"
)

// Every key of the store begins with one of these bytes. Numbers are big endian, so that order is numeric.
const (
	tipKey = "\x01"

	accountKey   = 'a' // account 20 -> Account
	sessionKey   = 's' // session key 32 -> Session
	accessKey    = 'K' // name -> AccessKey
	accessTime   = 'J' // expiry ms 8 | name -> empty
	sealedKey    = 'W' // gateway 32 | name -> empty: access keys that are sealed to it
	servedKey    = 'Y' // access key 00 bucket -> empty: buckets that are served under it
	revokedKey   = 'r' // account 20 | link 16 -> empty
	spentKey     = 'x' // account 20 | link 16 -> Counter: noz leased under the link's budget
	countedKey   = 'y' // lease 16 -> Session: the account and the budgets that the lease was counted under, if any
	leaseKey     = 'l' // lease 16 -> Lease
	leaseTimeKey = 'L' // expiry ms 8 | lease 16 -> empty: open leases, and swept ones whose id is still remembered
	leaseEndKey  = 'E' // last epoch 8 | lease 16 -> empty: closed leases that nodes may still claim from
	claimKey     = 'c' // lease 16 | node 20 -> Counter: credited
	allottedKey  = 'q' // lease 16 | node 20 -> Counter: what tickets gave the node
	bucketKey    = 'b' // name -> Bucket
	ownedKey     = 'B' // account 20 | name -> empty
	sectionKey   = 'C' // bucket 00 kind 4 -> a part of its configuration
	objectKey    = 'o' // bucket 00 key -> Object: the current version, unless that is a marker
	historyKey   = 'h' // bucket 00 key 00 ^height 8 ^position 4 -> Object: older versions and markers, newest first
	versionKey   = 'i' // bucket 00 key 00 version 16 -> place 12 in the history; all zero: the null version
	leavingKey   = 'Z' // bucket 00 key 00 version 16 -> Object: replaced or removed, and still readable by version
	leaveTimeKey = 'z' // epoch 8 | bucket 00 key 00 version 16 -> empty: when it is released
	uploadKey    = 'u' // upload 16 -> Upload
	uploadListed = 'm' // bucket 00 key 00 height 8 upload 16 -> empty: multipart uploads that are open
	partKey      = 'P' // upload 16 | number 4 -> Part; a completed object's parts stay under its upload
	uploadTime   = 'U' // deadline ms 8 | upload 16 -> empty
	pageKey      = 'p' // upload 16 | number 4 -> Page; an object's pages stay under the upload that brought them
	segmentKey   = 'g' // segment 32 -> Segment
	reducedKey   = 'G' // segment 32 -> empty: lacks pieces
	keepKey      = 'k' // node 20 | slice 32 | segment 32 -> empty
	nodeKey      = 'n' // node 20 -> Node
	evidenceKey  = 'T' // node 20 -> Evidence: why it is suspended
	convictKey   = 'M' // node 20 -> empty: the value layer does not know it
	convictedKey = 'O' // node 20 | authority 20 -> its signature of the Conviction
	voteKey      = 'v' // node 20 | authority 20 -> Vote
	authorityKey = 'A' // authority 20 -> Authority
	seenKey      = 'w' // writer's ms 8 | hash 32 -> empty: messages inside the replay window
	databaseKey  = 'd' // database 16 -> Database, for droppedMs after it was dropped
	hostedKey    = 'H' // cell 16 | database 16 -> empty
	droppedTime  = 'j' // ms 8 | database 16 -> empty: when a dropped database is forgotten
	databaseName = 'D' // account 20 | name -> database 16
	cellKey      = 'X' // cell 16 -> Cell
	roomKey      = 'V' // faults 4 | cell 16 -> empty: cells that take more databases
	hostKey      = 'N' // node 20 | cell 16 -> empty: who has a replica of what
	dryKey       = 'F' // account 20 | database 16 -> empty: whose allowance the account's ozone did not suffice for
	refillKey    = 'I' // account 20 -> empty: has more ozone since, and databases that may wait for it
	anchorKey    = 'Q' // database 16 -> Anchor: that its owner wants signed
	anchoredKey  = 't' // database 16 | authority 20 -> its signature of the Anchor
	anchorTime   = '0' // ms 8 | database 16 -> empty: when that is forgotten
	ledgerKey    = 'e' // epoch 8 | kind 1 | account 20 | node 20 -> Counter: what nodes have earned, by kind of resource
	feeKey       = 'f' // epoch 8 | account 20 -> Counter: log writes
	reportKey    = 'R' // epoch 8 -> Report
	signatureKey = 'S' // epoch 8 | authority 20 -> signature
	jobKey       = '1' // job 16 -> Job, for jobKeptMs after it was closed
	jobOwned     = '2' // account 20 | ^opened ms 8 | job 16 -> empty
	jobTime      = '3' // ms 8 | job 16 -> empty: when its deadline comes, or the state after that
	tidyKey      = '4' // job 16 -> empty: its tasks are seen to, some in each block
	taskKey      = '5' // job 16 | number 4 -> Task
	workKey      = '6' // node 20 | job 16 | number 4 -> empty: tasks that were drawn for it, and have not ended
	loadKey      = '7' // node 20 -> Counter: tasks that were drawn for it, and it has no result yet
	openingKey   = '8' // job 16 | hash 32 -> Signed: Openings that may convict
	checkTime    = '9' // ms 8 | job 16 | number 4 -> empty: when a check is over in any case
	awaitKey     = '+' // job 16 | batch 4 | number 4 -> empty: tasks that wait for the draw of checks
	batchKey     = '*' // job 16 | batch 4 | node 20 -> Batched
	drawKey      = '=' // job 16 -> empty: has a batch whose checks can be drawn by the value layer's next block, or are being drawn
	jobWorkerKey = '-' // job 16 | node 20 -> JobWorker
	releaseKey   = '/' // job 16 | node 20 -> Counter: from this number on, its tasks are verified, or given to others
	attestKey    = '!' // job 16 | number 4 -> Attestation: that its author wants signed
	attestedKey  = '"' // job 16 | number 4 | authority 20 -> its signature of the Attestation
	attestTime   = '$' // ms 8 | job 16 | number 4 -> empty: when that is forgotten
	blameKey     = '#' // epoch 8 | account 20 | node 20 -> empty: whose score an account has lowered
)

func key(kind byte, parts ...[]byte) []byte {
	n := 1
	for _, p := range parts {
		n += len(p)
	}
	k := append(make([]byte, 0, n), kind)
	for _, p := range parts {
		k = append(k, p...)
	}
	return k
}

func be64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }
func be32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

// msKey orders times; before 1970 counts as 1970.
func msKey(ms int64) []byte { return be64(uint64(max(ms, 0))) }

func objectKeyOf(bucket, name string) []byte {
	return key(objectKey, []byte(bucket), []byte{0}, []byte(name))
}

// historyPlace is how many bytes of a history key are the place in the history.
const historyPlace = 12

// named is kind | bucket 00 key 00.
func named(kind byte, bucket, name string) []byte {
	return key(kind, []byte(bucket), []byte{0}, []byte(name), []byte{0})
}

func historyPrefix(bucket, name string) []byte { return named(historyKey, bucket, name) }

func versionKeyOf(bucket, name string, version []byte) []byte {
	return append(named(versionKey, bucket, name), version...)
}

func leavingKeyOf(bucket, name string, version []byte) []byte {
	return append(named(leavingKey, bucket, name), version...)
}

// after returns the first key past everything that begins with prefix.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

func leaseIDOf(k []byte) (id mesh.LeaseID) { copy(id[:], k[len(k)-len(id):]); return id }
