package cluster

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
)

// The service addresses, of which Kubernetes takes the first for itself.
const serviceRange = "10.0.0.0/24"

// startControlPlane starts etcd, API server, controller manager and scheduler,
// and returns when a pod could be created.
func (c *Cluster) startControlPlane(ctx context.Context) error {
	if err := c.prepare(ctx); err != nil {
		return err
	}
	if err := c.startEtcd(ctx); err != nil {
		return err
	}
	if err := c.prepareAPIServer(); err != nil {
		return err
	}
	if err := c.startAPIServer(ctx); err != nil {
		return err
	}
	if err := c.startControllers(ctx); err != nil {
		return err
	}
	// A pod needs its ServiceAccount and the authority that its token's
	// holder will trust; the controller manager makes both.
	for _, path := range []string{"/serviceaccounts/default", "/configmaps/kube-root-ca.crt"} {
		if err := c.waitFor(ctx, "kube-controller-manager", "/api/v1/namespaces/default"+path, anyBody); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) startEtcd(ctx context.Context) error {
	ca, err := newAuthority("pullkey lab etcd")
	if err != nil {
		return err
	}
	for name, who := range map[string]subject{
		"etcd":        {name: "etcd", addresses: []netip.Addr{loopback}},
		"etcd-client": {name: "kube-apiserver"},
	} {
		p, err := ca.issue(who)
		if err != nil {
			return err
		}
		if err := p.write(c.pki(), name); err != nil {
			return err
		}
	}
	if err := os.WriteFile(c.pki("etcd-ca.crt"), ca.pem, 0o600); err != nil {
		return fmt.Errorf("writing etcd's authority: %w", err)
	}
	return c.runEtcd(ctx)
}

func (c *Cluster) runEtcd(ctx context.Context) error {
	return c.run(ctx, "etcd", c.bin.Etcd,
		"--name=lab", "--data-dir="+filepath.Join(c.dir, "etcd"), "--unsafe-no-fsync",
		"--listen-client-urls="+c.etcd, "--advertise-client-urls="+c.etcd,
		"--listen-peer-urls="+c.etcdPeer, "--initial-advertise-peer-urls="+c.etcdPeer, "--initial-cluster=lab="+c.etcdPeer,
		"--cert-file="+c.pki("etcd.crt"), "--key-file="+c.pki("etcd.key"),
		"--trusted-ca-file="+c.pki("etcd-ca.crt"), "--client-cert-auth",
		"--peer-cert-file="+c.pki("etcd.crt"), "--peer-key-file="+c.pki("etcd.key"),
		"--peer-trusted-ca-file="+c.pki("etcd-ca.crt"), "--peer-client-cert-auth",
		"--log-level=warn")
}

// prepareAPIServer writes what the API server reads.
func (c *Cluster) prepareAPIServer() error {
	for name, who := range map[string]subject{
		"apiserver": {
			name:      "kube-apiserver",
			hosts:     []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
			addresses: []netip.Addr{loopback, serviceAddress},
		},
		// The group that Kubernetes itself gives to the API server's client.
		"apiserver-kubelet": {name: "kube-apiserver-kubelet-client", groups: []string{"system:masters"}},
		// Its key signs ServiceAccount tokens; the certificate is not used.
		"service-account": {name: "service-account"},
	} {
		p, err := c.ca.issue(who)
		if err != nil {
			return err
		}
		if err := p.write(c.pki(), name); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(c.dir, "audit-policy.yaml"), []byte(auditPolicy(c.auditSecrets, c.auditResults)), 0o600); err != nil {
		return fmt.Errorf("writing the audit policy: %w", err)
	}
	return nil
}

func (c *Cluster) apiServerArgs() []string {
	args := []string{
		"--etcd-servers=" + c.etcd, "--etcd-cafile=" + c.pki("etcd-ca.crt"),
		"--etcd-certfile=" + c.pki("etcd-client.crt"), "--etcd-keyfile=" + c.pki("etcd-client.key"),
		"--bind-address=" + c.address.Addr().String(), "--secure-port=" + strconv.Itoa(int(c.address.Port())),
		"--advertise-address=" + c.address.Addr().String(),
		"--tls-cert-file=" + c.pki("apiserver.crt"), "--tls-private-key-file=" + c.pki("apiserver.key"),
		"--client-ca-file=" + c.pki("ca.crt"), "--anonymous-auth=false",
		"--service-account-issuer=" + issuer, "--service-account-signing-key-file=" + c.pki("service-account.key"),
		"--service-account-key-file=" + c.pki("service-account.crt"),
		"--service-cluster-ip-range=" + serviceRange,
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--kubelet-certificate-authority=" + c.pki("ca.crt"), "--kubelet-client-certificate=" + c.pki("apiserver-kubelet.crt"),
		"--kubelet-client-key=" + c.pki("apiserver-kubelet.key"),
		"--kubelet-preferred-address-types=InternalIP", // node names are in no DNS
		"--allow-privileged=true",
		// No kube-proxy: the API server finds a webhook's pods itself.
		"--enable-aggregator-routing=true",
	}
	if c.address.Addr().IsLoopback() { // no address for an endpoint
		args = append(args, "--endpoint-reconciler-type=none")
	}
	if c.audit {
		args = append(args, "--audit-policy-file="+filepath.Join(c.dir, "audit-policy.yaml"),
			"--audit-log-path="+c.auditLog(), "--audit-log-maxsize=1000000") // megabytes: never rotated
	}
	return args
}

// issuer names the cluster in the tokens of its ServiceAccounts.
const issuer = "https://kubernetes.default.svc.cluster.local"

// Issuer is who issues the tokens of ServiceAccounts.
func (c *Cluster) Issuer() string { return issuer }

// ServiceAccountKeys returns the keys that verify the tokens of
// ServiceAccounts, a JSON Web Key Set.
func (c *Cluster) ServiceAccountKeys(ctx context.Context) ([]byte, error) {
	return c.get(ctx, "/openid/v1/jwks")
}

// startAPIServer returns when the API server answers that it is ready.
func (c *Cluster) startAPIServer(ctx context.Context) error {
	if err := c.run(ctx, apiServer, c.bin.APIServer, c.apiServerArgs()...); err != nil {
		return err
	}
	return c.waitFor(ctx, apiServer, "/readyz", anyBody)
}

// startControllers starts what works through the API server, each under the
// identity that Kubernetes has for it.
func (c *Cluster) startControllers(ctx context.Context) error {
	for _, name := range []string{"kube-controller-manager", "kube-scheduler"} {
		user := "system:" + name
		if err := c.writeKubeconfig(c.internalKubeconfig(name), c.internalURL(), subject{name: user}); err != nil {
			return err
		}
	}
	err := c.run(ctx, "kube-controller-manager", c.bin.ControllerManager,
		"--kubeconfig="+c.internalKubeconfig("kube-controller-manager"), "--secure-port=0", "--leader-elect=false",
		"--use-service-account-credentials", "--service-account-private-key-file="+c.pki("service-account.key"),
		// Without it kube-root-ca.crt is empty and pods trust nobody.
		"--root-ca-file="+c.pki("ca.crt"),
		// Otherwise it makes a folder in /usr/libexec.
		"--flex-volume-plugin-dir="+filepath.Join(c.dir, "volume-plugins"),
		// The defaults (20 and 30) make 20 default ServiceAccounts a second.
		"--kube-api-qps=500", "--kube-api-burst=1000")
	if err != nil {
		return err
	}
	return c.run(ctx, "kube-scheduler", c.bin.Scheduler,
		"--kubeconfig="+c.internalKubeconfig("kube-scheduler"), "--secure-port=0", "--leader-elect=false",
		"--kube-api-qps=500", "--kube-api-burst=1000")
}

const apiServer = "kube-apiserver"
