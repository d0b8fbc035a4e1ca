package explain

import (
	"fmt"
	"slices"

	"github.com/pullkey/pullkey/internal/cause"
	"github.com/pullkey/pullkey/internal/runtimeerror"
)

// doubted is a verdict, with what fits as well: a registry that gives tokens to everybody
// says the same of a private image and of one that is not there, as of a public one whose
// name is misspelt. That a login is missing is then no more than possible, unless the
// pod's Secrets show that one was meant.
func (w *walk) doubted(f Finding, err runtimeerror.Error) Verdict {
	v := Verdict{Status: Broken, Finding: f}
	alike := []runtimeerror.Kind{runtimeerror.InsufficientScope, runtimeerror.RepositoryDenied}
	unmeant := []cause.Code{
		cause.AuthNoCredential, cause.RefImplicitHub, cause.KeyHostMismatch, cause.KeyDefaultServer, cause.PodEphemeral, cause.PodSidecar, cause.VolImage, cause.SANotReferenced,
	}
	if f.Certainty == cause.Proven {
		return v
	}
	if f.Code == cause.AuthInvalid && err.Kind == runtimeerror.Unauthorized {
		v.Alternatives = []Finding{{
			Code: cause.AuthChallenge, Link: cause.Challenge, Certainty: cause.Possible,
			Sentence: fmt.Sprintf("%s asks for a login in no way that the runtime knows: the same is said of both", w.parsed.Host()),
			Fixes:    []Fix{{Title: "see the whole conversation", Command: "pullkey token " + quote(w.parsed.String())}},
		}}
		return v
	}
	if f.Code == cause.ScopeDenied && w.best != nil && w.best.Stopped != nil && w.best.Stopped.Obstacle == NotGranted {
		v.Alternatives = []Finding{w.noRepository()}
		return v
	}
	if !slices.Contains(alike, err.Kind) || err.LoginSent != runtimeerror.Unknown || !slices.Contains(unmeant, f.Code) || f.Code == cause.SANotReferenced && w.parsed.Host() != hub {
		return v
	}
	v.Certainty = cause.Possible
	v.Alternatives = []Finding{w.noRepository()}
	return v
}

// noRepository is what a registry says in the same words.
func (w *walk) noRepository() Finding {
	return Finding{
		Code: cause.RepoMissing, Link: cause.Scope, Certainty: cause.Possible,
		Sentence: fmt.Sprintf("%s has no repository %s, or not under that name: a registry says the same of it as of one that is private", w.parsed.Host(), w.parsed.Repository()),
		Fixes:    []Fix{{Title: "look whether it is there, for everybody or for a login of yours", Command: "pullkey token " + quote(w.parsed.String())}},
	}
}

const hub = "docker.io"
