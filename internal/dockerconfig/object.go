package dockerconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// object reads a JSON object into its fields and leaves their values as they
// stand. encoding/json would take the last of two fields of one name in
// silence; here that is an error. Its own errors quote the document, so only
// the place is kept of them.
func object(data []byte, what string) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	bad := func(problem string) error {
		return fmt.Errorf("docker configuration: %s, byte %d: %s", what, d.InputOffset(), problem)
	}
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, bad("a JSON object is needed")
	}
	fields := map[string]json.RawMessage{}
	for d.More() {
		token, err := d.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, bad("the name of a field is needed")
		}
		if _, twice := fields[name]; twice {
			return nil, bad("a field is given twice")
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, bad("the value is not JSON")
		}
		fields[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, bad("the object does not end")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, bad("something follows the object")
	}
	return fields, nil
}
