package nodeview

import (
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
)

// units are the services of a node that reach out, as systemd has their folders of
// additions.
var units = []string{"containerd.service.d", "crio.service.d", "docker.service.d"}

// proxies finds what systemd sets for the runtime (systemd.exec(5), Environment=).
func (l *look) proxies() {
	for _, folder := range l.Folders {
		for _, unit := range units {
			here, _ := l.at(path.Join(folder, unit))
			entries, _ := os.ReadDir(here) // where there is none, there is none
			for _, e := range entries {
				file := path.Join(folder, unit, e.Name())
				if path.Ext(file) != ".conf" {
					continue
				}
				text, err := l.read(file)
				if err != nil {
					l.unread(file, err)
					continue
				}
				all, proxied := proxiesIn(string(text))
				l.view.Proxies, l.view.Proxied = append(l.view.Proxies, all...), l.view.Proxied || proxied
			}
		}
	}
	slices.Sort(l.view.Proxies)
	l.view.Proxies = slices.Compact(l.view.Proxies)
}

// proxiesIn are the variables of proxies in a unit's file, without who logs in there, and
// whether one is set or may be, in a file that is not read.
func proxiesIn(text string) (all []string, proxied bool) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "EnvironmentFile=") {
			proxied = true
			continue
		}
		settings, is := strings.CutPrefix(line, "Environment=")
		if !is {
			continue
		}
		for _, one := range strings.Fields(strings.NewReplacer(`"`, " ", `'`, " ").Replace(settings)) {
			name, value, _ := strings.Cut(one, "=")
			switch strings.ToUpper(name) {
			case "NO_PROXY":
				all = append(all, name+"="+value)
			case "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY":
				all, proxied = append(all, name+"="+proxy(value)), true
			}
		}
	}
	return all, proxied
}

// noAddress stands for one that cannot be read, or not without what logs in.
const noAddress = "(no address)"

// proxy is its address, without who logs in.
func proxy(value string) string {
	full := value
	if !strings.Contains(full, "://") {
		full = "http://" + full
	}
	u, err := url.Parse(full)
	if err != nil || u.Host == "" || u.User == nil && strings.Contains(value, "@") { // a password with a slash would be half of it
		return noAddress
	}
	return u.Scheme + "://" + u.Host
}
