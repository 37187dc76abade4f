package up

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// secrets are made once for a data folder, at random, and stay in it: there is no default to forget.
type secrets struct {
	TicketSecret  string `json:"ticket_secret"`
	PassKey       string `json:"pass_key"`
	AdminToken    string `json:"admin_token"`
	StripeKey     string `json:"stripe_key"` // of the double
	WebhookSecret string `json:"webhook_secret"`
}

// loadSecrets reads the folder's secrets, or makes them.
func loadSecrets(dir string) (secrets, error) {
	path := filepath.Join(dir, secretsFile)
	var s secrets
	b, err := os.ReadFile(path)
	if err == nil {
		if err := json.Unmarshal(b, &s); err != nil {
			return s, fmt.Errorf("read %s: %w", path, err)
		}
		return s, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("read secrets: %w", err)
	}
	s = secrets{
		TicketSecret: base64.StdEncoding.EncodeToString(random(32)), PassKey: base64.StdEncoding.EncodeToString(random(32)),
		AdminToken: rand.Text(), StripeKey: "sk_test_" + rand.Text(), WebhookSecret: "whsec_" + rand.Text(),
	}
	b, err = json.MarshalIndent(s, "", "  ")
	if err != nil {
		return s, fmt.Errorf("encode secrets: %w", err)
	}
	return s, writeFile(path, append(b, '\n'))
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: it ends the process instead
	return b
}

// writeFile replaces a file in one step, readable by its owner alone.
func writeFile(path string, b []byte) error {
	next := path + ".next"
	if err := os.WriteFile(next, b, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
