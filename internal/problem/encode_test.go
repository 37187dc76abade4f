package problem

import (
	"encoding/json"
	"net/http"
	"testing"

	"onsale/internal/sale"
)

func TestBodyIsWhatAJSONWriterWrites(t *testing.T) {
	t.Parallel()
	for name, fields := range map[string]map[string]any{
		"empty":          nil,
		"plain":          {"seats": []string{"A-1", "B:2#3"}, "bought": 2},
		"escapes":        {"why": "a \"quote\", a \\, <b> & a\ttab", "naïve": "é", "seats": []string{"<", "\u2028"}},
		"nothing in it":  {"seats": []string{}, "none": []string(nil), "nil": nil},
		"other types":    {"n": 1.5, "deep": map[string]any{"b": []int{1}, "a": true}, "wait": int64(7)},
		"broken letters": {"why": "\xff"},
		"all over":       {"": 1, "coda": 2, "code2": 3, "q": 4, "staty": 5, "zebra": 6, "typf": 7, "Z": 8},
		"our own names":  {"code": "forged", "detail": 1, "request_id": nil, "status": 200, "title": "x", "type": "y"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := sale.Errorf(sale.Conflict, "seats_taken", "someone else has %s", `"A-1" <script>`)
			e.Fields = fields
			all := map[string]any{}
			for name, value := range fields {
				all[name] = value
			}
			for name, value := range map[string]any{
				"code": e.Code, "detail": e.Detail, "request_id": "id", "status": http.StatusConflict, "title": "Conflict", "type": "urn:onsale:problem:seats_taken",
			} {
				all[name] = value
			}
			want, err := json.Marshal(all)
			if err != nil {
				t.Fatal(err)
			}
			if got := body(e, http.StatusConflict, "id"); string(got) != string(want) {
				t.Errorf("%s\nwant %s", got, want)
			}
		})
	}
}

// TestFieldWithoutWordsIsLeftOut, and nothing else.
func TestFieldWithoutWordsIsLeftOut(t *testing.T) {
	t.Parallel()
	e := sale.Errorf(sale.Invalid, "x", "y")
	want := string(body(e.With("a", 1).With("z", 2), http.StatusBadRequest, "id"))
	if got := string(body(e.With("a", 1).With("f", func() {}).With("z", 2), http.StatusBadRequest, "id")); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
