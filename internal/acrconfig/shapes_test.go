package acrconfig

import "testing"

// What the vendor's pages print wrongly stands in clusters. Each is named with
// what to write instead. (The two that mean one thing for certain, domains
// quoted one by one and instances that are all commented out, are read: see
// TestParseReadsWhatUsersHave.)
func TestTheShapesOfTheVendorsPagesAreNamedWithTheirRemedy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, key, text string
		want            told
	}{
		{"a comment with slashes", keyInfo, "- instanceId: cri-x1\n  customAccessKey: \"xxxxx\" // the id\n  customAccessKeySecret: \"xxxxx\" // the secret\n", told{2, "customAccessKey: [redacted]", `"//" begins no comment`, `begin comments with "#"`}},
		{"the same without quotation marks", keyInfo, "- instanceId: cri-x1 // ours\n", told{1, "- instanceId: cri-x1 // ours", `"//" begins no comment`, `begin comments with "#"`}},
		{"behind domains", keyInfo, "- instanceId: cri-x1\n  domains: \"a.io\",\"b.io\" // ours\n", told{2, `domains: "a.io","b.io" // ours`, `"//" begins no comment`, `begin comments with "#"`}},
		{"a second line further in", keyInfo, "- instanceId: \"\"\n    regionId: \"cn-hangzhou\"\n", told{2, `regionId: "cn-hangzhou"`, "column of the fields above", "in the same column, two after its dash"}},
		{"a second line less far in", keyInfo, "- instanceId: \"\"\nregionId: \"cn-hangzhou\"\n", told{2, `regionId: "cn-hangzhou"`, "column of the fields above", "in the same column"}},
		{"watch-namespace inside the block", keyInfo, "- instanceId: cri-x1\nwatch-namespace: \"all\"\n", told{2, `watch-namespace: "all"`, "is a key of the ConfigMap and stands inside the text of acr-registry-info", "move it out of the block"}},
		{"the add-on's key inside the block", keyInfo, "- instanceId: cri-x1\n  addon-configuration: x\n", told{2, "addon-configuration: x", "is a key of the ConfigMap", "move it out of the block"}},
		{"service-account inside rrsa", keyRRSA, "enable: true\n service-account: \"*\"\n", told{2, `service-account: "*"`, "is a key of the ConfigMap and stands inside the text of rrsa", "move it out of the block"}},
		{"a tab", keyInfo, "- instanceId: \"\"\n\tregionId: \"cn-hangzhou\"\n", told{2, `regionId: "cn-hangzhou"`, "tab or a no-break space", "indent with blanks alone"}},
		{"a no-break space", keyInfo, "- instanceId: \"\"\n\u00a0 regionId: \"cn-hangzhou\"\n", told{2, `regionId: "cn-hangzhou"`, "tab or a no-break space", "indent with blanks alone"}},
		{"an ideographic space", keyWebhook, "enable: true\n\u3000timeout-seconds: 10\n", told{2, "timeout-seconds: 10", "tab or a no-break space", "indent with blanks alone"}},
		{"domains quoted one by one over lines", keyInfo, "- instanceId: cri-x1\n  domains: \"a.io\",\n    \"b.io\"\n", told{2, `domains: "a.io",`, "more than one text", "domains: a.example.com,b.example.com"}},
		{"two regions quoted one by one", keyInfo, "- instanceId: cri-x1\n  regionId: \"cn-a\",\"cn-b\"\n", told{2, `regionId: "cn-a","cn-b"`, "more than one text", "write one text"}},
		{"a full-width colon", keyInfo, "- instanceId: cri-x1\n  regionId：cn-hangzhou\n", told{2, "regionId：cn-hangzhou", "full-width", `write ":" with a blank`}},
		{"no blank after the colon", keyInfo, "- instanceId: cri-x1\n  regionId:cn-hangzhou\n", told{2, "regionId:cn-hangzhou", "no blank after the colon", `write ":" with a blank`}},
		{"rrsa without a blank", keyRRSA, "enable:true", told{1, "enable:true", "not a list of fields", "write enable: true"}},
		{"rrsa as JSON that breaks off", keyRRSA, "{\"enable\": true", told{1, `{"enable": true`, "not JSON from column", "bracket"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := Parse(one(c.key, c.text), hangzhou)
			checkTold(t, err, c.key, c.want)
		})
	}
}
