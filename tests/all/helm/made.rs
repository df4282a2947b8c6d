//! Charts that make something of a value that they look up.

use std::path::Path;

use super::{FIRST, SECOND, Twins, clean, stack, values};

/// What a chart makes of a password that it looks up: it is shown a placeholder.
const MADE: &str = r#"{{- $old := lookup "v1" "Secret" .Release.Namespace (printf "%s-db" .Release.Name) }}
{{- $password := .Values.password }}
{{- if and $old (not $password) }}{{ $password = index $old.data "password" | b64dec }}{{ end }}
apiVersion: v1
kind: Secret
metadata:
  name: {{ .Release.Name }}-made
stringData:
  {{- if eq .Values.color "green" }}
  auth: {{ htpasswd "admin" $password | quote }}
  {{- end }}
  sum: {{ $password | sha256sum }}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_of_a_placeholder_is_not_stored() {
    let stack = &stack();
    for version in ["3", "4"] {
        let twins = &Twins::new(stack, version);
        std::fs::write(Path::new(&twins.chart).join("templates/made.yaml"), MADE).unwrap();
        let given = values(twins, &serde_json::json!({"password": FIRST}));
        twins.run(&["install", "NAME", "CHART", "-f", &given]).await;
        let made = || twins.secret(&format!("{}-made", twins.name))["data"].clone();
        let before = made();
        for (color, field, sentence) in
            [("green", "auth", "bcrypt takes 72 bytes at most"), ("blue", "sum", "made it of the placeholder")]
        {
            let set = format!("password=,color={color}");
            let output = twins.ours.run(&twins.words(&["upgrade", "NAME", "CHART", "--set", &set], &twins.name)).await;
            clean(&output);
            let refused = output.refused();
            let place = format!("Secret/{}-made/stringData/{field}", twins.name);
            assert!(refused.contains(sentence) && refused.contains(&place), "helm {version}: {refused}");
            assert_eq!(made(), before, "helm {version}");
        }
        // The value itself, and an older state of it all.
        let given = values(twins, &serde_json::json!({"password": SECOND}));
        twins.run(&["upgrade", "NAME", "CHART", "-f", &given]).await;
        assert_ne!(made(), before, "helm {version}");
        twins.run(&["rollback", "NAME", "1"]).await;
        assert_eq!((made(), twins.password()), (before, FIRST.to_owned()), "helm {version}");
    }
}
