package sale

// IntentStatus is where a Stripe PaymentIntent stands, in Stripe's words.
type IntentStatus string

const (
	IntentRequiresPaymentMethod IntentStatus = "requires_payment_method" // declined, or never paid
	IntentRequiresConfirmation  IntentStatus = "requires_confirmation"
	IntentRequiresAction        IntentStatus = "requires_action"
	IntentProcessing            IntentStatus = "processing"
	IntentRequiresCapture       IntentStatus = "requires_capture" // authorized
	IntentSucceeded             IntentStatus = "succeeded"        // captured
	IntentCanceled              IntentStatus = "canceled"
)

// Intent is what Stripe says of an attempt.
type Intent struct {
	ID           string
	Status       IntentStatus
	Amount       int64 // minor units
	Captured     int64 // minor units that were taken
	Currency     string
	ClientSecret string
	AttemptID    string // from the metadata
	OrderID      string // from the metadata
	EventID      string // from the metadata
	Reason       string // why it was declined, in Stripe's code
}

// CodePaced is the code of a sale.Unavailable call to Stripe that certainly had no effect: the account's rate left it no
// turn in time. It may be put off for as long as it takes.
const CodePaced = "payment_paced"

// Begun is what was found for one checkout. Refused is nil when Attempt stands for it: a new one in state
// Started, or the one that an earlier delivery began, in whatever state it is by now.
type Begun struct {
	Attempt Attempt
	Refused *Error
}

// Settlement is what Stripe said of an attempt, to be recorded.
type Settlement struct {
	Attempt      Attempt
	IntentID     string
	ClientSecret string // only where the buyer must act
	Reason       string
	Because      Webhook // recorded with it, zero for none
}

// Committed is what became of an order: Confirmed, Rejected, or what an earlier delivery had made of it.
type Committed struct {
	Status OrderStatus
	Reason string
}
