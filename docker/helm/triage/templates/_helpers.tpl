{{- define "triage.name" -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trimSuffix (printf "-%s" .Chart.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Its argument: root, and an image that replaces the usual one if it has a repository. */}}
{{- define "triage.image" -}}
{{- $image := .root.Values.image -}}
{{- if (.image | default dict).repository }}{{ $image = .image }}{{ end -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "triage.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
{{ include "triage.selector" . }}
{{- end -}}

{{- define "triage.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The configuration as TOML. The registry and the state of the console follow from other values. */}}
{{- define "triage.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if .Values.models.enabled -}}
{{- $_ := set $config "learning" (merge (dict "models" "/var/lib/triage/models") ($config.learning | default dict)) -}}
{{- end -}}
{{- /* Helm reads every number as a float. */ -}}
{{ regexReplaceAll "(?m)= (-?[0-9]+)[.]0$" (toToml $config) "= ${1}" }}
{{- end -}}

{{/* What makes a resource run before an installation or upgrade. Its argument: root, weight, delete. */}}
{{- define "triage.hook" -}}
{{- if .root.Values.topicsJob.hook -}}
annotations:
  helm.sh/hook: pre-install,pre-upgrade
  helm.sh/hook-weight: {{ .weight | quote }}
  helm.sh/hook-delete-policy: {{ .delete }}
{{- end -}}
{{- end -}}

{{/* What every pod has. Its argument: root, and the component's values. */}}
{{- define "triage.pod" -}}
serviceAccountName: {{ .account | default (include "triage.name" .root) }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .root.Values.terminationGracePeriodSeconds }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "triage.container" -}}
image: {{ include "triage.image" . | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  privileged: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{- define "triage.env" -}}
- {name: TRIAGE_CONFIG, value: /etc/triage/triage.toml}
{{- range $name, $from := .Values.secretEnv }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef: {name: {{ required (printf "secretEnv.%s.secret is the name of a secret" $name) $from.secret | quote }}, key: {{ required (printf "secretEnv.%s.key is a key of the secret" $name) $from.key | quote }}}
{{- end }}
{{- end -}}

{{- define "triage.mounts" -}}
- {name: config, mountPath: /etc/triage, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- range $name, $secret := .Values.secrets }}
- {name: secret-{{ $name }}, mountPath: /run/secrets/triage/{{ $name }}, readOnly: true}
{{- end }}
{{- end -}}

{{- define "triage.volumes" -}}
- name: config
  configMap: {name: {{ .configName | default (include "triage.name" .) }}}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
{{- range $name, $secret := .Values.secrets }}
- name: secret-{{ $name }}
  secret: {secretName: {{ $secret | quote }}, defaultMode: 0440}
{{- end }}
{{- end -}}

{{/* Workers write what they count of a candidate, the learner writes models, and all read. */}}
{{- define "triage.models" -}}
- name: models
  persistentVolumeClaim:
    claimName: {{ .Values.models.existingClaim | default (printf "%s-models" (include "triage.name" .)) }}
{{- end -}}

{{/* The template of a pod that runs agents. Its argument: root, name, values, agents, static. */}}
{{- define "triage.agents" -}}
metadata:
  labels:
    {{- include "triage.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .name }}
  annotations:
    # A worker reads its configuration when it starts.
    checksum/config: {{ include "triage.config" .root | sha256sum }}
spec:
  {{- include "triage.pod" (dict "root" .root "values" .values) | nindent 2 }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "triage.selector" .root | nindent 10 }}
          app.kubernetes.io/component: {{ .name }}
  containers:
    - name: {{ .name }}
      {{- include "triage.container" (dict "root" .root "image" .values.image) | nindent 6 }}
      args: [worker, --agents, {{ join "," .agents | quote }}]
      env:
        {{- include "triage.env" .root | nindent 8 }}
        {{- if .static }}
        - name: TRIAGE_KAFKA__GROUP_INSTANCE_ID
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        - {name: TRIAGE_KAFKA__SESSION_TIMEOUT_S, value: {{ .values.staticSessionTimeoutSeconds | quote }}}
        {{- end }}
      ports:
        - {name: http, containerPort: {{ .root.Values.config.http.port }}}
      # Loading and testing the model may take a minute on a busy node.
      startupProbe:
        httpGet: {path: /live, port: http}
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /live, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      readinessProbe:
        httpGet: {path: /ready, port: http}
        periodSeconds: 5
        timeoutSeconds: 5
      resources: {{ toYaml .values.resources | nindent 8 }}
      volumeMounts:
        {{- include "triage.mounts" .root | nindent 8 }}
        {{- if .root.Values.models.enabled }}
        - {name: models, mountPath: /var/lib/triage/models}
        {{- end }}
  volumes:
    {{- include "triage.volumes" .root | nindent 4 }}
    {{- if .root.Values.models.enabled }}
    {{- include "triage.models" .root | nindent 4 }}
    {{- end }}
{{- end -}}
