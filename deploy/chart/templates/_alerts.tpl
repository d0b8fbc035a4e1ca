{{- /* One page in docs/runbooks for each. */ -}}
{{- define "pullkey.alerts" -}}
- alert: PullkeyCredentialExpiring
  expr: max by (cluster, account) (pullkey_credential_expiry_timestamp_seconds) - time() < {{ .Values.metrics.prometheusRule.expiringSeconds }}
  for: 1m
  labels:
    severity: critical
  annotations:
    summary: 'The credential of {{ "{{ $labels.account }}" }} ends in {{ "{{ $value | humanizeDuration }}" }} and was not renewed.'
    {{- include "pullkey.runbook" (list . "PullkeyCredentialExpiring") | nindent 4 }}
- alert: PullkeyNoCredential
  expr: max by (cluster, account, state) (pullkey_account_state{state=~"expired|refused|missing"}) == 1
  for: 5m
  labels:
    severity: critical
  annotations:
    summary: 'There is no credential for {{ "{{ $labels.account }}" }} ({{ "{{ $labels.state }}" }}): its private images cannot be pulled.'
    {{- include "pullkey.runbook" (list . "PullkeyNoCredential") | nindent 4 }}
- alert: PullkeyAccountDegraded
  expr: max by (cluster, account) (pullkey_account_state{state="degraded"}) == 1
  for: 10m
  labels:
    severity: warning
  annotations:
    summary: 'The credential of {{ "{{ $labels.account }}" }} lives and cannot be renewed.'
    {{- include "pullkey.runbook" (list . "PullkeyAccountDegraded") | nindent 4 }}
- alert: PullkeyConfigurationInvalid
  expr: max by (cluster) (pullkey_config_valid) == 0
  for: 5m
  labels:
    severity: warning
  annotations:
    summary: 'ConfigMap {{ .Values.configuration }} is missing or wrong: the last valid one, if any, stays in force.'
    {{- include "pullkey.runbook" (list . "PullkeyConfigurationInvalid") | nindent 4 }}
{{- if or (include "pullkey.injects" .) (include "pullkey.hooks" .) }}
- alert: PullkeyNotInjected
  expr: max by (cluster) (pullkey_injection_active) == 0
  for: 10m
  labels:
    severity: warning
  annotations:
    summary: 'Pods are born without the name {{ .Values.secretName }}: those whose ServiceAccount has it not cannot pull.'
    {{- include "pullkey.runbook" (list . "PullkeyNotInjected") | nindent 4 }}
{{- end }}
- alert: PullkeyForeignSecrets
  expr: max by (cluster) (pullkey_foreign_secrets) > 0
  for: 15m
  labels:
    severity: warning
  annotations:
    summary: 'In {{ "{{ $value }}" }} chosen namespaces {{ .Values.secretName }} is somebody else''s: pullkey leaves them alone.'
    {{- include "pullkey.runbook" (list . "PullkeyForeignSecrets") | nindent 4 }}
- alert: PullkeyRefusedNamespaces
  expr: max by (cluster) (pullkey_refused_namespaces) > 0
  for: 15m
  labels:
    severity: warning
  annotations:
    summary: 'In {{ "{{ $value }}" }} namespaces the API server refuses what pullkey writes: a quota, a policy or a webhook.'
    {{- include "pullkey.runbook" (list . "PullkeyRefusedNamespaces") | nindent 4 }}
- alert: PullkeyAbsent
  expr: absent(pullkey_config_valid{{ with .Values.cluster }}{cluster={{ quote . }}}{{ end }})
  for: 5m
  labels:
    severity: critical
  annotations:
    summary: No replica of pullkey-controller is seen. What it made stays, and is renewed by nobody.
    {{- include "pullkey.runbook" (list . "PullkeyAbsent") | nindent 4 }}
{{- end }}

{{- /* Where an alert's page is: of this repository, or with an address. */ -}}
{{- define "pullkey.runbook" -}}
{{- $page := print (last .) ".md" -}}
{{- with (first .).Values.metrics.prometheusRule.runbooks -}}
runbook_url: {{ . }}/{{ $page }}
{{- else -}}
runbook: docs/runbooks/{{ $page }}
{{- end }}
{{- end }}
