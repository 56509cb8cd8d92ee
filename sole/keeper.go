package sole

import "sync"

// Keeper keeps one name at a time for this process. The zero value has none. Its
// methods may be called concurrently.
type Keeper struct {
	mu   sync.Mutex // guards the fields; held while a name is asked for
	have *Name      // nil: none
	name string
}

// Take takes a name in the place of the one before, and says where it is ours
// (Name.Place), or who has it (Name.Other). It may be called again.
func (k *Keeper) Take(name string) (place, other string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.have == nil || k.name != name {
		asked, err := Take(name)
		if err != nil || asked.Other != "" {
			return "", asked.other(), err
		}
		k.have.Release()
		k.have, k.name = asked, name
	}
	return k.have.Place, "", nil
}

func (n *Name) other() string {
	if n == nil {
		return ""
	}
	return n.Other
}

// Release gives the name up.
func (k *Keeper) Release() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.have.Release()
	k.have = nil
}
