package tour

import (
	"bytes"
	"regexp"
	"sync"
)

// screen is what a command prints, as a person reads it while it comes.
type screen struct {
	opened func(page string) // a page to open was printed; nil where nobody reads

	mu     sync.Mutex
	shown  bytes.Buffer
	people sync.WaitGroup
	err    error // of who opened it; read it after people are done
}

// toOpen is an address that a login asks to open. It ends with its line.
var toOpen = regexp.MustCompile(`(?m)^  (https://\S+/authorize\?\S+)\n`)

// Write implements io.Writer.
func (s *screen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.shown.Write(text)
	if page := toOpen.FindSubmatch(s.shown.Bytes()); page != nil && s.opened != nil {
		open := s.opened
		s.opened = nil
		s.people.Go(func() { open(string(page[1])) })
	}
	return n, err
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.String()
}
