package double

import (
	"crypto/sha256"
	"encoding/json"

	"github.com/valyala/fasthttp"
)

const (
	keyRetention = 24 * 60 * 60 // seconds that an idempotency key is remembered, as at Stripe
	maxKeyLength = 255          // characters
)

// fingerprint identifies a call: method, path and parameters, whatever order they were sent in.
type fingerprint [sha256.Size]byte

// fingerprintOf takes params as parseParams returns them.
func fingerprintOf(method, path string, params []param) fingerprint {
	b := make([]byte, 0, 1<<10)
	b = append(append(append(append(b, method...), ' '), path...), '\n')
	for i, p := range params {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(fasthttp.AppendQuotedArg(b, []byte(p.name)), '=')
		b = fasthttp.AppendQuotedArg(b, []byte(p.value))
	}
	return sha256.Sum256(b)
}

// keyRecord is the first answer to an idempotency key.
type keyRecord struct {
	key     string
	print   fingerprint
	status  int
	made    object          // what it was answered with, as it was then; nil for another answer
	body    json.RawMessage // that other answer
	request string          // id of the first request
	at      int64           // unix seconds
}

// answer renders an object anew, with the same bytes: kept, they would be the most of what a payment costs.
func (k *keyRecord) answer() json.RawMessage {
	if k.made == nil {
		return k.body
	}
	return mustJSON(k.made)
}

// keyring remembers which keys were used and which are in use. Double.mu guards it.
type keyring struct {
	records map[string]*keyRecord
	oldest  []*keyRecord // in the order they were stored, so that expiry needs no scan
	inUse   map[string]fingerprint
}

func newKeyring() *keyring {
	return &keyring{records: map[string]*keyRecord{}, inUse: map[string]fingerprint{}}
}

// expire forgets what is older than the retention.
func (k *keyring) expire(now int64) {
	for len(k.oldest) > 0 && now-k.oldest[0].at >= keyRetention {
		if old := k.oldest[0]; k.records[old.key] == old {
			delete(k.records, old.key)
		}
		k.oldest[0] = nil
		k.oldest = k.oldest[1:]
	}
}

// reserve returns the stored answer to the key, or marks it as in use, or refuses.
func (k *keyring) reserve(key string, print fingerprint, now int64) (*keyRecord, *apiError) {
	k.expire(now)
	if rec, ok := k.records[key]; ok {
		if rec.print != print {
			return nil, keyReused(key)
		}
		return rec, nil
	}
	if first, ok := k.inUse[key]; ok {
		if first != print {
			return nil, keyReused(key)
		}
		return nil, keyInUse(key)
	}
	k.inUse[key] = print
	return nil, nil
}

// release ends the use of a key; without a stored record it is free again.
func (k *keyring) release(key string) { delete(k.inUse, key) }

func (k *keyring) store(rec *keyRecord) {
	k.records[rec.key] = rec
	k.oldest = append(k.oldest, rec)
}
