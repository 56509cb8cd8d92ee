package nfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

const (
	// storeWindow is how many WRITEs one Store has in flight.
	storeWindow = 8
	// storeBytes bounds what all Stores of a client have in flight, in bytes.
	storeBytes = 3 << 20
	// storeBatch is how many WRITEs are made safe with one COMMIT, so that no
	// more than that of a file has to be sent again.
	storeBatch = 1024
	// storeRounds bounds how often data are sent to a server that keeps
	// forgetting them.
	storeRounds = 10
)

// Range is a part of a file, in bytes.
type Range struct {
	Offset, Length int64
}

// StoreResult tells what Store did.
type StoreResult struct {
	Bytes  int64 // stored, each counted once
	Resent int64 // sent again because the server had forgotten them
}

// Store copies ranges of src to the same offsets of a file and returns when
// they are on stable storage. What fits one WRITE is written FileSync; more is
// written Unstable, several at a time, and committed. When the server's
// verifier shows that it forgot data in between (RFC 1813 §4.8), those are read
// from src and sent again.
//
// src.ReadAt, or Lend if it is a Lender, is called concurrently, and must give the same bytes every time.
// Ranges must not overlap.
func (c *Client) Store(ctx context.Context, h Handle, src io.ReaderAt, ranges ...Range) (StoreResult, error) {
	var res StoreResult
	chunks := c.cut(ranges)
	if len(chunks) == 1 {
		_, err := c.storeChunk(ctx, h, src, chunks[0], FileSync)
		if err == nil {
			res.Bytes = chunks[0].Length
		}
		return res, err
	}
	for len(chunks) > 0 {
		n := min(len(chunks), storeBatch)
		resent, err := c.storeAll(ctx, h, src, chunks[:n])
		res.Resent += resent
		if err != nil {
			return res, err
		}
		for _, r := range chunks[:n] {
			res.Bytes += r.Length
		}
		chunks = chunks[n:]
	}
	return res, nil
}

// cut divides ranges into what one WRITE takes.
func (c *Client) cut(ranges []Range) []Range {
	size := int64(c.WriteSize())
	var chunks []Range
	for _, r := range ranges {
		for r.Length > 0 {
			n := min(r.Length, size)
			chunks = append(chunks, Range{r.Offset, n})
			r.Offset += n
			r.Length -= n
		}
	}
	return chunks
}

// storeAll writes chunks and commits them, until one verifier covers all.
func (c *Client) storeAll(ctx context.Context, h Handle, src io.ReaderAt, chunks []Range) (resent int64, err error) {
	for round := range storeRounds {
		unstable, err := c.storeChunks(ctx, h, src, chunks)
		if err != nil || len(unstable) == 0 {
			return resent, err
		}
		verifier, _, err := c.Commit(ctx, h, 0, 0)
		if err != nil {
			return resent, err
		}
		chunks = chunks[:0:0]
		for _, u := range unstable {
			if u.verifier != verifier {
				chunks = append(chunks, u.Range)
				resent += u.Length
			}
		}
		if len(chunks) == 0 {
			return resent, nil
		}
		// A server that comes up again and again is given a little time.
		if round > 0 && !sleep(ctx, minJukebox) {
			return resent, &Error{Op: "commit", Err: ctx.Err()}
		}
	}
	return resent, &Error{Op: "commit", Err: fmt.Errorf("the server lost unstable writes %d times in a row", storeRounds)}
}

// unstable is a chunk that the server may still forget.
type unstable struct {
	Range
	verifier Verifier
}

// storeChunks writes chunks, several at a time, and returns those that are to
// be committed.
func (c *Client) storeChunks(ctx context.Context, h Handle, src io.ReaderAt, chunks []Range) ([]unstable, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		mu   sync.Mutex // guards next and left
		next int
		left []unstable
		wait sync.WaitGroup
	)
	for range min(storeWindow, len(chunks)) {
		wait.Go(func() {
			for ctx.Err() == nil {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= len(chunks) {
					return
				}
				u, err := c.storeChunk(ctx, h, src, chunks[i], Unstable)
				if err != nil {
					cancel(err)
					return
				}
				mu.Lock()
				left = append(left, u...)
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	if err := ctx.Err(); err != nil {
		if cause := context.Cause(ctx); cause != err {
			return nil, cause
		}
		return nil, &Error{Op: "write", Err: err}
	}
	return left, nil
}

// Lender is a source for Store that has its bytes in memory already.
type Lender interface {
	// Lend returns n bytes at an offset, good until release is called; nil if
	// they have to be asked of ReadAt.
	Lend(n int, off int64) (p []byte, release func(), err error)
}

// load gets a chunk of a source.
func (c *Client) load(src io.ReaderAt, chunk Range) (p []byte, release func(), err error) {
	n := int(chunk.Length)
	if l, ok := src.(Lender); ok {
		if p, release, err = l.Lend(n, chunk.Offset); p != nil || err != nil {
			return p, release, err
		}
	}
	buf := c.nfs.buffers.get(n)
	p = (*buf)[:n]
	if got, err := src.ReadAt(p, chunk.Offset); got < n {
		c.nfs.buffers.put(buf)
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, nil, err
	}
	return p, func() { c.nfs.buffers.put(buf) }, nil
}

// storeChunk writes one chunk, with more than one call if the server takes only
// a part at a time.
func (c *Client) storeChunk(ctx context.Context, h Handle, src io.ReaderAt, chunk Range, stable Stable) (left []unstable, err error) {
	select {
	case c.storing <- struct{}{}:
		defer func() { <-c.storing }()
	case <-ctx.Done():
		return nil, &Error{Op: "write", Err: ctx.Err()}
	}
	p, release, err := c.load(src, chunk)
	if err != nil {
		return nil, &Error{Op: "write", Err: fmt.Errorf("reading the source at %d: %w", chunk.Offset, err)}
	}
	defer release()
	err = c.writeAll(ctx, h, chunk.Offset, p, stable, func(offset int64, res WriteResult) {
		if res.Committed == Unstable {
			left = append(left, unstable{Range{offset, int64(res.N)}, res.Verifier})
		}
	})
	if err != nil {
		return nil, err
	}
	return left, nil
}

// WriteAll writes p at an offset, FileSync, with more than one WRITE where the
// server takes less at a time.
func (c *Client) WriteAll(ctx context.Context, h Handle, offset int64, p []byte) error {
	return c.writeAll(ctx, h, offset, p, FileSync, func(int64, WriteResult) {})
}

// writeAll calls done with what each WRITE has written.
func (c *Client) writeAll(ctx context.Context, h Handle, offset int64, p []byte, stable Stable, done func(offset int64, res WriteResult)) error {
	var tiny tiny
	for part := p; len(p) > 0; part = p[:min(len(p), max(2*len(part), minTransfer))] {
		res, err := c.Write(ctx, h, uint64(offset), part, stable)
		switch {
		case err != nil:
			return err
		case res.N == 0:
			return &Error{Op: "write", Err: fmt.Errorf("%w: a WRITE of %d bytes writes 0", io.ErrNoProgress, len(part))}
		case res.N < len(part) && tiny.again(res.N):
			return &Error{Op: "write", Err: badReply("%d WRITEs in a row write less than %d bytes", tiny, minTransfer)}
		case res.N < len(part):
			part = part[:res.N] // the next one is not much larger
		}
		done(offset, res)
		offset += int64(res.N)
		p = p[res.N:]
	}
	return nil
}
