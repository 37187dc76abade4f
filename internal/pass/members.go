package pass

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// claims are read so that they mean the same to every reader.
type claims struct{ jwt.RegisteredClaims }

func (c *claims) UnmarshalJSON(b []byte) error {
	if err := distinct(b); err != nil {
		return err
	}
	return json.Unmarshal(b, &c.RegisteredClaims)
}

const maxMembers = 16 // of a header, and of claims

// distinct refuses what readers of JSON disagree on: a member given twice, of which some take the first and some
// the last, and a name in capitals, which Go takes for the one in small letters.
func distinct(object []byte) error {
	d := json.NewDecoder(bytes.NewReader(object))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return errors.New("not an object")
	}
	var names []string
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return fmt.Errorf("member %q: not in small letters", name)
		}
		if slices.Contains(names, name) || len(names) == maxMembers {
			return fmt.Errorf("member %q: given twice, or one too many", name)
		}
		names = append(names, name)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
	}
	return nil
}
