package app

import (
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// All that a binary lacks is told at once, each setting once and by its variable, and a wrong value beside it.
func TestLoad_TellsAllThatIsMissing(t *testing.T) {
	for _, name := range []string{"NATS_URL", "DATABASE_URL", "REDIS_URL", "TICKET_SECRET", "PASS_KEYS", "STRIPE_SECRET_KEY"} {
		t.Setenv(name, "")
	}
	load := map[string]func(args []string) error{
		"api":       func(args []string) error { _, err := Load[API]("api", "", args, io.Discard); return err },
		"admitter":  func(args []string) error { _, err := Load[Admitter]("admitter", "", args, io.Discard); return err },
		"payworker": func(args []string) error { _, err := Load[Payworker]("payworker", "", args, io.Discard); return err },
		"committer": func(args []string) error { _, err := Load[Committer]("committer", "", args, io.Discard); return err },
	}
	for _, c := range []struct{ binary, args, tells string }{
		{"api", "", "NATS_URL DATABASE_URL REDIS_URL TICKET_SECRET PASS_KEYS"},
		{"api", "--redis-url=redis://localhost --pass-keys=AAAA", "NATS_URL DATABASE_URL TICKET_SECRET PASS_KEYS"},
		{"api", "--max-chunk=0", "NATS_URL DATABASE_URL REDIS_URL TICKET_SECRET PASS_KEYS max-chunk"},
		{"admitter", "", "NATS_URL DATABASE_URL"},
		{"payworker", "", "NATS_URL DATABASE_URL REDIS_URL STRIPE_SECRET_KEY"},
		{"committer", "", "NATS_URL DATABASE_URL REDIS_URL"},
	} {
		err := load[c.binary](strings.Fields(c.args))
		if err == nil {
			t.Errorf("%s %s is taken", c.binary, c.args)
			continue
		}
		told := strings.Split(err.Error(), "\n")
		for _, name := range strings.Fields(c.tells) {
			if strings.Count(err.Error(), name) != 1 {
				t.Errorf("%s %s does not tell %s once:\n%v", c.binary, c.args, name, err)
			}
		}
		if len(told) != len(strings.Fields(c.tells)) {
			t.Errorf("%s %s tells %d problems:\n%v", c.binary, c.args, len(told), err)
		}
	}
	if err := load["api"](strings.Fields("--pass-keys=AAAA")); !strings.Contains(err.Error(), "pass-keys (PASS_KEYS): pass key 1: not the base64 of 32 bytes") {
		t.Errorf("a key that is none: %v", err)
	}
}

// What is tested and measured on a local system runs on what the binaries do, whatever this process's environment says.
func TestDefaults_AreTheBinaries(t *testing.T) {
	t.Setenv("STRIPE_RATE", "7")
	t.Setenv("PAYWORKER_CONCURRENCY", "many")
	c := Defaults[Payworker]()
	if c.StripeRate != 25 || c.Concurrency != 128 || c.AckWait != 40*time.Second || c.LogLevel != slog.LevelInfo {
		t.Errorf("%+v", c)
	}
	c.NATSURL, c.DatabaseURL, c.RedisURL, c.StripeSecretKey = "nats://n", "postgres://d", "redis://r", "sk"
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}
