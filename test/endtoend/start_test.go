package endtoend

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	"github.com/octavo-books/octavo/internal/waittest"
)

// model asks a running octavo what it answers from.
func model(t *testing.T, at addresses) *recommendationsv1.GetModelResponse {
	t.Helper()
	conn, err := grpc.NewClient(at.Recommendations, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	got, err := recommendationsv1.NewRecommendationsServiceClient(conn).GetModel(ctx, &recommendationsv1.GetModelRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestAFirstStartThatWasCutOff: whatever the moment of the kill, the next start
// ends with the same library, readers and model as a start that was left alone.
func TestAFirstStartThatWasCutOff(t *testing.T) {
	whole := model(t, serve(t, demoFolder(t)))

	folder := filepath.Join(t.TempDir(), "data")
	p := startServe(t, folder, filepath.Join(t.TempDir(), "addresses.json"))
	log := filepath.Join(folder, "readers.db-wal")
	waittest.Until(t, "interactions are being imported", firstStart, func() bool {
		info, err := os.Stat(log)
		return err == nil && info.Size() > 1<<20
	})
	p.kill(t)
	if _, err := os.Stat(filepath.Join(folder, "importing-demo")); err != nil {
		t.Fatalf("the program was not killed during the import: %v", err)
	}

	resumed := model(t, serve(t, folder))
	if resumed.GetInteractions() != whole.GetInteractions() || resumed.GetModelVersion() != whole.GetModelVersion() {
		t.Errorf("after the kill the model is %s of %d interactions, want %s of %d",
			resumed.GetModelVersion(), resumed.GetInteractions(), whole.GetModelVersion(), whole.GetInteractions())
	}
}

// TestAStartOverABrokenModel: it is refused and said so, and another is trained
// in its place.
func TestAStartOverABrokenModel(t *testing.T) {
	folder := demoFolder(t)
	files, err := filepath.Glob(filepath.Join(folder, "models", "*.safetensors"))
	if err != nil || len(files) != 1 {
		t.Fatalf("models: %v, %v", files, err)
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(files[0], content, 0o600); err != nil {
		t.Fatal(err)
	}

	p, at := serveProcess(t, folder)
	if version := model(t, at).GetModelVersion(); version == "" {
		t.Error("there is no model")
	}
	if printed := p.output.String(); !strings.Contains(printed, "checksum does not match") {
		t.Errorf("the log does not say what was wrong:\n%s", printed)
	}
}

// TestAStartWithNothingToLearnFrom: a shop that has books and no readers yet
// opens, and shows its books.
func TestAStartWithNothingToLearnFrom(t *testing.T) {
	books := filepath.Join(t.TempDir(), "books.csv")
	if err := os.WriteFile(books, []byte("title,authors,category\nDune,Frank Herbert,science fiction\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "data")
	bring := exec.Command(filepath.Join(binaries, "octavo"), "import", "csv", books, "--data-dir", folder)
	bring.Env = environment()
	if printed, err := bring.CombinedOutput(); err != nil {
		t.Fatalf("import: %v\n%s", err, printed)
	}
	at := serve(t, folder)
	if got := model(t, at); got.GetModelVersion() != "" {
		t.Errorf("there is a model, %s, of nothing", got.GetModelVersion())
	}
	if shelf := newVisitor(t, "http://"+at.HTTP).get("/science-fiction"); !strings.Contains(shelf.body, "Dune") {
		t.Errorf("the shelf does not show the book:\n%s", shelf.body)
	}
}
