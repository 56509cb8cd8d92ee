package ontap

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// maxPassword bounds what is read from a password file, in bytes.
const maxPassword = 4096

// passwordFile is a password that an administrator may change at any time.
type passwordFile struct {
	path string

	mu    sync.Mutex    // guards value; held across reading the file, never across the network
	value func() string // nil until it is read; a func, because fmt prints the content of all other types
}

// get returns the password, reading the file if it was never read.
func (p *passwordFile) get() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.value == nil {
		if err := p.read(); err != nil {
			return "", err
		}
	}
	return p.value(), nil
}

// renew reads the file again after ONTAP has answered the password refused with
// 401, and says whether the file has another password.
func (p *passwordFile) renew(refused string) (changed bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.value() != refused {
		return true, nil // another call has renewed it already
	}
	if err := p.read(); err != nil {
		return false, err
	}
	return p.value() != refused, nil
}

func (p *passwordFile) read() error {
	f, err := os.Open(p.path)
	if err != nil {
		return fmt.Errorf("ontap password file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPassword+1))
	if err != nil {
		return fmt.Errorf("ontap password file: %w", err)
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	switch {
	case value == "":
		return errors.New("ontap password file is empty")
	case len(b) > maxPassword || strings.ContainsAny(value, "\n\r\x00"):
		return errors.New("ontap password file holds more than one line")
	}
	p.value = func() string { return value }
	return nil
}
