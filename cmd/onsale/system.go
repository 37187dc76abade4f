package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"onsale/internal/admin"
	"onsale/internal/app"
	"onsale/internal/audit"
	"onsale/internal/pace"
)

// setting is a value of the environment, or of the local system's file.
func (e *env) setting(name string) (string, error) {
	if v := os.Getenv(name); v != "" {
		return v, nil
	}
	path := filepath.Join(e.cli.Data, "onsale.env")
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is not set, and there is no local system in %s: start one with `onsale up`", name, e.cli.Data)
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if k, v, ok := strings.Cut(lines.Text(), "="); ok && k == name {
			return strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(v, "'"), "'"), `'\''`, "'"), nil
		}
	}
	if err := lines.Err(); err != nil {
		return "", err
	}
	return "", fmt.Errorf("%s is not set, neither in the environment nor in %s", name, path)
}

// settings reads several.
func (e *env) settings(values map[string]*string) error {
	var missing []error
	for name, into := range values {
		v, err := e.setting(name)
		missing = append(missing, err)
		*into = v
	}
	return errors.Join(missing...)
}

func (e *env) admin() (admin.Client, error) {
	var c admin.Client
	err := e.settings(map[string]*string{"ONSALE_ADMIN_URL": &c.URL, "ADMIN_TOKEN": &c.Token})
	return c, err
}

// audit reads and compares everything.
func (e *env) audit(settle time.Duration) (audit.Report, error) {
	var cfg app.Audit
	if err := e.settings(map[string]*string{"NATS_URL": &cfg.NATSURL, "DATABASE_URL": &cfg.DatabaseURL, "REDIS_URL": &cfg.RedisURL, "STRIPE_SECRET_KEY": &cfg.StripeKey}); err != nil {
		return audit.Report{}, err
	}
	cfg.StripeURL, _ = e.setting("STRIPE_API_URL") // unset with a real account
	var err error
	if cfg.StripeLimit, err = e.stripeLimit(); err != nil {
		return audit.Report{}, err
	}
	return app.RunAudit(e.ctx, cfg, settle, e.log)
}

// stripeLimit is the account's, as the payworkers have it.
func (e *env) stripeLimit() (pace.Limit, error) {
	number := func(name string, otherwise float64) (float64, error) {
		s, err := e.setting(name)
		if err != nil {
			return otherwise, nil
		}
		v, err := strconv.ParseFloat(s, 64)
		if err != nil || !(v >= 0 && v <= app.MaxStripeRate) {
			return 0, fmt.Errorf("%s is %q, and must be 0 to %d", name, s, app.MaxStripeRate)
		}
		return v, nil
	}
	rate, err1 := number("STRIPE_RATE", app.Defaults[app.Payworker]().StripeRate)
	burst, err2 := number("STRIPE_BURST", 0)
	return app.StripeLimit(rate, int(burst)), errors.Join(err1, err2)
}
