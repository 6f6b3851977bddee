package modelstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/octavo-books/octavo/fault"
)

const (
	defaultStall = 30 * time.Second
	// smallLimit is the time that a request without a model's content may take,
	// with what is tried again.
	smallLimit = 10 * time.Second
	attempts   = 3 // of a download that is cut off, and of what the server is too busy for
	// quickAttempts is for what is asked again soon anyway.
	quickAttempts = 2

	// What the metadata of an object says: the SHA-256 of its content,
	// hexadecimal, and who put it there.
	sumKey    = "Octavo-Sha256"
	authorKey = "Octavo-Put"
)

// Credentials are what a bucket asks for. They are secret: nothing here keeps
// or tells them.
type Credentials struct {
	AccessKeyID, SecretAccessKey string
	SessionToken                 string // empty for none
	Authority                    []byte // certificates that the server's is checked with, PEM; nil for the system's
}

// errExists is answered by put where an object is that must not be there, or
// is another one than that which was to be replaced.
var errExists = errors.New("another object is there")

// objects are the objects of a bucket whose names begin with a prefix. Each
// carries the SHA-256 of its content.
type objects struct {
	client  *minio.Core // tries again for some seconds what passes
	quick   *minio.Core // tries again for a moment
	bucket  string
	prefix  string // empty, or ends in a slash
	stall   time.Duration
	scratch string // folder for files that are being written
}

func openObjects(c BucketConfig) (*objects, error) {
	at, err := url.Parse(c.URL)
	if err != nil || at.Scheme != "s3" || at.Host == "" || at.User != nil || at.RawQuery != "" || at.Fragment != "" {
		return nil, fault.New(fault.Invalid, "%q is no bucket: want s3://bucket or s3://bucket/prefix", c.URL)
	}
	endpoint, err := url.Parse(c.Endpoint)
	if err != nil || endpoint.Scheme != "https" && endpoint.Scheme != "http" || endpoint.Host == "" || endpoint.User != nil || strings.Trim(endpoint.Path, "/") != "" {
		return nil, fault.New(fault.Invalid, "%q is no endpoint: want https://host or https://host:port, or the same with http", c.Endpoint)
	}
	lookup, known := map[string]minio.BucketLookupType{
		"": minio.BucketLookupAuto, "auto": minio.BucketLookupAuto, "path": minio.BucketLookupPath, "host": minio.BucketLookupDNS,
	}[c.Addressing]
	if !known {
		return nil, fault.New(fault.Invalid, "%q is no way to address a bucket: want auto, path or host", c.Addressing)
	}
	stall := c.Stall
	if stall == 0 {
		stall = defaultStall
	}
	options := minio.Options{
		Creds:        credentials.New(&provider{read: c.Credentials}),
		Secure:       endpoint.Scheme == "https",
		Region:       c.Region,
		BucketLookup: lookup,
		Transport:    transport(c.Credentials, stall),
	}
	client, err := minio.NewCore(endpoint.Host, &options)
	if err != nil {
		return nil, fmt.Errorf("open the bucket: %w", err)
	}
	options.MaxRetries = quickAttempts
	quick, err := minio.NewCore(endpoint.Host, &options)
	if err != nil {
		return nil, fmt.Errorf("open the bucket: %w", err)
	}
	prefix := strings.Trim(at.Path, "/")
	if prefix != "" {
		prefix += "/"
	}
	return &objects{client: client, quick: quick, bucket: at.Host, prefix: prefix, stall: stall, scratch: c.Cache}, nil
}

// transport makes each TLS connection with the authority of that moment.
func transport(read func() (Credentials, error), stall time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		DialContext: dialer.DialContext,
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := read()
			if err != nil {
				return nil, err
			}
			config := &tls.Config{MinVersion: tls.VersionTLS12}
			if c.Authority != nil {
				config.RootCAs = x509.NewCertPool()
				if !config.RootCAs.AppendCertsFromPEM(c.Authority) {
					return nil, errors.New("the authority of the bucket's server has no certificate in it")
				}
			}
			return (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext(ctx, network, addr)
		},
		MaxIdleConnsPerHost:   4,
		ResponseHeaderTimeout: stall,
		IdleConnTimeout:       time.Minute,
		DisableCompression:    true, // a model does not get smaller
	}
}

// provider gives the client the credentials, and those of the moment when they
// change.
type provider struct {
	read func() (Credentials, error)
	mu   sync.Mutex
	last [sha256.Size]byte
}

func (p *provider) Retrieve() (credentials.Value, error) { return p.RetrieveWithCredContext(nil) }

func (p *provider) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	c, err := p.read()
	if err != nil {
		return credentials.Value{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = c.digest()
	return credentials.Value{
		AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken,
		SignerType: credentials.SignatureV4,
	}, nil
}

// IsExpired reads the credentials: that costs less than a request by far. Where
// they cannot be read, the last ones are as good as any.
func (p *provider) IsExpired() bool {
	c, err := p.read()
	p.mu.Lock()
	defer p.mu.Unlock()
	return err == nil && c.digest() != p.last
}

func (c Credentials) digest() [sha256.Size]byte {
	return sha256.Sum256([]byte(c.AccessKeyID + "\x00" + c.SecretAccessKey + "\x00" + c.SessionToken))
}

// where names an object for a person.
func (o *objects) where(name string) string { return "s3://" + o.bucket + "/" + o.prefix + name }

// explain makes of an answer of the server what can be acted upon.
func (o *objects) explain(err error) error {
	if err == nil {
		return nil
	}
	r := minio.ToErrorResponse(err)
	switch {
	case r.Code == minio.NoSuchBucket:
		return fault.Wrap(fault.Invalid, err, "there is no bucket %s", o.bucket)
	case r.Code == minio.NoSuchKey:
		return fault.Wrap(fault.NotFound, err, "it is not in the bucket")
	case r.StatusCode == http.StatusUnauthorized || r.StatusCode == http.StatusForbidden || r.StatusCode == http.StatusNotFound:
		// Not found is then the user, with some servers.
		return fault.Wrap(fault.Denied, err, "the bucket %s refuses these credentials", o.bucket)
	case r.StatusCode == http.StatusPreconditionFailed || r.StatusCode == http.StatusConflict:
		return errors.Join(errExists, err)
	case r.StatusCode == http.StatusNotImplemented:
		return fault.Wrap(fault.Unimplemented, err, "the server of the bucket %s cannot do what is needed, conditional writes above all", o.bucket)
	case r.StatusCode == 0 || r.StatusCode >= http.StatusInternalServerError:
		return fault.Wrap(fault.Unavailable, err, "the bucket %s is away", o.bucket)
	}
	return err
}

// condition is what must be there for an object to be put.
type condition struct {
	etag   string // the object with this tag
	absent bool   // none
}

// put makes an object of a file, whole or not at all. It is errExists when the
// condition does not hold.
func (o *objects) put(ctx context.Context, name, file string, c condition) error {
	sum, size, err := sumOf(file)
	if err != nil {
		return fmt.Errorf("put %s: %w", o.where(name), err)
	}
	for range attempts {
		// What is put whatever is there can only be refused for a moment.
		if err = o.putOnce(ctx, name, file, sum, size, c); !errors.Is(err, errExists) || c != (condition{}) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("put %s: %w", o.where(name), err)
	}
	return nil
}

func (o *objects) putOnce(ctx context.Context, name, file, sum string, size int64, c condition) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	author := rand.Text()
	// In one piece: a condition holds for it on all servers that know conditions,
	// and what is cut off leaves nothing.
	options := minio.PutObjectOptions{
		UserMetadata: map[string]string{sumKey: sum, authorKey: author},
		ContentType:  "application/octet-stream", DisableMultipart: true, SendContentMd5: true,
	}
	switch {
	case c.absent:
		options.SetMatchETagExcept("*")
	case c.etag != "":
		options.SetMatchETag(c.etag)
	}
	ctx, watch := watch(ctx, o.stall)
	defer watch.stop()
	options.Progress = watch
	_, err = o.client.Client.PutObject(ctx, o.bucket, o.prefix+name, f, size, options)
	err = o.explain(watch.explain(err))
	if errors.Is(err, errExists) || fault.KindOf(err) == fault.Unavailable {
		// The answer to an attempt that worked may have been lost.
		if info, there := o.stat(context.WithoutCancel(ctx), name); there == nil && info.UserMetadata[authorKey] == author {
			return nil
		}
	}
	return err
}

// putBytes is put for a small object.
func (o *objects) putBytes(ctx context.Context, name string, content []byte, c condition) error {
	return o.write(ctx, name, c, func(path string) error { return os.WriteFile(path, content, 0o600) })
}

// write is put of a file that write makes.
func (o *objects) write(ctx context.Context, name string, c condition, write func(path string) error) error {
	return o.temporary(func(file string) error {
		if err := write(file); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		return o.put(ctx, name, file, c)
	})
}

// temporary gives use the path of a file that may be made, and is gone after it.
func (o *objects) temporary(use func(file string) error) error {
	if err := os.MkdirAll(o.scratch, 0o700); err != nil {
		return fmt.Errorf("make the folder for files on their way: %w", err)
	}
	folder, err := os.MkdirTemp(o.scratch, scratchPattern)
	if err != nil {
		return fmt.Errorf("make a folder for files on their way: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }() // what stays is removed after a day
	return use(path.Join(folder, "file"))
}

func (o *objects) stat(ctx context.Context, name string) (minio.ObjectInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, smallLimit)
	defer cancel()
	info, err := o.client.StatObject(ctx, o.bucket, o.prefix+name, minio.StatObjectOptions{})
	if err != nil {
		return info, fmt.Errorf("look at %s: %w", o.where(name), o.explain(err))
	}
	return info, nil
}

// small reads an object of at most limit bytes, or says that it is still the one
// with the tag.
func (o *objects) small(ctx context.Context, client *minio.Core, name, etag string, limit int64) (content []byte, now string, changed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, smallLimit)
	defer cancel()
	options := minio.GetObjectOptions{}
	if etag != "" {
		if err := options.SetMatchETagExcept(etag); err != nil {
			return nil, "", false, err
		}
	}
	body, info, _, err := client.GetObject(ctx, o.bucket, o.prefix+name, options)
	if minio.ToErrorResponse(err).StatusCode == http.StatusNotModified {
		return nil, etag, false, nil
	}
	if err != nil {
		return nil, "", false, fmt.Errorf("read %s: %w", o.where(name), o.explain(err))
	}
	defer body.Close()
	if content, err = io.ReadAll(io.LimitReader(body, limit)); err != nil {
		return nil, "", false, fmt.Errorf("read %s: %w", o.where(name), o.explain(err))
	}
	return content, info.ETag, true, nil
}

// download makes a file of an object, of which info is known, and verifies it.
func (o *objects) download(ctx context.Context, name string, info minio.ObjectInfo, file string) error {
	var err error
	for range attempts {
		if err = o.attempt(ctx, name, info, file); err == nil || ctx.Err() != nil || fault.KindOf(err) != fault.Unavailable {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("download %s: %w", o.where(name), err)
	}
	return nil
}

// attempt is Unavailable when another one can help.
func (o *objects) attempt(ctx context.Context, name string, info minio.ObjectInfo, file string) (err error) {
	ctx, watch := watch(ctx, o.stall)
	defer watch.stop()
	options := minio.GetObjectOptions{}
	if err := options.SetMatchETag(info.ETag); err != nil {
		return err
	}
	body, _, _, err := o.client.GetObject(ctx, o.bucket, o.prefix+name, options)
	if err != nil {
		return o.explain(watch.explain(err))
	}
	defer body.Close()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() {
		if closed := f.Close(); err == nil {
			err = closed
		}
	}()
	h := sha256.New()
	in := &source{r: io.TeeReader(io.LimitReader(body, info.Size+1), watch)}
	size, err := io.Copy(io.MultiWriter(f, h), in)
	switch sum := hex.EncodeToString(h.Sum(nil)); {
	case in.err != nil:
		return fault.Wrap(fault.Unavailable, watch.explain(in.err), "it was cut off after %d of %d bytes", size, info.Size)
	case err != nil:
		return err
	case size != info.Size:
		return fault.New(fault.Unavailable, "it was cut off after %d of %d bytes", size, info.Size)
	case sum != info.UserMetadata[sumKey]:
		return fault.New(fault.Conflict, "its SHA-256 is %s, and has to be %s: it is damaged, and is not used", sum, info.UserMetadata[sumKey])
	}
	return f.Sync()
}

// source keeps the error of what is read apart from that of what is written.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// list says when each object was put whose name begins with prefix.
func (o *objects) list(ctx context.Context, prefix string) (map[string]time.Time, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all := map[string]time.Time{}
	for info := range o.client.ListObjectsIter(ctx, o.bucket, minio.ListObjectsOptions{Prefix: o.prefix + prefix, Recursive: true}) {
		if info.Err != nil {
			return nil, fmt.Errorf("list %s: %w", o.where(prefix), o.explain(info.Err))
		}
		all[strings.TrimPrefix(info.Key, o.prefix)] = info.LastModified
	}
	return all, nil
}

// remove removes an object; one that is not there is no error.
func (o *objects) remove(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, smallLimit)
	defer cancel()
	if err := o.client.RemoveObject(ctx, o.bucket, o.prefix+name, minio.RemoveObjectOptions{}); err != nil {
		if err = o.explain(err); fault.KindOf(err) != fault.NotFound {
			return fmt.Errorf("remove %s: %w", o.where(name), err)
		}
	}
	return nil
}

// watchdog ends a transfer in which nothing moves.
type watchdog struct {
	timer  *time.Timer
	after  time.Duration
	cancel context.CancelCauseFunc
	ctx    context.Context
}

var errStalled = errors.New("nothing came or went for too long")

// watch gives a context for a transfer that tells the watchdog of its progress.
func watch(ctx context.Context, after time.Duration) (context.Context, *watchdog) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watchdog{after: after, cancel: cancel, ctx: ctx}
	w.timer = time.AfterFunc(after, func() { cancel(errStalled) })
	return ctx, w
}

func (w *watchdog) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// explain says that a transfer stalled where that is what ended it.
func (w *watchdog) explain(err error) error {
	if err != nil && errors.Is(context.Cause(w.ctx), errStalled) {
		return fmt.Errorf("%w for %v", errStalled, w.after)
	}
	return err
}

// Read is called with what has been sent.
func (w *watchdog) Read(p []byte) (int, error) {
	w.timer.Reset(w.after)
	return len(p), nil
}

// Write is called with what has been received.
func (w *watchdog) Write(p []byte) (int, error) {
	w.timer.Reset(w.after)
	return len(p), nil
}
