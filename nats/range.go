package nats

import (
	"context"
	"errors"
	"fmt"

	"github.com/synadia-io/orbit.go/jetstreamext"

	"onsale/events"
)

// Range returns messages of a stream's subject in order, from a sequence on: at most limit, and about maxBytes. None
// is there where the stream has none so far on. Pending of the last says whether more were stored when it was read.
func (c *Client) Range(ctx context.Context, stream, subject string, from uint64, limit, maxBytes int) ([]events.Message, error) {
	batch, err := jetstreamext.GetBatch(ctx, c.js, stream, limit, jetstreamext.GetBatchSeq(max(from, 1)),
		jetstreamext.GetBatchSubject(subject), jetstreamext.GetBatchMaxBytes(maxBytes))
	if err != nil {
		return nil, fmt.Errorf("read %s from %d: %w", stream, from, err)
	}
	var all []events.Message
	for m, err := range batch {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read %s from %d: %w", stream, from, err)
		}
		all = append(all, stored(stream, m))
	}
	return all, nil
}
