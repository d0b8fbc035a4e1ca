package oracles

import (
	"maps"
	"slices"
	"testing"

	"github.com/pullkey/pullkey/internal/credential"
	"github.com/pullkey/pullkey/lab/localacr"
)

// question asks the cloud, and says what is wrong with the answer.
type question func(*place, credential.AccessKey) error

// exchange is something that a library asks the cloud, and pullkey too, unless
// it is nil.
type exchange struct {
	name    string
	sdk     question
	pullkey pullkey
	// keyless ones are asked once, the others with each kind of key.
	keyless bool
	// answered lets the local cloud answer pullkey's copy of the request. It would
	// refuse one with a nonce, which the library has used.
	answered bool
	differ   differences
}

var exchanges = []exchange{
	{name: "Enterprise token, by cr-20181201", sdk: sdkEnterpriseToken, pullkey: enterpriseToken, differ: join(program, origin)},
	{name: "endpoints, by cr-20181201", sdk: sdkEndpoints, pullkey: endpoints, differ: join(program, origin)},
	{name: "Personal token, by cr-20160607", sdk: sdkPersonalToken, pullkey: personalToken, differ: program},
	{name: "Personal token, by darabonba-openapi", sdk: sdkPersonalBody, pullkey: personalToken, differ: join(program, origin)},
	{name: "Enterprise token, by cr-20181201 with the older signature", sdk: older(sdkEnterpriseToken)},
	{name: "Personal token, by cr-20160607 with the older signature", sdk: older(sdkPersonalToken)},
	{name: "AssumeRole, by credentials-go", sdk: sdkAssumeRole, pullkey: assumeRole, differ: join(program, formStyle, differences{
		"header.x-acs-credentials-provider": "says where the library's key came from; not signed here",
	})},
	{
		name: "AssumeRoleWithOIDC, by credentials-go", sdk: sdkAssumeRoleWithOIDC, pullkey: assumeRoleWithOIDC,
		keyless: true, answered: true, differ: join(program, formStyle),
	},
	{name: "metadata, by credentials-go", sdk: sdkMetadata, pullkey: metadata, keyless: true, answered: true, differ: join(program, differences{
		number:              "the library takes a token for each read, pullkey one for both",
		"header.connection": "pullkey keeps none open to it",
		"header.host":       "the library's is fixed, and goes through a proxy here",
		"header.x-aliyun-ecs-metadata-token-ttl-seconds": "pullkey uses a token at once, and once",
		"header.x-aliyun-ecs-metadata-token":             "is what the service handed out",
	})},
}

func TestTheLocalCloudAcceptsWhatTheVendorsLibrariesSend(t *testing.T) {
	p, requests := newPlace(t), 0
	for _, e := range exchanges {
		keys := p.keys(e)
		for _, name := range slices.Sorted(maps.Keys(keys)) {
			if err := e.sdk(p, keys[name]); err != nil {
				t.Errorf("%s, with %s: %v", e.name, name, err)
			}
			requests += len(p.taken())
		}
	}
	t.Logf("%d requests of %d exchanges were accepted", requests, len(exchanges))
	if refused := slices.DeleteFunc(p.acr.AccessLog().Entries(), func(e localacr.Entry) bool { return e.Status == 200 && e.Code == "" }); len(refused) > 0 {
		t.Errorf("refused were %+v", refused)
	}
}
