// Package models wires the place of the published models, a folder or an
// S3-compatible bucket, as the flags of a program say.
package models

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/octavo-books/octavo/chassis/secret"
	"github.com/octavo-books/octavo/cmd/internal/program"
	"github.com/octavo-books/octavo/internal/modelstore"
	"github.com/octavo-books/octavo/internal/trainer"
)

const (
	scheme = "s3://"
	// bucketPoll is between two questions whether a bucket has another model: they
	// cost money, where the bucket is somebody else's.
	bucketPoll = 5 * time.Second
	// checkPatience is how long a check waits for a bucket.
	checkPatience = 10 * time.Second
)

// The files of the folder of credentials.
const (
	accessKeyFile    = "access-key-id"
	secretKeyFile    = "secret-access-key"
	sessionTokenFile = "session-token"
	authorityFile    = "ca.crt"
)

// S3 says where buckets are and who asks.
type S3 struct {
	Endpoint       string `name:"s3-endpoint" env:"OCTAVO_S3_ENDPOINT" default:"https://s3.amazonaws.com" group:"data" help:"URL of the S3-compatible server, https://host:port or http://host:port, for models in a bucket (${env})."`
	Region         string `name:"s3-region" env:"OCTAVO_S3_REGION" default:"us-east-1" group:"data" help:"Region of the bucket (${env})."`
	Addressing     string `name:"s3-addressing" env:"OCTAVO_S3_ADDRESSING" enum:"auto,path,host" default:"auto" group:"data" help:"Where the bucket's name is in a URL: path, host, or auto, which is host for Amazon and path for others (${env})."`
	CredentialsDir string `name:"s3-credentials-dir" env:"OCTAVO_S3_CREDENTIALS_DIR" type:"path" placeholder:"DIR" group:"data" help:"Folder with access-key-id and secret-access-key, and where needed session-token and ca.crt. Changed files are taken up (${env})."`
}

// Place is where models are kept.
type Place struct {
	Models string // a folder, or s3://bucket/prefix
	Cache  string // a folder, for a bucket
	S3     S3
}

// Flags are the settings of a program that has no data folder.
type Flags struct {
	Models string `name:"models" aliases:"models-dir" env:"OCTAVO_MODELS,OCTAVO_MODELS_DIR" default:"octavo-data/models" group:"data" help:"Where the published models are: a folder, or s3://bucket/prefix (${env})."`
	Cache  string `name:"models-cache" env:"OCTAVO_MODELS_CACHE" default:"octavo-data/models-cache" type:"path" group:"data" help:"Folder for models on their way to or from a bucket (${env})."`
	S3     `embed:""`
}

// Place is what the flags say.
func (f Flags) Place() Place { return Place{Models: f.Models, Cache: f.Cache, S3: f.S3} }

// Store keeps models.
type Store interface {
	trainer.Models
	Last() (name, path string, err error)
	List(ctx context.Context) ([]string, error)
	Rollback(ctx context.Context) (string, error)
	RollbackTo(ctx context.Context, name string) error
}

// InBucket reports whether the place is a bucket.
func (p Place) InBucket() bool { return strings.HasPrefix(p.Models, scheme) }

// Poll is how often to look for another model; 0 for as often as one likes.
func (p Place) Poll() time.Duration {
	if p.InBucket() {
		return bucketPoll
	}
	return 0
}

// Open opens the store of models and, beside them, of their parts. It does not
// ask a bucket anything yet. Metrics may be nil.
func (p Place) Open(metrics prometheus.Registerer) (Store, trainer.Parts, error) {
	if p.InBucket() {
		bucket, err := p.bucket(metrics)
		if err != nil {
			return nil, nil, err
		}
		return bucket, bucket.Parts(), nil
	}
	folder, err := modelstore.Open(p.Models)
	if err != nil {
		return nil, nil, fmt.Errorf("open model folder: %w", err)
	}
	return folder, folder.Parts(), nil
}

func (p Place) bucket(metrics prometheus.Registerer) (*modelstore.Bucket, error) {
	if p.S3.CredentialsDir == "" {
		return nil, errors.New("models in a bucket need --s3-credentials-dir")
	}
	if _, err := credentialsIn(p.S3.CredentialsDir); err != nil {
		return nil, err
	}
	return modelstore.OpenBucket(modelstore.BucketConfig{
		URL: p.Models, Endpoint: p.S3.Endpoint, Region: p.S3.Region, Addressing: p.S3.Addressing,
		Credentials: func() (modelstore.Credentials, error) {
			c, err := credentialsIn(p.S3.CredentialsDir)
			if err != nil {
				return modelstore.Credentials{}, err
			}
			return modelstore.Credentials{
				AccessKeyID: string(c.id.Reveal()), SecretAccessKey: string(c.key.Reveal()), SessionToken: string(c.token.Reveal()), Authority: c.authority,
			}, nil
		},
		Cache: p.Cache, Metrics: metrics,
	})
}

// Check tries the place, and asks a bucket what is in it.
func (p Place) Check(r *program.Report, flag, cacheFlag string) {
	if !p.InBucket() {
		r.Folder(flag, p.Models, nil)
		return
	}
	r.Folder(cacheFlag, p.Cache, nil)
	bucket, err := p.bucket(nil)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), checkPatience)
		defer cancel()
		err = bucket.Try(ctx)
	}
	r.Tried(flag, p.Models+" can be read at "+p.S3.Endpoint, err)
}

// files are the credentials of a folder.
type files struct {
	id, key, token secret.Bytes
	authority      []byte
}

func credentialsIn(folder string) (files, error) {
	var c files
	for _, f := range []struct {
		name     string
		into     *secret.Bytes
		required bool
	}{
		{accessKeyFile, &c.id, true}, {secretKeyFile, &c.key, true}, {sessionTokenFile, &c.token, false},
	} {
		content, err := read(filepath.Join(folder, f.name), f.required)
		if err != nil {
			return files{}, err
		}
		*f.into = secret.Of(content)
	}
	var err error
	c.authority, err = read(filepath.Join(folder, authorityFile), false)
	return c, err
}

// read is the content of a file without the space around it, nil for one that
// need not be there.
func read(path string, required bool) ([]byte, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !required {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the credentials of the bucket: %w", err)
	}
	if content = bytes.TrimSpace(content); len(content) == 0 && required {
		return nil, fmt.Errorf("read the credentials of the bucket: %s is empty", path)
	}
	return content, nil
}
