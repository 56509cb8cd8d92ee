package ontap

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// maxPassword bounds what is read from a password file, in bytes.
const maxPassword = 4096

// settle is the pause between two looks at a password file that has changed. Only
// a content that both looks see is a new password: a file may be half-written.
const settle = 250 * time.Millisecond

// looks bounds how often a file that keeps changing is looked at.
const looks = 5

// passwordFile is a password that an administrator may change at any time.
type passwordFile struct {
	login
	verdicts *verdicts

	mu    sync.Mutex // guards value; held across reading the file, never across the network
	value *secret    // nil until the file is read
}

// secret is the content of a password file. It prints as nothing.
type secret struct {
	text func() string // a func, because fmt prints the content of all other types
	sum  sum           // of the whole content, with the final line break
}

// get returns the password, reading the file if it was never read.
func (p *passwordFile) get() (*secret, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.value == nil {
		value, err := p.read()
		if err != nil {
			return nil, err
		}
		p.value = value
	}
	return p.value, nil
}

// allowed returns the password for the next request. If the cluster has refused
// the password, to whichever client of this process, allowed looks at the file
// again; a file with the same content is an error matching ErrPassword.
func (p *passwordFile) allowed(ctx context.Context, wait func(context.Context, time.Duration) error) (*secret, error) {
	now, err := p.get()
	if err != nil || !p.verdicts.refused(p.login, now.sum) {
		return now, err
	}
	changed, err := p.renew(ctx, wait, now)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("%w: it was refused, and now: %w", ErrPassword, err)
	case !changed:
		return nil, ErrPassword
	}
	return p.get()
}

// renew reads the file again after the cluster has refused a password, and says
// whether the file has another content, which is not refused as well.
func (p *passwordFile) renew(ctx context.Context, wait func(context.Context, time.Duration) error, refused *secret) (changed bool, err error) {
	p.mu.Lock()
	known := p.value
	p.mu.Unlock()
	if known.sum != refused.sum && !p.verdicts.refused(p.login, known.sum) {
		return true, nil // another call has renewed it already
	}
	now, err := p.read()
	if err != nil || now.sum == refused.sum || p.verdicts.refused(p.login, now.sum) {
		return false, err
	}
	for range looks {
		if err := wait(ctx, settle); err != nil {
			return false, err
		}
		again, err := p.read()
		if err != nil {
			return false, err
		}
		if again.sum == now.sum {
			p.mu.Lock()
			p.value = now
			p.mu.Unlock()
			return now.sum != refused.sum, nil
		}
		now = again
	}
	return false, nil
}

func (p *passwordFile) read() (*secret, error) {
	f, err := os.Open(p.path)
	if err != nil {
		return nil, fmt.Errorf("ontap password file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPassword+1))
	if err != nil {
		return nil, fmt.Errorf("ontap password file: %w", err)
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	switch {
	case value == "":
		return nil, errors.New("ontap password file is empty")
	case len(b) > maxPassword || strings.ContainsAny(value, "\n\r\x00"):
		return nil, errors.New("ontap password file holds more than one line")
	}
	return &secret{text: func() string { return value }, sum: p.verdicts.sumOf(b)}, nil
}

// refusal is the error of a call that is not sent.
func (p *passwordFile) refusal(r request, err error) *Error {
	message := err.Error()
	if errors.Is(err, ErrPassword) {
		message = "the cluster has refused the password of " + p.user + "; berth sends nothing until " + p.path + " has another content"
		if more := strings.TrimPrefix(err.Error(), ErrPassword.Error()); more != "" {
			message += more
		}
	}
	e := &Error{Op: r.op(), Message: message, err: err}
	if errors.Is(err, ErrPassword) {
		e.HTTP = http.StatusUnauthorized // it would be the answer
	}
	return e
}

// login is what a password is for: no two clients of a process with the same login
// try a refused password twice.
type login struct{ address, user, path string }

// sum stands for the content of a password file.
type sum [sha256.Size]byte

// verdicts are what the clusters said of passwords. A wrong password that many
// tasks try would lock the account. So all clients of a process share theVerdicts.
// It has sums with a key that only this process knows, and no passwords.
type verdicts struct {
	key [sha256.Size]byte

	mu sync.Mutex // guards of; held across nothing
	of map[login]*verdict
}

// verdict is what a cluster said of a login's passwords.
type verdict struct {
	accepted, rejected sum
	trying             chan struct{} // closed when the first request with a password has its answer; nil if there is none
}

var theVerdicts = newVerdicts()

func newVerdicts() *verdicts {
	v := &verdicts{of: map[login]*verdict{}}
	if _, err := rand.Read(v.key[:]); err != nil {
		panic(err) // crypto/rand does not fail
	}
	return v
}

func (v *verdicts) sumOf(content []byte) (out sum) {
	h := hmac.New(sha256.New, v.key[:])
	h.Write(content)
	h.Sum(out[:0])
	return out
}

func (v *verdicts) refused(l login, s sum) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	known := v.of[l]
	return known != nil && known.rejected == s
}

// begin waits while another request is the first one with a password that the
// cluster has not accepted yet, so that a wrong password is tried once and not by
// all at once. The caller calls end with the status of the answer, 0 for none.
func (v *verdicts) begin(ctx context.Context, l login, s sum) (end func(status int), err error) {
	for {
		v.mu.Lock()
		known := v.of[l]
		if known == nil {
			known = &verdict{}
			v.of[l] = known
		}
		if known.accepted == s || known.rejected == s {
			v.mu.Unlock()
			return func(status int) { v.end(l, s, status, nil) }, nil
		}
		if known.trying == nil {
			mine := make(chan struct{})
			known.trying = mine
			v.mu.Unlock()
			return func(status int) { v.end(l, s, status, mine) }, nil
		}
		other := known.trying
		v.mu.Unlock()
		select {
		case <-other:
			// A cluster that did not answer refused nothing: all may go on.
			return func(status int) { v.end(l, s, status, nil) }, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (v *verdicts) end(l login, s sum, status int, mine chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	known := v.of[l]
	switch {
	case status == http.StatusUnauthorized:
		known.rejected = s
		if known.accepted == s {
			known.accepted = sum{}
		}
	case status >= 200 && status < 500:
		// An old refusal counts no longer: the cluster takes this content now.
		known.accepted = s
		if known.rejected == s {
			known.rejected = sum{}
		}
	}
	if mine != nil {
		close(mine)
		known.trying = nil
	}
}
