{{- /* Who an object belongs to. */ -}}
{{- define "pullkey.labels" -}}
app.kubernetes.io/name: pullkey
{{- end }}

{{- define "pullkey.selector" -}}
app.kubernetes.io/name: pullkey
app.kubernetes.io/component: controller
{{- end }}

{{- /* The pods that place the credential provider on nodes. */ -}}
{{- define "pullkey.placer" -}}
app.kubernetes.io/name: pullkey
app.kubernetes.io/component: credential-provider
{{- end }}

{{- /* The folders of the node that they write into, each once, in JSON. The first is
where the provider looks for its configuration. */ -}}
{{- define "pullkey.folders" -}}
{{- list "/etc/pullkey" .configDir .binDir | uniq | toJson }}
{{- end }}

{{- define "pullkey.identity" -}}
system:serviceaccount:{{ .Release.Namespace }}:pullkey-controller
{{- end }}

{{- define "pullkey.subjects" -}}
- kind: ServiceAccount
  name: pullkey-controller
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- /* What stands before and behind the slash of namespace/name. */ -}}
{{- define "pullkey.namespaceOf" -}}
{{ splitList "/" . | first }}
{{- end }}

{{- define "pullkey.nameOf" -}}
{{ splitList "/" . | last }}
{{- end }}

{{- define "pullkey.image" -}}
{{- with .Values.image -}}
{{ .registry }}/{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- /* Not empty where the policies that inject are installed. */ -}}
{{- define "pullkey.injects" -}}
{{- $served := .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" }}
{{- if or (eq .Values.inject.policies "always") (and $served (eq .Values.inject.policies "auto")) }}yes{{ end }}
{{- end }}

{{- /* Not empty where the webhook that injects is installed. */ -}}
{{- define "pullkey.hooks" -}}
{{- $asked := or (eq .Values.inject.webhook "always") (and (eq .Values.inject.webhook "auto") (not (include "pullkey.injects" .))) }}
{{- if and $asked (or .Values.inject.pods .Values.inject.serviceAccounts) }}yes{{ end }}
{{- end }}

{{- /* The names that the webhook is reached by, with commas. */ -}}
{{- define "pullkey.hosts" -}}
pullkey-webhook.{{ .Release.Namespace }}.svc
{{- with .Values.webhook.url }},{{ (urlParse .).hostname }}{{ end }}
{{- end }}

{{- /* The same as a certificate has them, in JSON. */ -}}
{{- define "pullkey.subjectNames" -}}
{{- $names := dict "dnsNames" list "ipAddresses" list }}
{{- range include "pullkey.hosts" . | splitList "," }}
{{- $kind := ternary "ipAddresses" "dnsNames" (regexMatch "^[0-9.]+$|:" .) }}
{{- $_ := set $names $kind (append (index $names $kind) .) }}
{{- end }}
{{- toJson $names }}
{{- end }}

{{- /* The data of the webhook's Secret: what the cluster has, if it is for the same
names, or made anew. The authority's key is thrown away. */ -}}
{{- define "pullkey.certificate" -}}
{{- $old := lookup "v1" "Secret" .Release.Namespace .Values.webhook.certificate.secretName | default dict }}
{{- $data := $old.data | default dict }}
{{- $hosts := include "pullkey.hosts" . }}
{{- if and (index $data "ca.crt") (index $data "tls.crt") (index $data "tls.key") (eq $hosts (dig "metadata" "annotations" "pullkey.dev/hosts" "" $old)) }}
{{- pick $data "ca.crt" "tls.crt" "tls.key" | toYaml }}
{{- else }}
{{- $for := include "pullkey.subjectNames" . | fromJson }}
{{- $ca := genCAWithKey "pullkey-webhook" 3650 (genPrivateKey "ecdsa") }}
{{- $made := genSignedCertWithKey "pullkey-webhook" $for.ipAddresses $for.dnsNames 3650 $ca (genPrivateKey "ecdsa") }}
{{- dict "ca.crt" (b64enc $ca.Cert) "tls.crt" (b64enc $made.Cert) "tls.key" (b64enc $made.Key) | toYaml }}
{{- end }}
{{- end }}

{{- /* What all entries of the webhook have: context, resource, failure policy, authority. */ -}}
{{- define "pullkey.hook" -}}
{{- $ := index . 0 -}}
admissionReviewVersions: [v1]
sideEffects: None
failurePolicy: {{ index . 2 }}
# What other admission adds later is looked at too.
reinvocationPolicy: IfNeeded
timeoutSeconds: {{ $.Values.webhook.timeoutSeconds }}
clientConfig:
  {{- with $.Values.webhook.url }}
  url: {{ quote . }}
  {{- else }}
  service:
    name: pullkey-webhook
    namespace: {{ $.Release.Namespace }}
    path: /
  {{- end }}
  {{- with index . 3 }}
  caBundle: {{ . }}
  {{- end }}
rules:
  - apiGroups: [""]
    apiVersions: [v1]
    operations: [CREATE]
    resources: [{{ index . 1 }}]
    scope: Namespaced
{{- end }}

{{- /* The command line. What has no value is left to the program's own default. */ -}}
{{- define "pullkey.args" -}}
- --namespace={{ .Release.Namespace }}
- --secret-name={{ .Values.secretName }}
- --configuration={{ .Values.configuration }}
- --access-key-secret={{ .Values.accessKeySecret }}
- --identity={{ .Values.identity }}
{{- with .Values.region }}
- --region={{ . }}
{{- end }}
{{- if and .Values.rrsa.enabled .Values.rrsa.serviceAccount }}
- --rrsa-service-account={{ .Values.rrsa.serviceAccount }}
{{- end }}
{{- with .Values.endpoints.acr }}
- {{ printf "--acr-endpoint=%s" . | quote }}
{{- end }}
{{- with .Values.endpoints.sts }}
- {{ printf "--sts-endpoint=%s" . | quote }}
{{- end }}
- {{ printf "--metadata-endpoint=%s" .Values.endpoints.metadata | quote }}
{{- if .Values.ca.configMap }}
- --ca-file=/etc/pullkey/ca/{{ .Values.ca.key }}
{{- end }}
{{- range .Values.allowHosts }}
- {{ printf "--allow-host=%s" . | quote }}
{{- end }}
- --after-expiry={{ .Values.afterExpiry }}
- --workers={{ .Values.workers }}
- --pace={{ .Values.pace }}
- --address=:{{ .Values.metrics.port }}
{{- if include "pullkey.hooks" . }}
- --webhook-address=:{{ .Values.webhook.port }}
- --webhook-certificate=/etc/pullkey/webhook
- --webhook-failure-policy={{ .Values.webhook.failurePolicy }}
- --webhook-timeout={{ .Values.webhook.timeoutSeconds }}s
{{- end }}
- --log-format={{ .Values.log.format }}
{{- if .Values.log.verbose }}
- --verbose
{{- end }}
{{- end }}

{{- /* Not empty where the pod gets a token for STS. */ -}}
{{- define "pullkey.projects" -}}
{{- if and .Values.rrsa.enabled (not .Values.rrsa.serviceAccount) }}yes{{ end }}
{{- end }}

{{- define "pullkey.env" -}}
{{- with .Values.rrsa }}
{{- if .enabled }}
{{- with .roleARN }}
- name: ALIBABA_CLOUD_ROLE_ARN
  value: {{ quote . }}
{{- end }}
{{- with .providerARN }}
- name: ALIBABA_CLOUD_OIDC_PROVIDER_ARN
  value: {{ quote . }}
{{- end }}
{{- end }}
{{- end }}
{{- if include "pullkey.projects" . }}
- name: ALIBABA_CLOUD_OIDC_TOKEN_FILE
  value: /var/run/secrets/pullkey.dev/rrsa/token
{{- end }}
{{- with .Values.proxy }}
{{- if .https }}
- name: HTTPS_PROXY
  value: {{ quote .https }}
- name: NO_PROXY
  value: {{ printf "$(KUBERNETES_SERVICE_HOST)%s" (ternary "" (print "," .except) (empty .except)) | quote }}
{{- end }}
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "pullkey.volumes" -}}
{{- if include "pullkey.hooks" . }}
- name: webhook
  secret:
    secretName: {{ .Values.webhook.certificate.secretName }}
    items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]
{{- end }}
{{- if include "pullkey.projects" . }}
- name: rrsa
  projected:
    sources:
      - serviceAccountToken:
          path: token
          audience: sts.aliyuncs.com
          expirationSeconds: 3600
{{- end }}
{{- with .Values.tokenFileSecret }}
- name: addon
  secret:
    secretName: {{ quote . }}
{{- end }}
{{- with .Values.ca.configMap }}
- name: ca
  configMap:
    name: {{ quote . }}
{{- end }}
{{- end }}
