package nodeview

import "net/url"

// Settings is whom a file of settings names, as it is told.
func Settings(text []byte, folder, registry string) ([]string, error) {
	all, err := parse(text, nil, folder, host{url: url.URL{Scheme: "https", Host: registry}, registry: true})
	var told []string
	for _, h := range all {
		told = append(told, withoutUser(h.url))
	}
	return told, err
}
