package double

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// metadata is an object's, sorted by name. It never changes, and objects share it. A map takes more memory, and is sorted
// anew for each encoding.
type metadata []param

func (m metadata) find(name string) (at int, found bool) {
	return slices.BinarySearchFunc(m, name, func(p param, name string) int { return strings.Compare(p.name, name) })
}

// get returns a value, "" when there is none.
func (m metadata) get(name string) string {
	if i, found := m.find(name); found {
		return m[i].value
	}
	return ""
}

// with returns m with the pairs laid over it; an empty value removes its key.
func (m metadata) with(pairs []param) metadata {
	if len(pairs) == 0 {
		return m
	}
	all := append(make(metadata, 0, len(m)+len(pairs)), m...)
	for _, p := range pairs {
		i, found := all.find(p.name)
		if found {
			all = slices.Delete(all, i, i+1)
		}
		if p.value != "" {
			all = slices.Insert(all, i, p)
		}
	}
	return all
}

func (m metadata) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, 256), '{')
	for i, p := range m {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, p.name), ':')
		b = appendString(b, p.value)
	}
	return append(b, '}'), nil
}

func (m *metadata) UnmarshalJSON(raw []byte) error {
	var all map[string]string
	if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		*m = append(*m, param{name, all[name]})
	}
	return nil
}
