// Package fence cuts a process off from all others, for tests of what a network does then. It needs the rights to change cgroups and
// nftables; whoever lacks them gets an error of kind Denied and tests other faults.
package fence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/stratosmesh/stratos/mesh"
)

// Cut drops every packet that a process sends or is sent, of connections that it has and of those that it makes, without telling
// anybody: for both sides the other is silent. mend ends that, also when the process has ended; it must be called.
//
// A socket belongs to the cgroup in which it was made. So those that are there are known by their ports, and those that come by the
// cgroup into which the process is moved meanwhile.
func Cut(pid int) (mend func() error, err error) {
	defer func() {
		if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EOPNOTSUPP) {
			err = mesh.Errorf(mesh.Denied, "cutting a process off is not possible here: %w", err)
		}
	}()
	root, err := mounted()
	if err != nil {
		return nil, err
	}
	was, err := cgroupOf(pid)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("stratos-fence-%d", pid)
	dir := filepath.Join(root, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	c, err := nftables.New()
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: name}
	mend = func() error {
		c.DelTable(table)
		err := c.Flush()
		if e := join(filepath.Join(root, was), pid); e != nil && !errors.Is(e, syscall.ESRCH) { // it may have ended
			err = errors.Join(err, e)
		}
		return errors.Join(err, remove(dir))
	}
	if err := join(dir, pid); err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	ports, err := portsOf(pid)
	if err == nil {
		err = drop(c, table, dir, ports)
	}
	if err != nil {
		return nil, errors.Join(err, join(filepath.Join(root, was), pid), os.Remove(dir))
	}
	return mend, nil
}

// drop makes the rules.
func drop(c *nftables.Conn, table *nftables.Table, dir string, ports []uint16) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return err
	}
	c.AddTable(table)
	chain := c.AddChain(&nftables.Chain{Name: "output", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter})
	set := &nftables.Set{Table: table, Name: "ports", KeyType: nftables.TypeInetService}
	var elements []nftables.SetElement
	for _, p := range ports {
		elements = append(elements, nftables.SetElement{Key: binary.BigEndian.AppendUint16(nil, p)})
	}
	if err := c.AddSet(set, elements); err != nil {
		return err
	}
	rule := func(exprs ...expr.Any) {
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(exprs, &expr.Verdict{Kind: expr.VerdictDrop})})
	}
	equal := func(b []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: b} }
	rule(&expr.Socket{Key: expr.SocketKeyCgroupv2, Level: 1, Register: 1}, equal(binary.NativeEndian.AppendUint64(nil, st.Ino)))
	for _, offset := range []uint32{0, 2} { // source, destination
		rule(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal([]byte{unix.IPPROTO_TCP}),
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2},
			&expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID})
	}
	return c.Flush()
}

// remove removes a cgroup. A process that is about to end stays in it until it has.
func remove(dir string) (err error) {
	for range 1000 {
		if err = os.Remove(dir); !errors.Is(err, syscall.EBUSY) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// mounted is where the one hierarchy of cgroup v2 is.
func mounted() (string, error) {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	for _, line := range strings.Split(string(b), "\n") {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			return f[1], nil
		}
	}
	return "", fmt.Errorf("cgroup v2 is not mounted: %w", syscall.ENOENT)
}

// cgroupOf is the path of a process in it.
func cgroupOf(pid int) (string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	for _, line := range strings.Split(string(b), "\n") {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return path, nil
		}
	}
	return "", fmt.Errorf("process %d is in no cgroup of v2: %w", pid, syscall.ENOENT)
}

func join(dir string, pid int) error {
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}

// portsOf are the local ports of a process's TCP sockets.
func portsOf(pid int) ([]uint16, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	sockets := map[string]bool{}
	for _, f := range list {
		to, err := os.Readlink(filepath.Join(dir, f.Name()))
		if err != nil {
			continue // closed meanwhile
		}
		if inode, ok := strings.CutPrefix(to, "socket:["); ok {
			sockets[strings.TrimSuffix(inode, "]")] = true
		}
	}
	seen := map[uint16]bool{}
	var ports []uint16
	for _, table := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			return nil, err
		}
		for _, line := range strings.Split(string(b), "\n")[1:] {
			f := strings.Fields(line)
			if len(f) < 10 || !sockets[f[9]] {
				continue
			}
			_, port, _ := strings.Cut(f[1], ":")
			n, err := strconv.ParseUint(port, 16, 16)
			if err != nil {
				return nil, fmt.Errorf("/proc/%d/net/%s: %w", pid, table, err)
			}
			if p := uint16(n); !seen[p] {
				seen[p] = true
				ports = append(ports, p)
			}
		}
	}
	return ports, nil
}
