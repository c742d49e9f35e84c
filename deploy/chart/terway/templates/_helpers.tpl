{{- define "terway.image" -}}
{{- $i := .Values.terway.image -}}
{{ $i.repository }}:{{ $i.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "terway.controlplaneImage" -}}
{{- $i := .Values.terwayControlplane.image -}}
{{- $d := .Values.terway.image -}}
{{ $i.repository | default $d.repository }}:{{ $i.tag | default $d.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "terway.labels" -}}
app.kubernetes.io/name: terway
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* The API server without a Service address: the network that would carry one is what is being installed. */}}
{{- define "terway.apiServerEnv" -}}
{{- with .Values.apiServer }}
{{- $parts := regexFind "^.+:[0-9]+$" . | required "apiServer must be host:port" | splitList ":" }}
- name: KUBERNETES_SERVICE_HOST
  value: {{ initial $parts | join ":" | trimPrefix "[" | trimSuffix "]" | quote }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ last $parts | quote }}
{{- end }}
{{- end }}

{{- define "terway.metadataEnv" -}}
{{- with .Values.cloud.metadataEndpoint }}
- name: ALIBABA_CLOUD_IMDS_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "terway.eniConf" -}}
{{- $t := .Values.terway -}}
{{- $conf := dict "version" "1" "max_pool_size" 5 "min_pool_size" 0 "vswitch_selection_policy" "ordered" "ipam_type" "crd" "ip_stack" $t.ipStack -}}
{{- $_ := set $conf "service_cidr" $t.serviceCIDR -}}
{{- $_ := set $conf "vswitches" (required "terway.vSwitchIDs is required: {zone: [vSwitch ids]}" $t.vSwitchIDs) -}}
{{- $_ := set $conf "security_groups" $t.securityGroupIDs -}}
{{- $_ := set $conf "kube_proxy_replacement" $t.kubeProxyReplacement -}}
{{- $_ := set $conf "exclusive_services" $t.exclusiveServices -}}
{{ mergeOverwrite $conf (deepCopy $t.eniConf) | toPrettyJson }}
{{- end }}

{{- define "terway.cniConf" -}}
{{- $t := .Values.terway -}}
{{- $conf := dict "cniVersion" "0.4.0" "name" "terway" "type" "terway" "capabilities" (dict "bandwidth" true) "network_policy_provider" $t.networkPolicyProvider -}}
{{- if $t.autoMTU }}{{ $_ := set $conf "auto_mtu" true }}{{ end -}}
{{- if $t.enableDatapathV2 }}{{ $_ := set $conf "eniip_virtual_type" "datapathv2" }}{{ $_ := set $conf "host_stack_cidrs" (list "169.254.20.10/32") }}{{ end -}}
{{ mergeOverwrite $conf (deepCopy $t.cniConf) | toPrettyJson }}
{{- end }}

{{- define "terway.ctrlConfig" -}}
{{- $c := .Values.terwayControlplane -}}
{{- $conf := dict "controllerName" "terway-controlplane" "controllerNamespace" .Release.Namespace "leaderElection" true "disableWebhook" true "centralizedIPAM" true "enableTrunk" false -}}
{{- range $key := list "regionID" "clusterID" "vpcID" }}
{{- $_ := set $conf $key (index $c $key | required (printf "terwayControlplane.%s is required" $key)) }}
{{- end }}
{{- range $key := list "healthzBindAddress" "metricsBindAddress" "ipStack" "controllers" }}
{{- $_ := set $conf $key (index $c $key) }}
{{- end }}
{{- mergeOverwrite $conf (deepCopy $c.ctrlConfig) | toYaml }}
{{- end }}

{{- define "terway.credentialSecret" -}}
{{- $c := .Values.terwayControlplane -}}
{{- if $c.credentialSecret }}{{ $c.credentialSecret }}{{ else if $c.accessKey }}terway-controlplane-credential{{ end }}
{{- end }}

{{/* Where the kubelet asks: the address that the controller listens on, or the loopback one when it listens on all. */}}
{{- define "terway.healthz" -}}
{{- $parts := splitList ":" .Values.terwayControlplane.healthzBindAddress -}}
{{- $host := initial $parts | join ":" | trimPrefix "[" | trimSuffix "]" -}}
host: {{ has $host (list "" "0.0.0.0" "::") | ternary "127.0.0.1" $host | quote }}, port: {{ last $parts }}
{{- end }}

{{/* What fills the maps of a node's programs. Its arguments: the root, and whether kube-proxy runs on the node too. */}}
{{- define "terway.policyContainer" -}}
{{- $root := index . 0 -}}
{{- $beside := index . 1 -}}
{{- $t := $root.Values.terway -}}
# Watches Services and fills the maps that the node's programs translate by. What is in the maps goes on without it.
# Its young generation holds a second of changes: with the smallest one a third of their time was collecting garbage.
- name: policy
  image: {{ include "terway.image" $root }}
  imagePullPolicy: {{ $t.image.pullPolicy }}
  command:
    - /usr/local/bin/node
    - --min-semi-space-size=4
    - --max-semi-space-size=4
    - --max-old-space-size=192
    - --v8-pool-size=1
    - /usr/lib/terway/terway-policy.mjs
    - -log-level
    - {{ $t.logLevel }}
    {{- if $beside }}
    - -beside-kube-proxy=true
    {{- end }}
  env:
    - {name: MALLOC_ARENA_MAX, value: "1"}
    - name: NODE_NAME
      valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
    - name: TERWAY_POLICY_LISTEN
      value: 127.0.0.1:{{ $t.policyProbePort }}
    {{- with include "terway.apiServerEnv" $root | trim }}
    {{- . | nindent 4 }}
    {{- end }}
  # SYS_ADMIN: bpf(2), also on kernels without CAP_BPF.
  securityContext:
    readOnlyRootFilesystem: true
    allowPrivilegeEscalation: false
    seccompProfile: {type: RuntimeDefault}
    capabilities: {drop: [ALL], add: [SYS_ADMIN]}
  startupProbe:
    httpGet: {host: 127.0.0.1, port: {{ $t.policyProbePort }}, path: /healthz}
    initialDelaySeconds: 1
    periodSeconds: 1
    failureThreshold: 60
  livenessProbe:
    httpGet: {host: 127.0.0.1, port: {{ $t.policyProbePort }}, path: /healthz}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  readinessProbe:
    httpGet: {host: 127.0.0.1, port: {{ $t.policyProbePort }}, path: /readyz}
    periodSeconds: 2
    timeoutSeconds: 5
  resources: {{- toYaml $t.policyResources | nindent 4 }}
  volumeMounts:
    # what terwayd decided, its sockets, and where the API servers are
    - {name: run-eni, mountPath: /var/run/eni}
    - {name: ledger, mountPath: /var/lib/cni/terway, readOnly: true}
    - {name: bpf, mountPath: /sys/fs/bpf, mountPropagation: HostToContainer}
{{- end }}
