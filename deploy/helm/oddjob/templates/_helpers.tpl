{{- define "oddjob.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "oddjob.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "oddjob.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "oddjob.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "oddjob.selector" -}}
app.kubernetes.io/name: {{ include "oddjob.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "oddjob.labels" -}}
{{ include "oddjob.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "oddjob.serviceAccount" -}}
{{- default (ternary (include "oddjob.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{- define "oddjob.image" -}}
{{- $repository := required "image.repository is needed: where your cluster finds the image that script/image made and you pushed" .Values.image.repository }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "oddjob.subjects" -}}
- kind: ServiceAccount
  name: {{ include "oddjob.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- define "oddjob.tls" -}}
{{- if ne .Values.tls.mode "none" }}true{{ end }}
{{- end }}

{{- /* Does the database live on the claim? */}}
{{- define "oddjob.sqlite" -}}
{{- if and (gt (int .Values.replicaCount) 1) (not .Values.postgresql.url) }}
{{- fail "replicaCount: more than one replica needs postgresql.url, because SQLite has one server" }}
{{- end }}
{{- if not .Values.postgresql.url }}true{{ end }}
{{- end }}

{{- /* What the chart knows itself wins over .Values.config. */}}
{{- define "oddjob.config" -}}
{{- $own := dict "listen" (dict "address" "0.0.0.0" "port" 8443) "database" (dict "url" "sqlite:/var/lib/oddjob/oddjob.db") }}
{{- with .Values.postgresql.url }}
{{- $_ := set $own.database "url" . }}
{{- end }}
{{- if and .Values.postgresql.url .Values.postgresql.secretName }}
{{- $_ := set $own.database "passwordFile" "/etc/oddjob/postgresql/password" }}
{{- end }}
{{- if include "oddjob.tls" . }}
{{- $_ := set $own.listen "tlsCertFile" "/etc/oddjob/tls/tls.crt" }}
{{- $_ := set $own.listen "tlsKeyFile" "/etc/oddjob/tls/tls.key" }}
{{- end }}
{{- if .Values.namespaces }}
{{- $_ := set $own "kubernetes" (dict "namespaces" .Values.namespaces) }}
{{- end }}
{{- $auth := dict }}
{{- if .Values.auth.staticTokensSecret }}
{{- $_ := set $auth "staticTokensFile" "/etc/oddjob/tokens/tokens.yaml" }}
{{- end }}
{{- if .Values.apiService.enabled }}
{{- $_ := set $auth "frontProxy" true }}
{{- end }}
{{- if .Values.auth.oidc }}
{{- if dig "auth" "oidc" nil .Values.config }}
{{- fail "auth.oidc and config.auth.oidc: the issuers stand in one of them" }}
{{- end }}
{{- $issuers := list }}
{{- range $i, $issuer := .Values.auth.oidc }}
{{- if and $issuer.caBundle $issuer.caFile }}
{{- fail (printf "auth.oidc[%d]: caBundle or caFile, not both" $i) }}
{{- end }}
{{- $file := ternary (dict "caFile" (printf "/etc/oddjob/config/oidc-%d-ca.crt" $i)) dict (not (empty $issuer.caBundle)) }}
{{- $issuers = append $issuers (merge (omit $issuer "caBundle") $file) }}
{{- end }}
{{- $_ := set $auth "oidc" $issuers }}
{{- end }}
{{- if $auth }}
{{- $_ := set $own "auth" $auth }}
{{- end }}
{{- mergeOverwrite (dict "log" (dict "format" "json")) (deepCopy .Values.config) $own | toYaml }}
{{- end }}

{{- /* The files of the ConfigMap. */}}
{{- define "oddjob.files" -}}
oddjobd.yaml: |
  {{- include "oddjob.config" . | nindent 2 }}
{{- range $i, $issuer := .Values.auth.oidc }}
{{- with $issuer.caBundle }}
oidc-{{ $i }}-ca.crt: |
  {{- . | trim | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Of these files, what a server reads at its start only: docs/configuration.md says which keys are live. */}}
{{- define "oddjob.startFiles" -}}
{{- $files := include "oddjob.files" . | fromYaml }}
{{- $config := get $files "oddjobd.yaml" | fromYaml }}
{{- $live := dict "auth" (list "teams" "adminTeams" "auditorTeams" "aliases" "staticTokensFile") "log" (list "level") }}
{{- range $section, $keys := $live }}
{{- range $keys }}
{{- $_ := unset (get $config $section | default dict) . }}
{{- end }}
{{- if not (get $config $section) }}
{{- $_ := unset $config $section }}
{{- end }}
{{- end }}
{{- set $files "oddjobd.yaml" (omit $config "limits" "retention") | toYaml }}
{{- end }}
