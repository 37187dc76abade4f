package sale_test

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"onsale/internal/sale"
)

func TestError_WithCopies(t *testing.T) {
	t.Parallel()
	base := sale.Errorf(sale.Conflict, "seats_taken", "someone else has %s", "A-1")
	one := base.With("seats", "A-1")
	two := one.With("seats", "A-2").With("hold", "h")
	if base.Fields != nil || len(one.Fields) != 1 || one.Fields["seats"] != "A-1" {
		t.Errorf("With changed what it was called on: %v, %v", base.Fields, one.Fields)
	}
	if want := map[string]any{"seats": "A-2", "hold": "h"}; !reflect.DeepEqual(two.Fields, want) {
		t.Errorf("the copy has %v, want %v", two.Fields, want)
	}
	two.Fields["more"], two.Code = 1, "other"
	if len(one.Fields) != 1 || one.Code != "seats_taken" {
		t.Errorf("a change of the copy changed %+v", one)
	}
}

func TestError_BecauseCopies(t *testing.T) {
	t.Parallel()
	base := sale.Errorf(sale.Unavailable, "down", "try again").With("a", 1)
	caused := base.Because(io.ErrUnexpectedEOF)
	if base.Err != nil || errors.Is(base, io.ErrUnexpectedEOF) {
		t.Errorf("Because changed what it was called on: %v", base)
	}
	if !errors.Is(caused, io.ErrUnexpectedEOF) || caused.Kind != sale.Unavailable || caused.Fields["a"] != 1 {
		t.Errorf("the copy is %+v", caused)
	}
	caused.Fields["b"] = 2
	if len(base.Fields) != 1 {
		t.Errorf("a field of the copy is one of the original: %v", base.Fields)
	}
	if again := caused.Because(io.EOF); errors.Is(again, io.ErrUnexpectedEOF) || !errors.Is(caused, io.ErrUnexpectedEOF) {
		t.Errorf("another cause: %v, %v", again, caused)
	}
}

// The errors that packages declare are shared by all requests: what one request adds is not another's.
func TestError_DeclaredErrorsStay(t *testing.T) {
	t.Parallel()
	before := *sale.ErrNoHold
	_ = sale.ErrNoHold.With("hold_id", "x").Because(io.EOF)
	if !reflect.DeepEqual(*sale.ErrNoHold, before) {
		t.Errorf("ErrNoHold is %+v now", *sale.ErrNoHold)
	}
}

func TestError_IsThroughCopiesAndWrapping(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"itself": sale.ErrNoHold, "wrapped": fmt.Errorf("find hold: %w", sale.ErrNoHold), "with a field": sale.ErrNoHold.With("a", 1),
		"with a cause": sale.ErrNoHold.Because(io.EOF), "all of it": fmt.Errorf("a: %w", fmt.Errorf("b: %w", sale.ErrNoHold.With("a", 1).Because(io.EOF))),
		"joined": errors.Join(io.EOF, sale.ErrNoHold), "as a cause": sale.Errorf(sale.Internal, "other", "it").Because(sale.ErrNoHold),
	} {
		if !errors.Is(err, sale.ErrNoHold) {
			t.Errorf("%s: errors.Is does not find ErrNoHold in %v", name, err)
		}
		var e *sale.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: errors.As finds no *Error in %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"nil": nil, "another": io.EOF, "the same kind": sale.Errorf(sale.NotFound, "order_not_found", "no"),
		"the same code": sale.Errorf(sale.Conflict, "hold_not_found", "no"), "the same text": errors.New(sale.ErrNoHold.Error()),
	} {
		if errors.Is(err, sale.ErrNoHold) {
			t.Errorf("%s: errors.Is finds ErrNoHold in %v", name, err)
		}
	}
}

func TestKindOfAndCodeOf(t *testing.T) {
	t.Parallel()
	inner := sale.Errorf(sale.NotFound, "inner", "x")
	for name, c := range map[string]struct {
		err  error
		kind sale.Kind
		code string
	}{
		"nil": {nil, sale.Internal, "internal"}, "any": {io.EOF, sale.Internal, "internal"},
		"plain": {inner, sale.NotFound, "inner"}, "wrapped": {fmt.Errorf("find: %w", inner), sale.NotFound, "inner"},
		"the outermost counts": {sale.Errorf(sale.Unavailable, "outer", "x").Because(inner), sale.Unavailable, "outer"},
		"wrapped outermost":    {fmt.Errorf("a: %w", sale.Errorf(sale.Unavailable, "outer", "x").Because(inner)), sale.Unavailable, "outer"},
	} {
		if kind, code := sale.KindOf(c.err), sale.CodeOf(c.err); kind != c.kind || code != c.code {
			t.Errorf("%s: %d, %s; want %d, %s", name, kind, code, c.kind, c.code)
		}
	}
}

func TestError_Text(t *testing.T) {
	t.Parallel()
	e := sale.Errorf(sale.Invalid, "bad", "100%% of %d", 3)
	if got := e.Error(); got != "bad: 100% of 3" {
		t.Errorf("Error() = %q", got)
	}
	if got := e.Because(io.EOF).Error(); got != "bad: 100% of 3: EOF" {
		t.Errorf("Error() with a cause = %q", got)
	}
}

func TestSeatsTaken(t *testing.T) {
	t.Parallel()
	e := sale.SeatsTaken([]string{"A-1", "A-2"})
	if e.Kind != sale.Conflict || e.Code != "seats_taken" || !strings.Contains(e.Detail, "A-1, A-2") || !reflect.DeepEqual(e.Fields["seats"], []string{"A-1", "A-2"}) {
		t.Errorf("SeatsTaken = %+v", e)
	}
	if percent := sale.SeatsTaken([]string{"100%d"}); !strings.Contains(percent.Detail, "100%d") {
		t.Errorf("a seat's name is read as a format: %q", percent.Detail)
	}
}
