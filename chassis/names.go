package chassis

import (
	"slices"
	"strings"
	"sync"
)

// names is a set of names that several goroutines change.
type names struct {
	mu  sync.Mutex
	all []string
}

func newNames() *names { return &names{} }

func (n *names) add(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, name)
}

func (n *names) remove(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if i := slices.Index(n.all, name); i >= 0 {
		n.all = slices.Delete(n.all, i, i+1)
	}
}

// String lists the names, comma-separated.
func (n *names) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.all, ", ")
}
