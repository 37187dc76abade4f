package stripe

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"onsale/internal/sale"
	"onsale/internal/stripe/double"
)

const (
	testKey  = "sk_test_4eC39HqLyjWDarjtT1zdp7dc"
	patience = 20 * time.Second // for one call; a passing test waits for far less
	visa     = "pm_card_visa"
)

// rig is a client and the double that it speaks to, over a real listener.
type rig struct {
	*testing.T
	*Client
	double *double.Double
	url    string
}

func setup(t *testing.T) *rig { return serve(t, double.Config{SecretKey: testKey}, testKey) }

// serve starts a double and gives a client with the key of the client's choice.
func serve(t *testing.T, cfg double.Config, key string) *rig {
	t.Helper()
	d, err := double.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- d.Run(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ran, d.Close()); err != nil {
			t.Error(err)
		}
	})
	url := "http://" + ln.Addr().String()
	return &rig{T: t, Client: New(Config{SecretKey: key, APIURL: url, Timeout: patience}), double: d, url: url}
}

// attempt is a new attempt, paid with a payment method.
func attempt(method string) sale.Attempt {
	order := uuid.New()
	return sale.Attempt{ID: sale.AttemptID(order, 1), OrderID: order, EventID: "show", Amount: 12_345, Currency: "eur", PaymentMethod: method}
}

// authorized is an intent that holds an attempt's money.
func (r *rig) authorized(a sale.Attempt) sale.Intent {
	r.Helper()
	i, err := r.Authorize(r.Context(), a)
	if err != nil || i.Status != sale.IntentRequiresCapture {
		r.Fatalf("authorize: %+v (%v)", i, err)
	}
	return i
}

// refused checks the kind of an error, and that it shows nothing that must stay secret.
func (r *rig) refused(err error, kind sale.Kind, code string) {
	r.Helper()
	if sale.KindOf(err) != kind || sale.CodeOf(err) != code {
		r.Errorf("got %v, want %s", err, code)
	}
	discreet(r.T, err)
}

// discreet checks that an error's text has neither the key nor anything of a card.
func discreet(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	for _, secret := range []string{testKey, "4eC39", "p7dc", "sk_test", "pm_", "whsec", "4242", "_secret_"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows %q: %v", secret, err)
		}
	}
}

// count is how many intents the account has.
func (r *rig) count() int {
	r.Helper()
	n := 0
	if err := r.Each(r.Context(), func(sale.Intent) bool { n++; return true }); err != nil {
		r.Fatal(err)
	}
	return n
}
