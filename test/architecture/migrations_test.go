package architecture

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Programs of two releases use one database during an upgrade and after it was
// taken back. So a migration only adds, or has the line that keeps older
// programs out.
func TestMigrationsOnlyAdd(t *testing.T) {
	files, err := filepath.Glob("../../internal/*/*/migrations/*.sql")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d migrations, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, statement := range breaking(string(text)) {
			t.Errorf("%s: %q breaks programs of the release before, which use the database while an upgrade is rolled out: "+
				"add what is new and drop the old a release later, or say it with the line \"-- breaks older programs\"", file, statement)
		}
	}
}

var (
	comment  = regexp.MustCompile(`--[^\n]*`)
	removes  = regexp.MustCompile(`(?i)\b(DROP|RENAME|TRUNCATE|DELETE FROM|ALTER COLUMN)\b`)
	column   = regexp.MustCompile(`(?is)\bADD COLUMN\b.*\bNOT NULL\b`)
	byitself = regexp.MustCompile(`(?i)\b(DEFAULT|GENERATED)\b`)
)

// breaking are the statements of a migration that older programs do not stand,
// and none when it says so itself.
func breaking(text string) (found []string) {
	up, _, _ := strings.Cut(text, "-- +goose Down")
	if slices.ContainsFunc(strings.Split(up, "\n"), func(line string) bool { return strings.TrimSpace(line) == "-- breaks older programs" }) {
		return nil
	}
	for statement := range strings.SplitSeq(comment.ReplaceAllString(up, ""), ";") {
		if removes.MatchString(statement) || column.MatchString(statement) && !byitself.MatchString(statement) {
			found = append(found, strings.TrimSpace(statement))
		}
	}
	return found
}

func TestBreakingMigrationsAreFound(t *testing.T) {
	for text, want := range map[string]int{
		"-- +goose Up\nCREATE TABLE a (b integer NOT NULL);\n-- +goose Down\nDROP TABLE a;": 0,
		"ALTER TABLE a ADD COLUMN b integer NOT NULL DEFAULT 0; -- DROP":                    0,
		"ALTER TABLE a ADD COLUMN b integer NOT NULL;":                                      1,
		"ALTER TABLE a DROP COLUMN b;\nALTER TABLE a RENAME TO c;":                          2,
		"alter table a alter column b type text;":                                           1,
		"DELETE FROM a;": 1,
		"-- +goose Up\n-- breaks older programs\nALTER TABLE a DROP COLUMN b;":            0,
		"CREATE TABLE a (b integer REFERENCES c ON DELETE CASCADE);\nUPDATE a SET b = 1;": 0,
	} {
		if found := breaking(text); len(found) != want {
			t.Errorf("%q: %q, want %d", text, found, want)
		}
	}
}
