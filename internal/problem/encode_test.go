package problem

import (
	"encoding/json"
	"testing"
)

func TestEncodeWritesWhatAJSONWriterDoes(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]map[string]any{
		"empty":          {},
		"plain":          {"code": "seats_taken", "status": 409, "seats": []string{"A-1", "B:2#3"}},
		"escapes":        {"detail": "a \"quote\", a \\, <b> & a\ttab", "naïve": "é", "seats": []string{"<", "\u2028"}},
		"nothing in it":  {"seats": []string{}, "none": []string(nil), "nil": nil},
		"other types":    {"n": 1.5, "deep": map[string]any{"b": []int{1}, "a": true}, "wait": int64(7)},
		"broken letters": {"detail": "\xff"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			var members []member
			for name, value := range body {
				members = append(members, member{name, value})
			}
			if got, err := encode(members); err != nil || string(got) != string(want) {
				t.Errorf("%s, %v\nwant %s", got, err, want)
			}
		})
	}
	if _, err := encode([]member{{"f", func() {}}}); err == nil {
		t.Error("a function was written")
	}
}
