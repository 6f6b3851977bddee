package storetest

import (
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/readers"
	"github.com/octavo-books/octavo/internal/readers/accounts"
)

// Accounts is a store of readers with their accounts.
type Accounts interface {
	readers.Store
	accounts.Store
	accounts.Tallies
	accounts.Passkeys
}

// RunAccounts tests the stores that open returns, each of them empty, and
// closed by t.Cleanup.
func RunAccounts(t *testing.T, open func(t *testing.T) Accounts) {
	for name, test := range map[string]func(*testing.T, Accounts){
		"accounts":                  testAccounts,
		"names":                     testNames,
		"one name for many at once": testOneName,
		"passwords":                 testPasswords,
		"sessions":                  testSessions,
		"erased with the reader":    testErasedAccount,
		"most sessions":             testMostSessions,
		"tallies":                   testTallies,
		"tallies by many at once":   testTalliesTogether,
		"passkeys":                  testPasskeys,
		"passkeys added at once":    testPasskeysTogether,
		"ceremonies":                testCeremonies,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func makeAccount(t *testing.T, s Accounts, name string) accounts.Account {
	t.Helper()
	a := accounts.Account{Name: name, Password: "$hash of " + name, CreatedAt: at(1), PasswordChangedAt: at(1)}
	var err error
	if a.Reader, err = s.CreateAccount(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	return a
}

func wantKind(t *testing.T, err error, kind fault.Kind) {
	t.Helper()
	if err == nil || fault.KindOf(err) != kind {
		t.Errorf("got %v, want %s", err, kind)
	}
}

func testAccounts(t *testing.T, s Accounts) {
	visitor := create(t, s, 1)[0]
	ada := makeAccount(t, s, "ada")
	if ada.Reader == visitor || ada.Reader == 0 {
		t.Errorf("the account has reader %d", ada.Reader)
	}
	for what, find := range map[string]func() (accounts.Account, error){
		"by name":   func() (accounts.Account, error) { return s.AccountByName(t.Context(), "ada") },
		"by reader": func() (accounts.Account, error) { return s.Account(t.Context(), ada.Reader) },
	} {
		if got, err := find(); err != nil || got != ada {
			t.Errorf("%s: %+v, %v, want %+v", what, got, err, ada)
		}
	}
	if r, err := s.Reader(t.Context(), ada.Reader); err != nil || r.Origin != readers.HasAccount || !r.CreatedAt.Equal(at(1)) {
		t.Errorf("its reader is %+v, %v", r, err)
	}
	_, err := s.AccountByName(t.Context(), "bob")
	wantKind(t, err, fault.NotFound)
	_, err = s.Account(t.Context(), visitor)
	wantKind(t, err, fault.NotFound)
}

// Nothing of an account outlives its reader: neither the name, which is free
// again, nor the password, nor any session.
func testErasedAccount(t *testing.T, s Accounts) {
	ada, bob := makeAccount(t, s, "ada"), makeAccount(t, s, "bob")
	tokens := map[int32][]accounts.Digest{}
	for i, a := range []accounts.Account{ada, ada, bob} {
		session := accounts.Session{Token: accounts.Digest{byte(i + 1)}, Reader: a.Reader, Agent: "Firefox", CreatedAt: at(2), SeenAt: at(2)}
		if _, err := s.AddSession(t.Context(), session, a.PasswordChangedAt, 10); err != nil {
			t.Fatal(err)
		}
		tokens[a.Reader] = append(tokens[a.Reader], session.Token)
		record(t, s, readers.Interaction{Reader: a.Reader, Book: int32(i + 1), Kind: readers.Finished, OccurredAt: at(2), ClientID: "one"})
	}
	if _, err := s.SetPaused(t.Context(), ada.Reader, true, at(3)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Erase(t.Context(), ada.Reader, at(4)); err != nil {
		t.Fatal(err)
	}
	_, err := s.AccountByName(t.Context(), "ada")
	wantKind(t, err, fault.NotFound)
	_, err = s.Account(t.Context(), ada.Reader)
	wantKind(t, err, fault.NotFound)
	for _, token := range tokens[ada.Reader] {
		_, err = s.Session(t.Context(), token)
		wantKind(t, err, fault.NotFound)
	}
	if sessions, err := s.Sessions(t.Context(), ada.Reader); err != nil || len(sessions) > 0 {
		t.Errorf("sessions %v, %v; want none", sessions, err)
	}
	_, err = s.AddSession(t.Context(), accounts.Session{Token: accounts.Digest{9}, Reader: ada.Reader, CreatedAt: at(5), SeenAt: at(5)}, ada.PasswordChangedAt, 10)
	wantKind(t, err, fault.Conflict)
	wantKind(t, s.SetPassword(t.Context(), accounts.Account{Reader: ada.Reader, Password: "$other", PasswordChangedAt: at(5)}, at(1)), fault.Conflict)

	if got, err := s.AccountByName(t.Context(), "bob"); err != nil || got != bob {
		t.Errorf("the other account is %+v, %v", got, err)
	}
	if _, err := s.Session(t.Context(), tokens[bob.Reader][0]); err != nil {
		t.Errorf("the other account's session: %v", err)
	}
	next := makeAccount(t, s, "ada")
	if next.Reader == ada.Reader {
		t.Error("who takes the name gets the reader of before")
	}
	if shelf, err := s.Shelf(t.Context(), next.Reader, nil, 10); err != nil || len(shelf) > 0 {
		t.Errorf("who takes the name finds the shelf %v, %v", shelf, err)
	}
	if reader, err := s.Reader(t.Context(), next.Reader); err != nil || reader.Paused {
		t.Errorf("who takes the name is %+v, %v", reader, err)
	}
}

func testNames(t *testing.T, s Accounts) {
	makeAccount(t, s, "ada")
	before, err := s.List(t.Context(), 0, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.CreateAccount(t.Context(), accounts.Account{Name: "ada", Password: "$other", CreatedAt: at(2), PasswordChangedAt: at(2)})
	wantKind(t, err, fault.Conflict)
	if after, err := s.List(t.Context(), 0, 0, 10); err != nil || len(after) != len(before) {
		t.Errorf("readers after a name that is taken: %v, %v", after, err)
	}
	if a, err := s.AccountByName(t.Context(), "ada"); err != nil || a.Password != "$hash of ada" {
		t.Errorf("the account is now %+v, %v", a, err)
	}
	for _, other := range []string{"adá", "ada1", "ad"} {
		makeAccount(t, s, other)
	}
}

func testOneName(t *testing.T, s Accounts) {
	var wait sync.WaitGroup
	made := make(chan int32, 16)
	for range cap(made) {
		wait.Go(func() {
			id, err := s.CreateAccount(t.Context(), accounts.Account{Name: "ada", Password: "$", CreatedAt: at(1), PasswordChangedAt: at(1)})
			if err == nil {
				made <- id
			} else if fault.KindOf(err) != fault.Conflict {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if len(made) != 1 {
		t.Errorf("%d accounts have the name", len(made))
	}
}

func testPasswords(t *testing.T, s Accounts) {
	a := makeAccount(t, s, "ada")
	session := addSession(t, s, a, 1)

	better := a
	better.Password = "$better hash"
	if err := s.SetHash(t.Context(), better); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Account(t.Context(), a.Reader); err != nil || got != better {
		t.Errorf("with another hash: %+v, %v", got, err)
	}
	if _, err := s.Session(t.Context(), session.Token); err != nil {
		t.Errorf("another hash of the same password ended a session: %v", err)
	}

	changed := a
	changed.Password, changed.PasswordChangedAt = "$new", at(9)
	if err := s.SetPassword(t.Context(), changed, a.PasswordChangedAt); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Account(t.Context(), a.Reader); err != nil || got != changed {
		t.Errorf("with a new password: %+v, %v", got, err)
	}
	_, err := s.Session(t.Context(), session.Token)
	wantKind(t, err, fault.NotFound)

	// Whoever was still working with the old one comes too late.
	late := changed
	late.Password = "$late"
	wantKind(t, s.SetPassword(t.Context(), late, a.PasswordChangedAt), fault.Conflict)
	if err := s.SetHash(t.Context(), better); err != nil {
		t.Fatal(err)
	}
	_, err = s.AddSession(t.Context(), accounts.Session{Token: accounts.Digest{7}, Reader: a.Reader, CreatedAt: at(9), SeenAt: at(9)}, a.PasswordChangedAt, 10)
	wantKind(t, err, fault.Conflict)
	if got, err := s.Account(t.Context(), a.Reader); err != nil || got != changed {
		t.Errorf("after what came too late: %+v, %v", got, err)
	}
}

func addSession(t *testing.T, s Accounts, a accounts.Account, n byte) accounts.Session {
	t.Helper()
	session := accounts.Session{Token: accounts.Digest{n, 31: 1}, Reader: a.Reader, Agent: "Browser " + string('A'+rune(n)), CreatedAt: at(int(n)), SeenAt: at(int(n))}
	var err error
	if session.ID, err = s.AddSession(t.Context(), session, a.PasswordChangedAt, 10); err != nil {
		t.Fatal(err)
	}
	return session
}

func sessions(t *testing.T, s Accounts, reader int32) []accounts.Session {
	t.Helper()
	list, err := s.Sessions(t.Context(), reader)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func testSessions(t *testing.T, s Accounts) {
	ada, bob := makeAccount(t, s, "ada"), makeAccount(t, s, "bob")
	one, two, three, four := addSession(t, s, ada, 1), addSession(t, s, ada, 2), addSession(t, s, ada, 3), addSession(t, s, ada, 4)
	his := addSession(t, s, bob, 5)
	if got, err := s.Session(t.Context(), two.Token); err != nil || got != two {
		t.Errorf("by token: %+v, %v, want %+v", got, err, two)
	}
	_, err := s.Session(t.Context(), accounts.Digest{99})
	wantKind(t, err, fault.NotFound)

	change := func(reader int32, c accounts.SessionChange) {
		t.Helper()
		if err := s.ChangeSessions(t.Context(), reader, c); err != nil {
			t.Fatal(err)
		}
	}
	change(ada.Reader, accounts.SessionChange{Touch: one.ID, SeenAt: at(50)})
	change(ada.Reader, accounts.SessionChange{Touch: one.ID, SeenAt: at(40)}) // it never goes back
	one.SeenAt = at(50)
	if got, want := sessions(t, s, ada.Reader), []accounts.Session{one, four, three, two}; !slices.Equal(got, want) {
		t.Errorf("sessions %+v, want %+v", got, want)
	}
	change(ada.Reader, accounts.SessionChange{End: three.ID})
	change(ada.Reader, accounts.SessionChange{End: three.ID})
	change(bob.Reader, accounts.SessionChange{End: two.ID}) // not his
	change(bob.Reader, accounts.SessionChange{Touch: two.ID, SeenAt: at(60)})
	if got, want := sessions(t, s, ada.Reader), []accounts.Session{one, four, two}; !slices.Equal(got, want) {
		t.Errorf("with one ended %+v, want %+v", got, want)
	}
	change(ada.Reader, accounts.SessionChange{EndOthers: two.ID})
	if got := sessions(t, s, ada.Reader); len(got) != 1 || got[0] != two {
		t.Errorf("with the others ended %+v", got)
	}
	change(ada.Reader, accounts.SessionChange{EndAll: true})
	if got := sessions(t, s, ada.Reader); len(got) != 0 {
		t.Errorf("with all ended %+v", got)
	}
	if got := sessions(t, s, bob.Reader); len(got) != 1 || got[0] != his {
		t.Errorf("somebody else's are now %+v", got)
	}
}

func testMostSessions(t *testing.T, s Accounts) {
	ada, bob := makeAccount(t, s, "ada"), makeAccount(t, s, "bob")
	his := addSession(t, s, bob, 99)
	for n := range byte(13) {
		addSession(t, s, ada, n)
	}
	got := sessions(t, s, ada.Reader)
	if len(got) != 10 || got[9].Token != (accounts.Digest{3, 31: 1}) {
		t.Errorf("of 13 are kept %d, the oldest %v", len(got), got[len(got)-1].Token)
	}
	if _, err := s.Session(t.Context(), his.Token); err != nil {
		t.Errorf("somebody else's is gone: %v", err)
	}
}

func testTallies(t *testing.T, s Accounts) {
	a, b, c := accounts.Digest{3}, accounts.Digest{2}, accounts.Digest{1}
	tally := func(forget time.Time, write bool, keys []accounts.Digest, want []accounts.Tally, put ...accounts.Tally) {
		t.Helper()
		var got []accounts.Tally
		err := s.Tally(t.Context(), keys, forget, func(tallies []accounts.Tally) bool {
			got = slices.Clone(tallies)
			copy(tallies, put)
			return write
		})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("tallies %v, want %v", got, want)
		}
	}
	three, two := accounts.Tally{Attempts: 3, Last: at(10)}, accounts.Tally{Attempts: 2, Last: at(20)}
	none := accounts.Tally{}
	tally(at(0), true, []accounts.Digest{a, b}, []accounts.Tally{none, none}, three, two)
	tally(at(0), false, []accounts.Digest{b, c, a}, []accounts.Tally{two, none, three}, none, three, two) // not written
	tally(at(10), false, []accounts.Digest{c, b, a}, []accounts.Tally{none, two, three})
	tally(at(11), false, []accounts.Digest{a, b}, []accounts.Tally{none, two}) // one is forgotten
	tally(at(11), true, []accounts.Digest{b}, []accounts.Tally{two}, accounts.Tally{Attempts: 1, Last: at(30)})
	tally(at(11), false, []accounts.Digest{b}, []accounts.Tally{{Attempts: 1, Last: at(30)}})
}

// No attempt is lost however many are counted at once, and in whatever order
// their keys are.
func testTalliesTogether(t *testing.T, s Accounts) {
	a, b := accounts.Digest{1}, accounts.Digest{2}
	const callers = 40
	var wait sync.WaitGroup
	for n := range callers {
		keys := []accounts.Digest{a, b}
		if n%2 == 1 {
			slices.Reverse(keys)
		}
		wait.Go(func() {
			err := s.Tally(t.Context(), keys, at(0), func(tallies []accounts.Tally) bool {
				for i := range tallies {
					tallies[i] = accounts.Tally{Attempts: tallies[i].Attempts + 1, Last: at(1)}
				}
				return true
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	err := s.Tally(t.Context(), []accounts.Digest{a, b}, at(0), func(tallies []accounts.Tally) bool {
		if tallies[0].Attempts != callers || tallies[1].Attempts != callers {
			t.Errorf("counted %v, want %d each", tallies, callers)
		}
		return false
	})
	if err != nil {
		t.Fatal(err)
	}
}

func makePasskey(a accounts.Account, n byte) accounts.Passkey {
	return accounts.Passkey{
		Credential: []byte{n, 0, 255}, Party: "books.example", Handle: []byte{byte(a.Reader), 0}, Reader: a.Reader, PublicKey: []byte{n},
		Flags: 255, SignCount: 1<<32 - 1, Name: "Phone é", CreatedAt: at(int(n)),
	}
}

func addPasskey(t *testing.T, s Accounts, p accounts.Passkey) accounts.Passkey {
	t.Helper()
	var err error
	if p.ID, err = s.AddPasskey(t.Context(), p, 10); err != nil {
		t.Fatal(err)
	}
	return p
}

func wantPasskeys(t *testing.T, s Accounts, reader int32, want ...accounts.Passkey) {
	t.Helper()
	got, err := s.Passkeys(t.Context(), reader)
	if err != nil || len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
		t.Errorf("passkeys %+v, %v; want %+v", got, err, want)
	}
}

func testPasskeys(t *testing.T, s Accounts) {
	ada, bob := makeAccount(t, s, "ada"), makeAccount(t, s, "bob")
	one, his := addPasskey(t, s, makePasskey(ada, 1)), addPasskey(t, s, makePasskey(bob, 3))
	two := addPasskey(t, s, makePasskey(ada, 2))
	wantPasskeys(t, s, ada.Reader, one, two)
	if got, err := s.Passkey(t.Context(), "books.example", two.Credential); err != nil || !reflect.DeepEqual(got, two) {
		t.Errorf("found %+v, %v", got, err)
	}
	for party, credential := range map[string][]byte{"books.example": {9}, "Books.example": one.Credential, "example": one.Credential} {
		_, err := s.Passkey(t.Context(), party, credential)
		wantKind(t, err, fault.NotFound)
	}
	_, err := s.AddPasskey(t.Context(), makePasskey(bob, 1), 10)
	wantKind(t, err, fault.Conflict)
	_, err = s.AddPasskey(t.Context(), makePasskey(ada, 4), 2)
	wantKind(t, err, fault.Conflict)
	_, err = s.AddPasskey(t.Context(), makePasskey(accounts.Account{Reader: 999}, 4), 2)
	wantKind(t, err, fault.NotFound)
	elsewhere := makePasskey(ada, 1)
	elsewhere.Party = "elsewhere.example"
	elsewhere = addPasskey(t, s, elsewhere)

	before := one.SignCount
	one.SignCount, one.Flags, one.UsedAt = 5, 29, at(50)
	if err := s.UsePasskey(t.Context(), one, before); err != nil {
		t.Fatal(err)
	}
	wantKind(t, s.UsePasskey(t.Context(), one, before), fault.Conflict)
	two.Name = "Laptop"
	if err := s.RenamePasskey(t.Context(), ada.Reader, two.ID, two.Name); err != nil {
		t.Fatal(err)
	}
	wantKind(t, s.RenamePasskey(t.Context(), bob.Reader, two.ID, "his"), fault.NotFound)
	if err := s.RemovePasskey(t.Context(), bob.Reader, two.ID); err != nil {
		t.Fatal(err)
	}
	wantPasskeys(t, s, ada.Reader, one, two, elsewhere)
	for range 2 {
		if err := s.RemovePasskey(t.Context(), ada.Reader, two.ID); err != nil {
			t.Fatal(err)
		}
	}
	wantPasskeys(t, s, ada.Reader, one, elsewhere)
	if _, err := s.Erase(t.Context(), ada.Reader, at(60)); err != nil {
		t.Fatal(err)
	}
	wantPasskeys(t, s, ada.Reader)
	wantPasskeys(t, s, bob.Reader, his)
	_, err = s.Passkey(t.Context(), one.Party, one.Credential)
	wantKind(t, err, fault.NotFound)
}

// However many are added at once, an account has no more than it may.
func testPasskeysTogether(t *testing.T, s Accounts) {
	ada := makeAccount(t, s, "ada")
	var wait sync.WaitGroup
	for n := range byte(16) {
		wait.Go(func() {
			if _, err := s.AddPasskey(t.Context(), makePasskey(ada, n), 3); err != nil && fault.KindOf(err) != fault.Conflict {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if got, err := s.Passkeys(t.Context(), ada.Reader); err != nil || len(got) != 3 {
		t.Errorf("%d passkeys, %v; want 3", len(got), err)
	}
}

func testCeremonies(t *testing.T, s Accounts) {
	ada := makeAccount(t, s, "ada")
	begin := func(n byte, reader int32, expires, now time.Time, most int) accounts.Ceremony {
		t.Helper()
		c := accounts.Ceremony{Token: accounts.Digest{n, 31: 2}, Reader: reader, State: []byte{n, 0}, ExpiresAt: expires}
		if err := s.AddCeremony(t.Context(), c, now, most); err != nil {
			t.Fatal(err)
		}
		return c
	}
	gone := func(c accounts.Ceremony) {
		t.Helper()
		_, err := s.TakeCeremony(t.Context(), c.Token)
		wantKind(t, err, fault.NotFound)
	}
	take := func(c accounts.Ceremony) {
		t.Helper()
		if got, err := s.TakeCeremony(t.Context(), c.Token); err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("took %+v, %v; want %+v", got, err, c)
		}
		gone(c)
	}
	adding, signing := begin(1, ada.Reader, at(10), at(1), 10), begin(2, 0, at(10), at(1), 10)
	take(adding)
	take(signing)

	expired, later := begin(3, 0, at(10), at(1), 10), begin(4, 0, at(11), at(1), 10)
	begin(5, 0, at(20), at(10), 10)
	gone(expired)
	take(later)

	first := begin(6, 0, at(20), at(10), 10)
	second, third := begin(7, 0, at(20), at(10), 10), begin(8, 0, at(20), at(10), 2)
	gone(first)
	take(second)
	take(third)

	hers := begin(9, ada.Reader, at(20), at(10), 10)
	if _, err := s.Erase(t.Context(), ada.Reader, at(11)); err != nil {
		t.Fatal(err)
	}
	gone(hers)

	one := begin(10, 0, at(20), at(10), 10)
	var taken atomic.Int32
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			if _, err := s.TakeCeremony(t.Context(), one.Token); err == nil {
				taken.Add(1)
			} else if fault.KindOf(err) != fault.NotFound {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if taken.Load() != 1 {
		t.Errorf("%d took one ceremony", taken.Load())
	}
}
