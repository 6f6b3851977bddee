package models_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/octavo-books/octavo/cmd/internal/models"
	"github.com/octavo-books/octavo/internal/buckettest"
)

// secretIn is a folder of credentials as a mounted secret is.
func secretIn(t *testing.T, key string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"access-key-id": buckettest.AccessKeyID + "\n", "secret-access-key": key + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func place(t *testing.T, server *buckettest.Server, credentials string) models.Place {
	return models.Place{
		Models: buckettest.URL("models"), Cache: filepath.Join(t.TempDir(), "cache"),
		S3: models.S3{Endpoint: server.Endpoint, Region: "us-east-1", Addressing: "auto", CredentialsDir: credentials},
	}
}

func TestModelsAreInAFolderOrABucket(t *testing.T) {
	server := buckettest.Start(t)
	for name, p := range map[string]models.Place{
		"a folder": {Models: filepath.Join(t.TempDir(), "models")},
		"a bucket": place(t, server, secretIn(t, buckettest.SecretAccessKey)),
	} {
		store, _, err := p.Open(prometheus.NewPedanticRegistry())
		if err != nil {
			t.Fatal(err)
		}
		published, err := store.Publish(t.Context(), func(path string) error { return os.WriteFile(path, []byte("model"), 0o600) })
		if err != nil {
			t.Fatal(err)
		}
		if current, path, err := store.Current(t.Context()); current != published || err != nil {
			t.Errorf("%s: current is %s at %s, %v", name, current, path, err)
		}
		if p.InBucket() != (name == "a bucket") || p.InBucket() != (p.Poll() > 0) {
			t.Errorf("%s: in a bucket: %v, asked every %v", name, p.InBucket(), p.Poll())
		}
	}
}

// TestRotatedCredentialsAreTakenUp from the files, without a restart.
func TestRotatedCredentialsAreTakenUp(t *testing.T) {
	server := buckettest.Start(t)
	dir := secretIn(t, "a key that has been withdrawn")
	store, _, err := place(t, server, dir).Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.List(t.Context()); err == nil || !strings.Contains(err.Error(), "refuses these credentials") || strings.Contains(err.Error(), "withdrawn") {
		t.Errorf("with the old key: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secret-access-key"), []byte(buckettest.SecretAccessKey), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.List(t.Context()); err != nil {
		t.Errorf("with the new key: %v", err)
	}
}

func TestCredentialsThatAreNotThereAreNamed(t *testing.T) {
	server := buckettest.Start(t)
	empty := secretIn(t, "")
	for name, test := range map[string]struct{ dir, want string }{
		"no folder named": {"", "--s3-credentials-dir"},
		"an empty folder": {t.TempDir(), "access-key-id"},
		"an empty file":   {empty, "secret-access-key is empty"},
	} {
		if _, _, err := place(t, server, test.dir).Open(nil); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}
