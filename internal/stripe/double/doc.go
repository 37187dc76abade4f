// Package double is a stateful stand-in for Stripe's API: it speaks the wire format of the calls that
// Onsale makes, so the official client, pointed at it as a backend URL, meets the same objects, errors,
// idempotency and signed webhooks as at Stripe in test mode. `onsale up` serves it when no key of a real
// account is given, so a sale can be run end to end on one machine, faults included.
//
// What it promises:
//   - An answer is written after its effect is in the journal, so a process that is killed at any byte
//     comes back with every payment it has answered for. The journal is not fsynced: it survives the
//     death of the process, not of the machine.
//   - An idempotency key has one effect and one answer for 24 hours, failures included.
//   - Every webhook event is delivered at least once, or given up after a bounded number of attempts
//     with a log line. Order is not promised, as at Stripe.
//
// Where it differs from Stripe: a payment method keeps the id it was named by ("pm_card_visa") instead of
// being copied to a new one, only test cards exist, `expand` is ignored, and what takes a bank or a buyer days
// happens when a control endpoint says so: authorizations expire, pending refunds are decided (those of
// pm_card_pendingRefund), disputes are opened and decided. A refund of pm_card_refundFail has failed at once.
//
// Commands and the packages that wire a service together may import it; the domain may not.
package double
