package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The bounds of what is fetched. The api's pages have at most 4,096 records of half a mebibyte together.
const (
	pageTimeout = time.Minute
	maxPage     = 16 << 20
	maxLine     = 1 << 20
	maxPages    = 1 << 20
	smallPage   = 16 // lines
	tries       = 6
	maxRetry    = 30 * time.Second
	lookAgain   = time.Second // for what is not shown yet: as long as a cache may keep the last page
)

// pages are an event's public records over HTTP.
type pages struct {
	queue    *url.URL
	http     *http.Client
	patience time.Duration // what is left of the time to wait for records that are named elsewhere and not shown yet
}

// wait lets some time pass; false when none is left, or ctx has ended.
func (p *pages) wait(ctx context.Context) bool {
	pause := min(p.patience, lookAgain)
	if pause <= 0 {
		return false
	}
	p.patience -= pause
	select {
	case <-time.After(pause):
		return true
	case <-ctx.Done():
		return false
	}
}

// answered is an answer that is no record.
type answered struct {
	status     int
	what       string
	retryAfter string
}

func (a answered) Error() string { return a.what }

// lines reads all pages of a kind of records and gives out each record, as it was written, valid for good. It ends at
// a page without any; and, because a page may grow as fast as it is read, where there is enough, at one with few. Records
// that end before there is enough are no proof of anything: a node or a cache may lag behind another. They are asked for
// again while there is patience, and then it is an error.
func (p *pages) lines(ctx context.Context, kind string, enough func() bool, each func(raw []byte), progress func(n uint64)) error {
	defer progress(0)
	at := p.queue.JoinPath(kind)
	var n uint64
	for range maxPages {
		body, next, err := p.get(ctx, at, "")
		if err != nil {
			return err
		}
		lines := 0
		for len(body) > 0 {
			raw, rest, whole := bytes.Cut(body, []byte{'\n'})
			if !whole || len(raw) > maxLine {
				return fmt.Errorf("%s has a line that is cut off, or longer than %d bytes", at, maxLine)
			}
			each(raw)
			body = rest
			lines++
		}
		n += uint64(lines)
		progress(n)
		if (lines < smallPage || next == nil) && enough() {
			return nil
		}
		if lines == 0 && p.wait(ctx) {
			continue
		}
		if lines == 0 || next == nil {
			return fmt.Errorf("%s ends before what the other records name: it lags behind, or the rest is withheld; try again later", at)
		}
		if next.Host != p.queue.Host || *next == *at {
			return fmt.Errorf("%s names %s as the next page", at, next)
		}
		at = next
	}
	return fmt.Errorf("%s has more than %d pages", kind, maxPages)
}

// get reads a page and the address of the next. What may pass is tried again.
func (p *pages) get(ctx context.Context, at *url.URL, ticket string) (body []byte, next *url.URL, err error) {
	for try := 1; ; try++ {
		body, next, err = p.once(ctx, at, ticket)
		refused := answered{status: http.StatusServiceUnavailable} // also where there was no answer
		errors.As(err, &refused)
		if err == nil || try == tries || ctx.Err() != nil || !slices.Contains([]int{429, 502, 503, 504}, refused.status) {
			return body, next, err
		}
		seconds, unknown := strconv.ParseUint(refused.retryAfter, 10, 16)
		if unknown != nil {
			seconds = 1
		}
		select {
		case <-time.After(min(time.Duration(seconds)*time.Second, maxRetry)):
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

var nextLink = regexp.MustCompile(`<([^>]*)>\s*;\s*rel="?next"?`)

func (p *pages) once(ctx context.Context, at *url.URL, ticket string) ([]byte, *url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, nil, err
	}
	if ticket != "" {
		req.Header.Set("Authorization", "Bearer "+ticket)
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", at, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, nil, refusal(at, resp, body)
	}
	if len(body) > maxPage {
		return nil, nil, answered{status: http.StatusOK, what: fmt.Sprintf("%s has more than %d bytes", at, maxPage)}
	}
	m := nextLink.FindStringSubmatch(strings.Join(resp.Header.Values("Link"), ", "))
	if m == nil {
		return body, nil, nil
	}
	next, err := at.Parse(m[1])
	if err != nil {
		return nil, nil, answered{status: http.StatusOK, what: fmt.Sprintf("%s names no address as the next page: %v", at, err)}
	}
	return body, next, nil
}

// refusal is what an answer says that is no page.
func refusal(at *url.URL, resp *http.Response, body []byte) error {
	var problem struct{ Detail string }
	what := fmt.Sprintf("%s answers %s", at, resp.Status)
	if json.Unmarshal(body, &problem) == nil && problem.Detail != "" {
		what += ": " + problem.Detail
	}
	return answered{status: resp.StatusCode, what: what, retryAfter: resp.Header.Get("Retry-After")}
}
