package access_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"

	"onsale/events"
	"onsale/internal/access"
	"onsale/internal/sale"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	secret = bytes.Repeat([]byte{7}, 32)
	codes  = access.NewCodes(secret)
	id     = events.CodeID{1, 2, 3, 4, 5, 6, 7, 8}
	batch  = access.Batch{ID: uuid.MustParse("0d0e6b0a-8a0f-4c8e-9a43-0d7c6f7a5b01"), Lane: "presale", Count: 1000, Uses: 2}
)

func refused(t *testing.T, event, code, how string) {
	t.Helper()
	if got, err := codes.Read(event, code); !errors.Is(err, access.ErrBadCode) || got != (access.Grant{}) {
		t.Errorf("%s: Read(%q) = %+v, %v; want ErrBadCode", how, code, got, err)
	}
}

func granted(t *testing.T, event, code string, want access.Grant) {
	t.Helper()
	if got, err := codes.Read(event, code); err != nil || got != want {
		t.Errorf("Read(%q) = %+v, %v; want %+v", code, got, err, want)
	}
}

func TestCodes_RoundTrip(t *testing.T) {
	t.Parallel()
	for _, lane := range []string{"presale", "vip", "a", "1", "presale-1", "fan-club-2", "vip-", "0-1-2", "twenty-characters-ab"} {
		for _, uses := range []int{1, 2, 255, 256, access.MaxUses} {
			for _, id := range []events.CodeID{id, {}, {255, 255, 255, 255, 255, 255, 255, 255}} {
				granted(t, "gala", codes.Issue("gala", lane, id, uses), access.Grant{Lane: lane, ID: id, Uses: uses})
			}
		}
	}
}

// A mailed code is good for as long as its sale: these were written by the first version.
func TestCodes_Golden(t *testing.T) {
	t.Parallel()
	const file = "testdata/codes.txt"
	lines := []string{codes.Issue("gala", "presale", id, 1), codes.Issue("gala", "accessibility", id, access.MaxUses)}
	for code := range codes.All("gala", batch) {
		if lines = append(lines, code); len(lines) == 5 {
			break
		}
	}
	got := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("codes = %q, want %q", got, want)
	}
}

func TestCodes_ReadsWhatPeopleMakeOfThem(t *testing.T) {
	t.Parallel()
	// Lanes with letters that the body's alphabet lacks, and with dashes, which the body takes or leaves.
	for _, lane := range []string{"presale", "lilo-1"} {
		code, want := codes.Issue("gala", lane, id, 3), access.Grant{Lane: lane, ID: id, Uses: 3}
		tail := len(lane) + 1
		head, body := code[:tail], code[tail:]
		for _, spelling := range []string{
			strings.ToLower(code),
			" \t" + code + "\r\n",
			head + strings.ReplaceAll(body, "-", ""),
			code[:len(lane)] + strings.ReplaceAll(body, "-", ""),
			head + strings.ReplaceAll(body, "-", " "),
			head + strings.ReplaceAll(body, "-", "\r\n"),
			head + strings.ReplaceAll(body, "-", "--") + "-",
			head + strings.NewReplacer("0", "O", "1", "I").Replace(body),
			head + strings.NewReplacer("0", "o", "1", "l").Replace(body),
		} {
			granted(t, "gala", spelling, want)
		}
	}
}

func TestCodes_RefusesAlterations(t *testing.T) {
	t.Parallel()
	const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	code := codes.Issue("gala", "presale", id, 3)
	for i := range len(code) {
		for _, symbol := range alphabet + "U.+=/_é" {
			altered := code[:i] + string(symbol) + code[i+1:]
			if code[i] != '-' && altered != code {
				refused(t, "gala", altered, "a symbol altered")
			}
		}
		refused(t, "gala", code[:i], "cut")
		if code[i] != '-' {
			refused(t, "gala", code[:i]+code[i+1:], "a symbol left out")
		}
		refused(t, "gala", code[:i]+"7"+code[i:], "a symbol more")
	}
	for _, more := range []string{"0", "A", "=", "presale", code, strings.Repeat(" ", 200)} {
		refused(t, "gala", code+more, "extended")
	}
	refused(t, "gala", "", "empty")
	refused(t, "gala", code[len("presale-"):], "no lane")
	refused(t, "gala", "GENERAL"+code[len("presale"):], "the general lane")
}

func TestCodes_AreOfOneEventLaneAndSecret(t *testing.T) {
	t.Parallel()
	code := codes.Issue("gala", "presale", id, 3)
	refused(t, "gal", code, "another event")
	refused(t, "", code, "no event")
	refused(t, "gala", "VIP"+code[len("presale"):], "another lane")
	refused(t, "gala", access.NewCodes(bytes.Repeat([]byte{8}, 32)).Issue("gala", "presale", id, 3), "another secret")
	// What one pair of names ends with, the other must not begin with.
	refused(t, "galap", "RESALE"+code[len("presale"):], "event and lane divided otherwise")
}

func TestCodes_IssuePanicsRatherThanGrantNonsense(t *testing.T) {
	t.Parallel()
	for _, bad := range []struct {
		lane string
		uses int
	}{{"presale", 0}, {"presale", -1}, {"presale", access.MaxUses + 1}, {"", 1}, {"general", 1}, {"Presale", 1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Issue for lane %q, %d uses did not panic", bad.lane, bad.uses)
				}
			}()
			codes.Issue("gala", bad.lane, id, bad.uses)
		}()
	}
}

func TestCodes_FitAMail(t *testing.T) {
	t.Parallel()
	for lane, want := range map[string]int{"vip": 41, "presale": 45, "accessibility": 51, "twenty-characters-ab": 58} {
		if got := len(codes.Issue("gala", lane, id, 1)); got != want {
			t.Errorf("a code for %s has %d characters, want %d", lane, got, want)
		}
	}
}

func TestBatch_GivesTheSameCodesAgain(t *testing.T) {
	t.Parallel()
	seen, n := map[events.CodeID]string{}, 0
	for code := range codes.All("gala", batch) {
		want := access.Grant{Lane: batch.Lane, ID: batch.CodeID(n), Uses: batch.Uses}
		granted(t, "gala", code, want)
		if seen[want.ID] != "" {
			t.Fatalf("codes %q and %q have the same id", seen[want.ID], code)
		}
		seen[want.ID] = code
		n++
	}
	if n != batch.Count {
		t.Errorf("%d codes, want %d", n, batch.Count)
	}
	other := batch
	other.ID = uuid.MustParse("0d0e6b0a-8a0f-4c8e-9a43-0d7c6f7a5b02")
	for n = range other.Count {
		if seen[other.CodeID(n)] != "" {
			t.Fatalf("code %d is in both batches", n)
		}
	}
	for code := range access.NewCodes(secret).All("gala", batch) {
		if code != seen[batch.CodeID(0)] {
			t.Errorf("the first code is %q, then %q", seen[batch.CodeID(0)], code)
		}
		break
	}
}

func TestBatch_CheckSaysAllThatIsWrong(t *testing.T) {
	t.Parallel()
	if err := batch.Check(); err != nil {
		t.Errorf("Check = %v", err)
	}
	most := batch
	most.Count, most.Uses = access.MaxBatch, access.MaxUses
	if err := most.Check(); err != nil {
		t.Errorf("Check = %v", err)
	}
	err := access.Batch{Lane: "General", Count: access.MaxBatch + 1, Uses: access.MaxUses + 1}.Check()
	if sale.KindOf(err) != sale.Invalid || sale.CodeOf(err) != "bad_batch" {
		t.Fatalf("Check = %v", err)
	}
	for _, what := range []string{"id", "lane", "count", "uses"} {
		if !strings.Contains(err.Error(), what) {
			t.Errorf("Check says nothing of the %s: %v", what, err)
		}
	}
	if (access.Batch{ID: batch.ID, Lane: "vip"}).Check() == nil {
		t.Error("a batch of no codes passes")
	}
}

func FuzzCodes_Read(f *testing.F) {
	code := codes.Issue("gala", "presale", id, 3)
	f.Add("gala", code)
	f.Add("gala", strings.ToLower(code))
	f.Add("gala", code[1:])
	f.Add("", "")
	f.Add("other", " "+code+"\n")
	f.Add("gala", strings.Repeat("-", 60)+strings.Repeat("1", 40))
	f.Fuzz(func(t *testing.T, event, text string) {
		got, err := codes.Read(event, text)
		if err != nil {
			if !errors.Is(err, access.ErrBadCode) || got != (access.Grant{}) {
				t.Errorf("Read = %+v, %v", got, err)
			}
			return
		}
		if event != "gala" || got != (access.Grant{Lane: "presale", ID: id, Uses: 3}) {
			t.Errorf("%q was never given out for %q", text, event)
		}
		granted(t, event, codes.Issue(event, got.Lane, got.ID, got.Uses), got)
	})
}

func BenchmarkCodes_Read(b *testing.B) {
	code := codes.Issue("gala", "presale", id, 3)
	for b.Loop() {
		if _, err := codes.Read("gala", code); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCodes_All(b *testing.B) {
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		codes.Issue("gala", batch.Lane, batch.CodeID(n), batch.Uses)
	}
}
