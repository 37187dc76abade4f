package venue

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"onsale/internal/plan"
)

// Write writes a plan as a seating-plan file with a line per row, so that a change to a row is one line
// in a diff and the file stays small.
func Write(w io.Writer, p *plan.Plan) error {
	out := &lines{w: bufio.NewWriter(w)}
	out.put("{\n\"name\":", p.Name, ",\n\"categories\":[\n")
	for i, category := range p.Categories {
		out.put("", category, separator(i, len(p.Categories)))
	}
	out.put("],\n\"size\":", p.Size, ",\n\"zones\":[\n")
	for i, zone := range p.Zones {
		out.put("{\"name\":", zone.Name, ",")
		out.put("\"position\":", zone.Position, ",\n\"areas\":[\n")
		for j, area := range zone.Areas {
			out.put("", area, separator(j, len(zone.Areas)))
		}
		out.text("],\n\"rows\":[\n")
		for j, row := range zone.Rows {
			out.put("", row, separator(j, len(zone.Rows)))
		}
		out.text("]}" + separator(i, len(p.Zones)))
	}
	out.text("]\n}\n")
	if out.err == nil {
		out.err = out.w.Flush()
	}
	if out.err != nil {
		return fmt.Errorf("write seating plan: %w", out.err)
	}
	return nil
}

func separator(i, n int) string {
	if i < n-1 {
		return ",\n"
	}
	return "\n"
}

// lines writes until something fails.
type lines struct {
	w   *bufio.Writer
	err error
}

func (l *lines) put(before string, value any, after string) {
	encoded, err := json.Marshal(value)
	if l.err == nil {
		l.err = err
	}
	l.text(before)
	l.text(string(encoded))
	l.text(after)
}

func (l *lines) text(s string) {
	if l.err == nil {
		_, l.err = l.w.WriteString(s)
	}
}
