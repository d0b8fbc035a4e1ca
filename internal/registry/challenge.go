package registry

import (
	"errors"
	"fmt"
	"strings"
)

// maxChallenges bounds what a registry may make us look at.
const maxChallenges = 16

// Challenge is one way to authenticate that a server offers in a header
// WWW-Authenticate (RFC 9110 section 11.6.1).
type Challenge struct {
	// Scheme as the server writes it; compare it with Is.
	Scheme string
	// Params by their names in lower case.
	Params map[string]string
}

// Is compares the scheme without regard to case (RFC 9110 section 11.1).
func (c Challenge) Is(scheme string) bool { return strings.EqualFold(c.Scheme, scheme) }

// ParseChallenges reads headers WWW-Authenticate. Registries send several
// challenges in one header or in several, names in any case, blanks around
// the equals sign, and values with or without quotes; all of that is read.
func ParseChallenges(headers []string) ([]Challenge, error) {
	var all []Challenge
	for _, h := range headers {
		s := scanner{rest: h}
		found, err := s.challenges()
		if err != nil {
			return nil, fmt.Errorf("the header WWW-Authenticate: %w", err)
		}
		if all = append(all, found...); len(all) > maxChallenges {
			return nil, fmt.Errorf("the headers WWW-Authenticate hold more than %d challenges", maxChallenges)
		}
	}
	return all, nil
}

// scanner reads one header from left to right.
type scanner struct{ rest string }

func (s *scanner) challenges() ([]Challenge, error) {
	var list []Challenge
	for {
		s.skip(" \t,")
		if s.rest == "" {
			return list, nil
		}
		name := s.token()
		if name == "" {
			return nil, fmt.Errorf("a name is needed where %q stands", printable(clip(s.rest, 20)))
		}
		if s.skip(" \t"); strings.HasPrefix(s.rest, "=") {
			if len(list) == 0 {
				return nil, errors.New("it begins with a parameter instead of a scheme")
			}
			value, err := s.value()
			if err != nil {
				return nil, err
			}
			// Of two values the first counts; a second one is somebody's addition.
			if params, name := list[len(list)-1].Params, strings.ToLower(name); params[name] == "" {
				params[name] = value
			}
			continue
		}
		if list = append(list, Challenge{Scheme: name, Params: map[string]string{}}); len(list) > maxChallenges {
			return nil, fmt.Errorf("it holds more than %d challenges", maxChallenges)
		}
		s.skipToken68()
	}
}

// value reads "= value", quoted or not.
func (s *scanner) value() (string, error) {
	s.rest = s.rest[1:]
	s.skip(" \t")
	if !strings.HasPrefix(s.rest, `"`) {
		end := strings.IndexAny(s.rest, " \t,")
		if end < 0 {
			end = len(s.rest)
		}
		value := s.rest[:end]
		s.rest = s.rest[end:]
		return value, nil
	}
	var b strings.Builder
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; c {
		case '"':
			s.rest = s.rest[i+1:]
			return b.String(), nil
		case '\\':
			if i++; i < len(s.rest) {
				b.WriteByte(s.rest[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", errors.New("a quoted value does not end")
}

// skipToken68 passes over the single value that some schemes have instead of
// parameters, as in "Negotiate YII=".
func (s *scanner) skipToken68() {
	rest := strings.TrimLeft(s.rest, isToken68)
	rest = strings.TrimLeft(rest, "=")
	end := strings.TrimLeft(rest, " \t")
	if len(rest) < len(s.rest) && (end == "" || end[0] == ',') {
		s.rest = end
	}
}

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	// isToken holds the characters of a token (RFC 9110 section 5.6.2).
	isToken = letters + "!#$%&'*+-.^_`|~"
	// isToken68 holds those of a token68 (RFC 9110 section 11.2).
	isToken68 = letters + "-._~+/"
)

func (s *scanner) token() string {
	rest := strings.TrimLeft(s.rest, isToken)
	name := s.rest[:len(s.rest)-len(rest)]
	s.rest = rest
	return name
}

func (s *scanner) skip(set string) { s.rest = strings.TrimLeft(s.rest, set) }
