package registry

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChallengesAreReadAsRegistriesWriteThem(t *testing.T) {
	t.Parallel()
	bearer := func(params ...string) Challenge {
		ch := Challenge{Scheme: "Bearer", Params: map[string]string{}}
		for i := 0; i < len(params); i += 2 {
			ch.Params[params[i]] = params[i+1]
		}
		return ch
	}
	basic := Challenge{Scheme: "Basic", Params: map[string]string{"realm": "x"}}
	negotiate := Challenge{Scheme: "Negotiate", Params: map[string]string{}}
	for _, c := range []struct {
		name    string
		headers []string
		want    []Challenge
	}{
		{
			"ACR's",
			[]string{`Bearer realm="https://dockerauth.cn-hangzhou.aliyuncs.com/auth",service="registry.aliyuncs.com:cn-shanghai:26842",scope="repository:ns/app:pull"`},
			[]Challenge{bearer("realm", "https://dockerauth.cn-hangzhou.aliyuncs.com/auth", "service", "registry.aliyuncs.com:cn-shanghai:26842", "scope", "repository:ns/app:pull")},
		},
		{
			"blanks, capitals and values without quotes",
			[]string{`bearer Realm = "https://a/t" , SERVICE=svc`},
			[]Challenge{{"bearer", map[string]string{"realm": "https://a/t", "service": "svc"}}},
		},
		{"several in one header", []string{`Negotiate, Basic realm="x", Bearer realm="https://a/t",service="s"`}, []Challenge{negotiate, basic, bearer("realm", "https://a/t", "service", "s")}},
		{"several in several headers", []string{`Negotiate`, `Basic realm="x"`, `Bearer realm="r"`}, []Challenge{negotiate, basic, bearer("realm", "r")}},
		{"a token instead of parameters", []string{`Negotiate YIIg/+==, Basic realm="x"`}, []Challenge{negotiate, basic}},
		{"a comma and an escaped quote inside a value", []string{`Bearer realm="a,b=\"c\"",scope="repository:a:pull,push"`}, []Challenge{bearer("realm", `a,b="c"`, "scope", "repository:a:pull,push")}},
		{"a parameter twice: the first counts", []string{`Bearer realm="good",realm="evil"`}, []Challenge{bearer("realm", "good")}},
		{"commas too many", []string{`,, Bearer realm="r",,service="s",`}, []Challenge{bearer("realm", "r", "service", "s")}},
		{"a scheme alone", []string{"Basic"}, []Challenge{{"Basic", map[string]string{}}}},
		{"nothing", nil, nil},
		{"an empty header", []string{" "}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseChallenges(c.headers)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestChallengesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, header, want string }{
		{"a parameter first", `realm="x"`, "begins with a parameter"},
		{"a quote that does not end", `Bearer realm="x`, "does not end"},
		{"no name", `Bearer "x"`, "a name is needed"},
		{"three hundred", strings.Repeat(`Bearer realm="x", `, 300), "more than 16 challenges"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got, err := ParseChallenges([]string{c.header}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v; want an error with %q", got, err, c.want)
			}
		})
	}
	if _, err := ParseChallenges(strings.Split(strings.Repeat("Basic;", 300), ";")); err == nil {
		t.Error("three hundred headers are read")
	}
}

func FuzzChallenges(f *testing.F) {
	for _, seed := range []string{
		`Bearer realm="https://a/t",service="s",scope="repository:a:pull,push"`, `Negotiate YII=, Basic realm=x`, `a b= c`, "Bearer realm=\"\\", "\x00=,",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		list, err := ParseChallenges([]string{header})
		if err != nil {
			return
		}
		if len(list) > maxChallenges {
			t.Fatalf("%d challenges", len(list))
		}
		// What was read, written in the strictest form, is read the same again.
		var b strings.Builder
		for i, ch := range list {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(ch.Scheme)
			sep := " "
			for name, value := range ch.Params {
				b.WriteString(sep + name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`)
				sep = ","
			}
		}
		again, err := ParseChallenges([]string{b.String()})
		if err != nil {
			t.Fatalf("%q: %v", b.String(), err)
		}
		if diff := cmp.Diff(list, again); diff != "" {
			t.Errorf("%q (-first +again):\n%s", b.String(), diff)
		}
	})
}
