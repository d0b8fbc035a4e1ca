package acrconfig

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const head = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: acr-configuration\n  namespace: kube-system\n"

// indent moves the lines of a text in.
func indent(by int, text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if line != "" {
			lines[i] = strings.Repeat(" ", by) + line
		}
	}
	return strings.Join(lines, "\n")
}

func TestParseFileReadsWhatPeopleKeep(t *testing.T) {
	t.Parallel()
	x1 := instances(Instance{ID: "cri-x1", Region: "cn-hangzhou"})
	x1.Namespaces = Names{All: true}
	data := "data:\n  acr-api-version: 2018-12-01\n  acr-registry-info: |\n    - instanceId: cri-x1\n  watch-namespace: all\n"
	other := "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: other\ndata:\n  run.sh: |\n    [[ [[ [[ [[ [[ [[ [[ [[ [[ [[ [[\n"
	for _, c := range []struct{ name, text string }{
		{"a manifest", head + data},
		{"with comments around it and line ends of Windows", strings.ReplaceAll("# ours\n---\n"+head+data+"...\n", "\n", "\r\n")},
		{"with a byte order mark", "\ufeff" + head + data},
		{"among other documents", other + "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: acr-configuration\ndata:\n  a: Yg==\n---\n" + head + data + "---\n"},
		{"in a list", "apiVersion: v1\nkind: List\nitems:\n- " + strings.TrimPrefix(indent(2, other), "  ") + "- " + strings.TrimPrefix(indent(2, head+data), "  ")},
		{"in a list of the API server's", `{"kind":"ConfigMapList","apiVersion":"v1","items":[{"metadata":{"name":"acr-configuration"},"data":{"acr-registry-info":"- instanceId: cri-x1\n","watch-namespace":"all"}}]}`},
		{"in JSON", "{\n\t\"kind\": \"ConfigMap\",\n\t\"metadata\": {\"name\": \"acr-configuration\"},\n\t\"data\": {\n\t\t\"acr-registry-info\": \"- instanceId: \\\"cri-x1\\\"\\n\",\n\t\t\"watch-namespace\": \"all\"\n\t}\n}\n"},
		{"the add-on's JSON inside", head + "data:\n  addon-configuration: |\n    {\"AcrInstanceInfo\":[{\"instanceId\":\"cri-x1\"}],\n     \"watchNamespace\":\"all\"}\n"},
		{"the add-on's JSON alone", "{\n\t\"AcrInstanceInfo\": [{\"instanceId\": \"cri-x1\"}],\n\t\"watchNamespace\": \"all\"\n}\n"},
		{"a key without a value", head + data + "  notify-email:\n  rrsa: null\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, warnings, err := ParseFile([]byte(c.text), hangzhou)
			if err != nil || len(warnings) > 0 {
				t.Fatal(err, warnings)
			}
			if diff := cmp.Diff(x1, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Each line that has BAD in it has a mistake, and is found in the file.
func TestAMistakeIsFoundInTheFile(t *testing.T) {
	t.Parallel()
	const list = "# ours\n\n- instanceId: \"cri-x1\"\n  regionId: cn-BAD\n\n- instanceId: ''\n  expireDuration: BAD\n"
	quoted := strconv.Quote(list)
	for _, c := range []struct {
		name, text string
		lines      []int // 0 where it is not certain
	}{
		{"after |", head + "data:\n  acr-registry-info: |\n" + indent(4, list), nil},
		{"after |, far in", head + "data:\n  acr-registry-info: | # the list\n" + indent(11, list), nil},
		{"after |-", head + "data:\n  acr-registry-info: |-\n" + indent(3, list), nil},
		{"after |+ with lines below it", head + "data:\n  acr-registry-info: |+\n" + indent(4, list) + "\n\n\n  watch-namespace: all\n", nil},
		{"after |2", head + "data:\n  acr-registry-info: |2\n" + indent(4, "\n"+list), nil},
		{"after | with a first line further in", head + "data:\n  acr-registry-info: |2\n" + indent(4, "  "+list), nil},
		{"with empty lines first", head + "data:\n  acr-registry-info: |\n\n   \n" + indent(4, list), nil},
		{"with line ends of Windows", strings.ReplaceAll(head+"data:\n  acr-registry-info: |\n"+indent(4, list), "\n", "\r\n"), nil},
		{"after |, in the last document", "a: b\n---\n" + head + "data:\n  acr-registry-info: |\n" + indent(4, list), nil},
		{"after |, in a list", "kind: List\nitems:\n- " + strings.TrimPrefix(indent(2, head+"data:\n  acr-registry-info: |\n"+indent(4, list)), "  "), nil},
		{"after >-, lines further in stay lines", head + "data:\n  acr-registry-info: >-\n" + indent(4, "- instanceId: cri-x1\n  regionId: cn-BAD\n\n\n- instanceId: ''\n  expireDuration: BAD\n"), nil},
		{"after >, with empty lines first and between", head + "data:\n  acr-registry-info: >\n\n" + indent(4, "# ours\n\n- instanceId: cri-x1\n\n  regionId: cn-BAD\n  # theirs\n\n- expireDuration: BAD\n"), nil},
		{"after >2", head + "data:\n  acr-registry-info: >2\n" + indent(4, " - instanceId: cri-x1\n   regionId: cn-BAD\n"), nil},
		{"after >, in one of two lines that are joined", head + "data:\n  watch-namespace: >\n    a,\n    B_AD\n\n    C_BAD\n", []int{0, 11}},
		{"plain", head + "data:\n  watch-namespace: a,B_AD # ours\n", []int{7}},
		{"plain, below its key", head + "data:\n  watch-namespace:\n    a,B_AD\n", []int{8}},
		{"plain, over two lines", head + "data:\n  watch-namespace: a,\n    B_AD\n", []int{0}},
		{"in quotation marks", head + "data:\n  watch-namespace: \"a,B_AD\"\n  service-account: 'A'\n", []int{8, 7}},
		{"in quotation marks, over two lines", head + "data:\n  watch-namespace: \"a,\n    B_AD\"\n", []int{0}},
		{"in single ones, over two lines", head + "data:\n  watch-namespace: 'a,''\n    B_AD'\n", []int{0}},
		{"a whole list in quotation marks", head + "data:\n  acr-registry-info: " + quoted + "\n", []int{7, 7}},
		{"in JSON over lines", "{\n\"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"acr-configuration\"},\n\"data\": {\n\"rrsa\": \"\",\n\"acr-registry-info\":\n" + quoted + "\n}}", []int{6, 6}},
		{"in JSON in one line", `{"kind":"ConfigMap","metadata":{"name":"acr-configuration"},"data":{"acr-registry-info":` + quoted + `}}`, []int{1, 1}},
		{"after letters of two columns", "# 配置\nkind: ConfigMap\nmetadata: {name: acr-configuration, comment: 配置}\ndata: {rrsa: \"\", 配置: a, watch-namespace: \"B_AD\"}\n", []int{4}},
		{"the add-on's JSON alone", "\n{\"AcrInstanceInfo\":[\n{\"instanceId\":\"cri-x1\",\n\"regionId\":\"BAD\"}]}", nil},
		{"the add-on's JSON inside", head + "data:\n  addon-configuration: |\n    {\"AcrInstanceInfo\":[\n    {\"instanceId\":\"cri-x1\",\n      \"regionId\":\"BAD\"}]}", nil},
		{"a whole key", head + "data:\n  rrsa: \"\"\n  watch-namespaces: all\n", []int{8}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			want := c.lines
			for i, line := range strings.Split(c.text, "\n") {
				if c.lines == nil && strings.Contains(line, "BAD") {
					want = append(want, i+1)
				}
			}
			_, _, err := ParseFile([]byte(c.text), hangzhou)
			var got []int
			for _, e := range problems(err) {
				got = append(got, e.FileLine)
				if alone := c.name == "the add-on's JSON alone"; alone != (e.Key == "") { // that has no keys
					t.Error(e)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%v\n(-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestWarningsAreFoundInTheFile(t *testing.T) {
	t.Parallel()
	_, warnings, err := ParseFile([]byte(head+"data:\n  acr-registry-info: |\n    - instanceId: cri-x1\n      colour: red\n  webhook-configuration: '{enable: true, taste: sweet}'\n  taste: sweet\nbinaryData: {}\n"), hangzhou)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, w := range warnings {
		got[w.Key] = w.FileLine
	}
	if diff := cmp.Diff(map[string]int{keyInfo: 9, keyWebhook: 10, "taste": 11, "": 12}, got); diff != "" {
		t.Errorf("%v\n(-want +got):\n%s", warnings, diff)
	}
}

func TestAFileThatIsNoConfigurationIsRefused(t *testing.T) {
	t.Parallel()
	named := func(name string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + name + "\ndata:\n  watch-namespace: all\n"
	}
	const marker = "SHOWN"
	for _, c := range []struct {
		name, text string
		line       int
		says, hint string
	}{
		{"nothing", "", 0, "nothing in it", "kind"},
		{"comments", "# " + marker + "\n---\n", 0, "nothing in it", "kind"},
		{"a Secret", "# a\napiVersion: v1\nkind: Secret\nmetadata:\n  name: acr-configuration\nstringData:\n  watch-namespace: " + marker, 2, "this is a Secret", "never put a Secret"},
		{"a Deployment", "kind: Deployment\nmetadata: {name: " + marker + "}", 1, "another kind of object", "manifest of the ConfigMap"},
		{"another kind that nobody knows", "kind: " + marker, 1, "another kind of object", "manifest of the ConfigMap"},
		{"Secrets and others", "kind: Secret\ndata: {a: " + marker + "}\n---\nkind: Deployment\n", 1, "no ConfigMap among", "manifest of the ConfigMap"},
		{"an empty list", "kind: List\nitems: []\n", 0, "nothing in it", "manifest of the ConfigMap"},
		{"keys alone", "watch-namespace: " + marker + "\n", 1, "keys of the ConfigMap without the ConfigMap", `below "data:"`},
		{"a list of instances", "- instanceId: " + marker + "\n", 1, "no ConfigMap", "manifest of the ConfigMap"},
		{"a text", marker, 1, "no ConfigMap", "manifest of the ConfigMap"},
		{"several ConfigMaps", named("a") + "---\n" + named("b"), 1, "several ConfigMaps, and none is called acr-configuration", "give one"},
		{"the ConfigMap twice", named("acr-configuration") + "---\n" + named("acr-configuration"), 8, "a second ConfigMap called acr-configuration, after the one in line 1", "give one"},
		{"no data", head, 1, "has no value, and counts as missing", "watch-namespace: all"},
		{"blank data", head + "data:\n  watch-namespace: \" \"\n", 1, "has no value, and counts as missing", "watch-namespace: all"},
		{"data that is a text", head + "data: " + marker + "\n", 6, "data is no list of keys", "below it"},
		{"a list instead of a text", head + "data:\n  acr-registry-info:\n  - instanceId: " + marker + "\n", 7, "the value is no text", `"|"`},
		{"fields instead of a text", head + "data:\n  rrsa:\n    enable: true\n", 7, "the value is no text", `"|"`},
		{"a number", head + "data:\n  expiring-threshold: 15\n", 7, "which the API server refuses", "quotation marks"},
		{"a truth value of old", head + "data:\n  service-account: no\n", 7, "which the API server refuses", "quotation marks"},
		{"a truth value", head + "data:\n  service-account: true\n", 7, "which the API server refuses", "quotation marks"},
		{"a star without quotation marks", head + "data:\n  service-account: *" + marker + "\n", 7, "not YAML from here on", "compare"},
		{"a sign of YAML", head + "data:\n  service-account: !" + marker + " x\n", 7, "meaning in YAML", "quotation marks"},
		{"an alias", head + "data:\n  watch-namespace: &a x\n  service-account: *a\n", 8, "no key with a text", "without & and *"},
		{"a key twice", head + "data:\n  watch-namespace: a\n  watch-namespace: b\n", 8, "given twice", "keep one"},
		{"a tab", head + "data:\n\twatch-namespace: " + marker + "\n", 7, "tab", "blanks alone"},
		{"a template", head + "data:\n  watch-namespace: {{ ." + marker + " }}\n", 7, "a template", "render"},
		{"a block without |", head + "data:\n  acr-registry-info:\n  - instanceId: cri-x1\n    regionId: " + marker + "\n   domains: a\n", 10, "not YAML from here on", "|"},
		{"JSON that breaks off", "{\n\"kind\": \"ConfigMap\",\n\"data\": {\"watch-namespace\": \"" + marker + "\"\n", 3, "not JSON from column", "bracket"},
		{"JSON with an escape that YAML has not", "{\"kind\": \"ConfigMap\",\n\"data\": {\"" + marker + "\": \"\\ud83d\\ude00\"}}", 0, "two escapes", "the character itself"},
		{"a broken file too long to be searched", strings.Repeat("a: "+marker+"\n", maxLines) + "]", 0, "not YAML", "shorten it"},
		{"far too much", strings.Repeat("#", maxFile+1), 0, "larger than 4 MiB", "alone"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, warnings, err := ParseFile([]byte(c.text), hangzhou)
			list := problems(err)
			if len(list) != 1 || len(warnings) > 0 {
				t.Fatal(err, warnings)
			}
			e := list[0]
			if e.Key != "" || e.Line != 0 || e.FileLine != c.line || e.Text != "" || !strings.Contains(e.Problem, c.says) || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("got %#v", *e)
			}
			if said := fmt.Sprintf("%v %+v", e, *e); strings.Contains(said, marker) || !strings.HasPrefix(said, "the file") {
				t.Errorf("it reads %q", said)
			}
			if diff := cmp.Diff(Settings{}, s); diff != "" {
				t.Errorf("settings beside an error:\n%s", diff)
			}
		})
	}
}

func TestTheOnlyConfigMapCountsUnderAnyName(t *testing.T) {
	t.Parallel()
	text := strings.Replace(head, "acr-configuration", "mine", 1) + "data:\n  watch-namespace: all\n---\nkind: Secret\n"
	s, warnings, err := ParseFile([]byte(text), hangzhou)
	want := []string{"the file, line 1: the ConfigMap is not called acr-configuration, the name that the controller looks for unless --configuration names another"}
	if diff := cmp.Diff(want, warned(warnings)); err != nil || !s.Namespaces.All || diff != "" {
		t.Errorf("%v %+v (-want +got):\n%s", err, s, diff)
	}
}

func TestNoErrorOfAFileShowsAnAccessKeySecret(t *testing.T) {
	t.Parallel()
	for _, form := range keyForms {
		text := fmt.Sprintf(form, accessKeySecret)
		for _, file := range []string{
			text,
			head + "data:\n  acr-registry-info: |\n" + indent(4, text),
			head + "data:\n  acr-registry-info: >-\n" + indent(4, text),
			head + "data:\n  acr-registry-info: " + strconv.Quote(text),
			head + "data:\n  acr-registry-info: " + strings.TrimPrefix(text, accessKeySecret), // alone, it has no sign of being one
			head + "data:\n" + indent(2, text),
			head + "data:\n  acr-registry-info:\n" + indent(2, text),
			head + text,
		} {
			_, warnings, err := ParseFile([]byte(file), hangzhou)
			said := fmt.Sprintf("%v %+v", err, warnings)
			for _, e := range problems(err) {
				said += fmt.Sprintf("%#v", *e)
			}
			if strings.Contains(said, accessKeySecret) {
				t.Errorf("%q\nshows it: %s", file, said)
			}
		}
	}
}

func TestAConfigMapInAnotherNamespaceIsWarnedOf(t *testing.T) {
	t.Parallel()
	const text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: acr-configuration, namespace: NAMESPACE}\ndata:\n  watch-namespace: all\n"
	for namespace, warned := range map[string]bool{"kube-system": false, "default": true} {
		_, warnings, err := ParseFile([]byte(strings.Replace(text, "NAMESPACE", namespace, 1)), hangzhou)
		if err != nil || (len(warnings) == 1) != warned {
			t.Errorf("%s: got %v, %v", namespace, warnings, err)
		}
	}
}
