package durability

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// event is one thing that a program did to its files, in the order in which it
// did it.
type event struct {
	at     float64 // Unix seconds, no later than it took effect
	what   string  // create, write, truncate, unlink, sync
	path   string
	data   []byte // written
	offset int64  // of the data, or the new length
	covers int    // sync: how many of the events before it had begun by then
}

var (
	calls   = regexp.MustCompile(`^(\d+) +(\d+\.\d+) (\w+)\((.*)$`)
	resumed = regexp.MustCompile(`^(\d+) +(\d+\.\d+) <\.\.\. (\w+) resumed>.*= (-?\d+)`)
	named   = regexp.MustCompile(`"((?:\\x[0-9a-f]{2})*)"`)
	file    = regexp.MustCompile(`^\d+<((?:\\x[0-9a-f]{2})*)>`)
	numbers = regexp.MustCompile(`", \d+, (\d+)`)
	result  = regexp.MustCompile(` = (-?\d+)[^"]*$`)
)

// readTrace reads what strace has written about the files of a folder; those of
// shared memory, which no power loss outlives, are left out.
func readTrace(path, folder string) ([]event, error) {
	trace, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer trace.Close()
	var events []event
	began := make(map[string]event) // syncs by thread
	lines := bufio.NewScanner(trace)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		line := lines.Text()
		if end := resumed.FindStringSubmatch(line); end != nil {
			if e, ok := began[end[1]]; ok && end[4] == "0" {
				e.at, _ = strconv.ParseFloat(end[2], 64)
				events = append(events, e)
			}
			delete(began, end[1])
			continue
		}
		call := calls.FindStringSubmatch(line)
		if call == nil {
			continue
		}
		e, err := eventOf(call[3], call[4], len(events))
		if err != nil {
			return nil, fmt.Errorf("%.200s: %w", line, err)
		}
		inside := e.path == folder || filepath.Dir(e.path) == folder
		if e.what == "" || !inside || strings.HasSuffix(e.path, "-shm") {
			continue
		}
		e.at, _ = strconv.ParseFloat(call[2], 64)
		if ended := result.FindStringSubmatch(call[4]); ended != nil && strings.HasPrefix(ended[1], "-") {
			continue
		}
		if e.what == "sync" && strings.HasSuffix(line, "<unfinished ...>") {
			began[call[1]] = e
			continue
		}
		events = append(events, e)
	}
	return events, lines.Err()
}

func eventOf(call, args string, before int) (event, error) {
	var e event
	if f := file.FindStringSubmatch(args); f != nil {
		e.path = text(f[1])
	}
	switch call {
	case "open", "openat":
		if name := named.FindStringSubmatch(args); name != nil && strings.Contains(args, "O_CREAT") {
			e.what, e.path = "create", text(name[1])
		}
	case "pwrite64":
		data, at := named.FindStringSubmatch(args), numbers.FindStringSubmatch(args)
		if data == nil || at == nil {
			return e, fmt.Errorf("cannot be read")
		}
		e.what, e.data = "write", []byte(text(data[1]))
		e.offset, _ = strconv.ParseInt(at[1], 10, 64)
	case "ftruncate":
		e.what = "truncate"
		if n, err := fmt.Sscanf(args[strings.Index(args, ">, ")+3:], "%d", &e.offset); n != 1 {
			return e, err
		}
	case "fsync", "fdatasync":
		e.what, e.covers = "sync", before
	case "unlink", "unlinkat":
		if name := named.FindStringSubmatch(args); name != nil {
			e.what, e.path = "unlink", text(name[1])
		}
	default:
		return e, fmt.Errorf("the model of the disk does not know it")
	}
	return e, nil
}

// text reads what strace prints with -xx.
func text(hexed string) string {
	decoded, _ := hex.DecodeString(strings.ReplaceAll(hexed, `\x`, ""))
	return string(decoded)
}

// disk is what the events of a program have come to: what is certain to be
// there after a loss of power, and what may be.
type disk struct {
	folder string
	now    map[string]*inode // by name, as the program sees it
	synced map[string]*inode // by name, as the folder last synced has it
	events int
}

type inode struct {
	synced  []byte
	pending []pending // changes since, in order
}

type pending struct {
	event
	index int
}

func newDisk(folder string) *disk {
	return &disk{folder: folder, now: make(map[string]*inode), synced: make(map[string]*inode)}
}

// apply takes the next event.
func (d *disk) apply(e event) {
	f := d.now[e.path]
	switch e.what {
	case "create":
		if f == nil {
			d.now[e.path] = &inode{}
		}
	case "unlink":
		delete(d.now, e.path)
	case "write", "truncate":
		if f == nil {
			f = &inode{}
			d.now[e.path] = f
		}
		f.pending = append(f.pending, pending{e, d.events})
	case "sync":
		if e.path == d.folder {
			d.synced = maps.Clone(d.now)
		} else if f != nil {
			for len(f.pending) > 0 && f.pending[0].index < e.covers {
				f.synced = change(f.synced, f.pending[0].event, nil)
				f.pending = f.pending[1:]
			}
		}
	}
	d.events++
}

// sector is what a disk writes whole.
const sector = 512

// change makes a write or a truncation; with a source of chance each sector of
// it, and each truncation, comes to be or not.
func change(content []byte, e event, chance *rand.Rand) []byte {
	if e.what == "truncate" {
		if chance != nil && chance.IntN(2) == 0 {
			return content
		}
		return append(content[:min(int(e.offset), len(content))], make([]byte, max(0, int(e.offset)-len(content)))...)
	}
	for start := 0; start < len(e.data); {
		end := min(len(e.data), start+sector-int(e.offset+int64(start))%sector)
		if chance == nil || chance.IntN(2) == 1 {
			at := int(e.offset) + start
			if missing := at + end - start - len(content); missing > 0 {
				content = append(content, make([]byte, missing)...)
			}
			copy(content[at:], e.data[start:end])
		}
		start = end
	}
	return content
}

// outcome is what a loss of power leaves of what was not synced.
type outcome string

const (
	dropped outcome = "all that was not synced is lost"
	kept    outcome = "all that was not synced is there"
	torn    outcome = "of what was not synced, any sectors are there"
)

// write puts the files into a folder as a loss of power would leave them.
func (d *disk) write(into string, o outcome, seed uint64) error {
	chance := rand.New(rand.NewPCG(seed, 1))
	names := d.now
	if o == dropped || o == torn && chance.IntN(2) == 0 {
		names = d.synced
	}
	for name, f := range names {
		content := append([]byte(nil), f.synced...)
		for _, p := range f.pending {
			switch o {
			case kept:
				content = change(content, p.event, nil)
			case torn:
				content = change(content, p.event, chance)
			}
		}
		if err := os.WriteFile(filepath.Join(into, filepath.Base(name)), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
