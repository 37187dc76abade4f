package seatmap

import (
	"sync"
	"sync/atomic"
	"time"
)

// Page is the whole map as it is sent: an edition, its bytes, and the entity tags of its encodings.
type Page struct {
	*Edition
	tags [encodings][]byte
	at   time.Time
	once sync.Once
	body Encoded
}

// pages has the page that is sent now.
type pages struct {
	mu   sync.Mutex
	last atomic.Pointer[Page]
}

// The bounds of a page's age once there is a newer edition. Where seats change all the time, making pages takes no more
// than a quarter of one core.
const (
	PageAge   = 100 * time.Millisecond
	pageShare = 4
)

// Page is the page to send now: of the current edition, or one that was begun no more than PageAge ago, or four times
// what its making took where that is longer. least is a version that it must not be older than, "" for none.
func (m *Map) Page(now time.Time, least string) *Page {
	e := m.current.Load()
	p := m.pages.last.Load()
	if p != nil && (p.Edition == e || m.young(p, now) && !m.newer(least, p)) {
		return p
	}
	m.pages.mu.Lock()
	defer m.pages.mu.Unlock()
	e = m.current.Load()
	p = m.pages.last.Load()
	if p == nil || p.Edition != e && (!m.young(p, now) || m.newer(least, p)) {
		p = &Page{Edition: e, at: now}
		for as := range encodings {
			p.tags[as] = []byte(`"` + e.Version + "." + as.String() + `"`)
		}
		m.pages.last.Store(p)
	}
	return p
}

func (m *Map) young(p *Page, now time.Time) bool {
	return now.Sub(p.at) < max(PageAge, pageShare*time.Duration(p.body.took.Load()))
}

// newer says whether a version is one of this map and newer than a page.
func (m *Map) newer(version string, p *Page) bool {
	n, ok := m.number(version)
	return ok && n > p.n
}

// Tag is the page's strong entity tag in an encoding, with its quotes. It must not be changed.
func (p *Page) Tag(as Encoding) []byte { return p.tags[as] }

// Bytes are the page as it is encoded, made when they are first asked for, and the encoding, which is Identity where
// the page is short. They must not be changed.
func (p *Page) Bytes(as Encoding) ([]byte, Encoding) {
	p.once.Do(func() {
		began := time.Now()
		p.body.plain = p.full()
		p.body.took.Add(int64(time.Since(began)))
	})
	return p.body.Bytes(as)
}
