{{/* The steps of a kustomize field path: dots separate, brackets hold a key that has dots itself. */}}
{{- define "sallyport.steps" -}}
{{- $steps := list -}}
{{- range regexFindAll `\[[^\]]+\]|[^.\[\]]+` . -1 }}{{ $steps = append $steps (trimSuffix "]" (trimPrefix "[" .)) }}{{ end -}}
{{- toJson $steps -}}
{{- end -}}

{{/* Sets what is at .steps below .at to .value. */}}
{{- define "sallyport.set" -}}
{{- $value := .value -}}
{{- $step := first .steps -}}
{{- $rest := rest .steps -}}
{{- $at := .at -}}
{{- if not $rest -}}
  {{- $_ := set $at $step $value -}}
{{- else if eq $step "*" -}}
  {{- range $at }}{{ include "sallyport.set" (dict "at" . "steps" $rest "value" $value) }}{{ end -}}
{{- else if kindIs "slice" $at -}}
  {{- include "sallyport.set" (dict "at" (index $at (int $step)) "steps" $rest "value" $value) -}}
{{- else -}}
  {{- include "sallyport.set" (dict "at" (get $at $step) "steps" $rest "value" $value) -}}
{{- end -}}
{{- end -}}
