package layout

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// chunk is how much is read and written at a time.
const chunk = 256 << 10

// Partial is content on its way. It is verified from its first byte to its
// last, also when parts of it came at different times.
type Partial struct {
	layout   *Layout
	d        v1.Descriptor
	file     *os.File
	name     string
	verifier digest.Verifier
	offset   int64
	done     bool
	// aside: somebody else is at the same content, and nobody would find what we
	// leave.
	aside bool
}

// Resume begins to keep content, or goes on where an earlier attempt stopped.
// If another one is at it right now, it begins for itself.
func (l *Layout) Resume(d v1.Descriptor) (*Partial, error) {
	if _, err := blobPath(d.Digest); err != nil {
		return nil, err
	}
	p := &Partial{layout: l, d: d, name: path.Join(ingest, string(d.Digest.Algorithm())+"-"+d.Digest.Encoded())}
	mine, err := p.open()
	if err == nil && !mine {
		_ = p.file.Close()
		p.name, p.aside = p.name+"."+rand.Text(), true
		_, err = p.open()
	}
	if err == nil {
		err = p.recall()
	}
	if err != nil {
		if p.file != nil {
			_ = p.file.Close()
		}
		return nil, fmt.Errorf("keep %s in %s: %w", d.Digest, l.dir, err)
	}
	return p, nil
}

// open opens the file and tells whether it is ours alone.
func (p *Partial) open() (mine bool, err error) {
	for {
		if err := p.layout.root.Mkdir(ingest, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return false, err
		}
		if err := p.clear(); err != nil {
			return false, err
		}
		p.file, err = p.layout.root.OpenFile(p.name, os.O_CREATE|os.O_RDWR, 0o644)
		if errors.Is(err, fs.ErrNotExist) {
			continue // somebody removed the folder, which was empty
		}
		if err != nil {
			return false, err
		}
		if err := tryLock(p.file); err != nil {
			return false, notBusy(err)
		}
		// Before the lock was ours, the file may have become a blob.
		there, err := p.layout.root.Stat(p.name)
		if err == nil {
			here, err := p.file.Stat()
			if err != nil {
				return false, err
			}
			if os.SameFile(here, there) {
				return true, nil
			}
		}
		_ = p.file.Close()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
}

// clear removes what is in the way and no file of our own: a link, a pipe.
func (p *Partial) clear() error {
	info, err := p.layout.root.Lstat(p.name)
	if err != nil || info.Mode().IsRegular() {
		return nil //nolint:nilerr // whatever it is, opening the file meets it too
	}
	return p.layout.root.Remove(p.name)
}

// recall reads what is there already into the verifier.
func (p *Partial) recall() error {
	info, err := p.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() > p.d.Size {
		return p.Restart()
	}
	p.verifier = p.d.Digest.Verifier()
	p.offset, err = io.CopyBuffer(p.verifier, io.LimitReader(p.file, p.d.Size), make([]byte, chunk))
	return err
}

// Offset tells how much is there.
func (p *Partial) Offset() int64 { return p.offset }

// Whole tells whether all of it is there.
func (p *Partial) Whole() bool { return p.offset == p.d.Size }

// Write appends.
func (p *Partial) Write(b []byte) (int, error) {
	if int64(len(b)) > p.d.Size-p.offset {
		return 0, ErrTooLong
	}
	n, err := p.file.Write(b)
	p.offset += int64(n)
	_, _ = p.verifier.Write(b[:n]) // a hash takes all
	if err != nil {
		return n, fmt.Errorf("keep %s in %s: %w", p.d.Digest, p.layout.dir, err)
	}
	return n, nil
}

// ReadFrom appends all that comes from r, in large pieces. What came before an
// error is kept.
func (p *Partial) ReadFrom(r io.Reader) (n int64, err error) {
	buffer := make([]byte, chunk)
	for {
		var got int
		var err error
		for got < len(buffer) && err == nil {
			var more int
			more, err = r.Read(buffer[got:])
			got += more
		}
		wrote, failed := p.Write(buffer[:got])
		n += int64(wrote)
		switch {
		case failed != nil:
			return n, failed
		case errors.Is(err, io.EOF):
			return n, nil
		case err != nil:
			return n, err
		}
	}
}

// Restart forgets what is there.
func (p *Partial) Restart() error {
	p.offset, p.verifier = 0, p.d.Digest.Verifier()
	if err := p.file.Truncate(0); err != nil {
		return fmt.Errorf("begin %s anew: %w", p.d.Digest, err)
	}
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("begin %s anew: %w", p.d.Digest, err)
	}
	return nil
}

// Commit makes it a blob if it is whole and right.
func (p *Partial) Commit() error {
	if !p.Whole() {
		return fmt.Errorf("%s has %d of %d bytes: %w", p.d.Digest, p.offset, p.d.Size, io.ErrUnexpectedEOF)
	}
	if !p.verifier.Verified() {
		return ErrWrongContent
	}
	target, err := blobPath(p.d.Digest)
	if err == nil {
		err = p.layout.root.MkdirAll(path.Dir(target), 0o755)
	}
	if err == nil {
		err = p.layout.root.Rename(p.name, target)
	}
	if err != nil {
		return fmt.Errorf("keep %s in %s: %w", p.d.Digest, p.layout.dir, err)
	}
	p.done = true
	return nil
}

// Close keeps what has come for another time.
func (p *Partial) Close() error {
	if !p.done && (p.offset == 0 || p.aside) {
		_ = p.layout.root.Remove(p.name)
	}
	return p.file.Close()
}
