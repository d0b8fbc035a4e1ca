package acrconfig

import (
	"fmt"
	"slices"
)

// join makes the instances of the entries. The same instance in the same name
// becomes one. Two that would give one host to one namespace are a conflict:
// a host has one credential in a pull secret.
func join(entries []entry) []Instance {
	var list []entry
	for i, e := range entries {
		for _, o := range entries[:i] {
			if e.conflicts(o) {
				break
			}
		}
		j := slices.IndexFunc(list, func(o entry) bool { return e.sameInstance(o) && e.sameIdentity(o) })
		if j < 0 {
			list = append(list, e)
			continue
		}
		e.v.warn(e.line, "the instance is listed before; the domains of both items are served")
		list[j].Domains = union(list[j].Domains, e.Domains)
	}
	instances := make([]Instance, len(list))
	for i, e := range list {
		instances[i] = e.Instance
	}
	return instances
}

// union joins domains. An instance without any has all of them, and stays so.
func union(a, b []string) []string {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

func (e entry) sameInstance(o entry) bool { return e.ID == o.ID && e.Region == o.Region }

func (e entry) sameIdentity(o entry) bool {
	return e.AssumeRoleARN == o.AssumeRoleARN && e.RRSARoleARN == o.RRSARoleARN && e.RRSAProviderARN == o.RRSAProviderARN &&
		e.AccessKeyFrom == o.AccessKeyFrom && e.AccessKey.ID == o.AccessKey.ID && e.AccessKey.Secret.Equal(o.AccessKey.Secret)
}

// conflicts tells, and reports, that the entry cannot be had beside one above
// it.
func (e entry) conflicts(o entry) bool {
	const hint = "leave it with one of the two, or give each of them namespaces that the other has not"
	same := e.sameInstance(o)
	host, common := e.commonHost(o)
	switch {
	case same && e.sameIdentity(o):
		if slices.Equal(e.Namespaces, o.Namespaces) && e.Endpoint == o.Endpoint && e.ExpireDuration == o.ExpireDuration {
			return false
		}
		e.v.fail(e.line, fmt.Sprintf("the instance is listed in line %d too, with other %s, %s or %s", o.line, fieldNamespaces, fieldAPIEndpoint, fieldExpire), "write one item with all that it needs")
	case e.apart(o):
		return false
	case same && common:
		e.v.fail(e.line, fmt.Sprintf("the instance is listed in line %d too, in another name, so that %s has two credentials", o.line, host), hint)
	case same:
		e.v.fail(e.line, fmt.Sprintf("the instance is listed in line %d too, in another name", o.line), hint)
	case common:
		e.v.fail(e.line, fmt.Sprintf("the domain %s is given to another instance too, in line %d", host, o.line), hint)
	default:
		return false
	}
	return true
}

// apart tells whether no namespace gets the credentials of both.
func (e entry) apart(o entry) bool {
	return len(e.Namespaces) > 0 && len(o.Namespaces) > 0 &&
		!slices.ContainsFunc(e.Namespaces, func(n string) bool { return slices.Contains(o.Namespaces, n) })
}

func (e entry) commonHost(o entry) (string, bool) {
	theirs := o.hosts()
	for _, host := range e.hosts() {
		if slices.Contains(theirs, host) {
			return host, true
		}
	}
	return "", false
}

// hosts are those that an entry claims as far as its text tells: only the
// cloud knows all of an Enterprise instance.
func (e entry) hosts() []string {
	switch {
	case len(e.Domains) > 0:
		return e.Domains
	case e.ID == "":
		var all []string
		for _, name := range personalNames {
			all = append(all, name+"."+e.Region+".aliyuncs.com")
		}
		return all
	case personalForm.MatchString(e.ID):
		rest := "." + e.Region + ".personal.cr.aliyuncs.com"
		return []string{e.ID + rest, e.ID + "-vpc" + rest}
	}
	return nil
}
