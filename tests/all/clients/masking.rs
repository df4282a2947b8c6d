//! No value of a Secret, wherever it could come back: each carrier once, with the real API server's own bytes.

use super::{PASSWORD, approved, assert_sent, clients, each, file, stack, without_password};

/// A Secret's manifest with the password in the clear, which is how people write them.
fn manifest(name: &str, more: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{password: {PASSWORD}{more}}}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_to_writes_are_masked() {
    let stack = stack();
    let stack = &stack;
    each(stack, async |version, word, kubectl| {
        let name = format!("secret-{word}");
        let literal = format!("--from-literal=password={PASSWORD}");
        for form in ["json", "yaml", "jsonpath={.data.password}"] {
            let only_tried =
                kubectl.run(&["create", "secret", "generic", &name, &literal, "--dry-run=server", "-o", form]).await;
            without_password(&only_tried);
            assert!(!only_tried.ok().is_empty(), "{version:?} {form}");
        }
        let made = kubectl.run(&["create", "secret", "generic", &name, &literal, "-o", "yaml"]).await;
        without_password(&made);
        assert!(made.ok().contains("password: c2FsbHlwb3J0O"), "{version:?}: the placeholder begins with our name");
        assert_sent(stack, &name, "get secrets as sallyport:read", 0);

        // Applied: the annotation repeats the value, and the reply repeats the annotation.
        let applied = format!("applied-{word}");
        let one = file(&kubectl, "one.yaml", &manifest(&applied, ""));
        let made = kubectl.run(&["apply", "-f", &one, "-o", "yaml"]).await;
        without_password(&made);
        assert!(made.ok().contains("last-applied-configuration"), "{version:?}");
        let two = file(&kubectl, "two.yaml", &manifest(&applied, ", more: x"));
        let changed = kubectl.spawn(&["apply", "-f", &two, "-o", "yaml"], "").await;
        let changed = approved(stack, changed, &applied).await;
        without_password(&changed);
        assert!(changed.ok().contains("more: "), "{version:?}");
        let patch = format!(r#"{{"stringData":{{"third":"{PASSWORD}"}}}}"#);
        for kind in ["strategic", "merge"] {
            let kind = format!("--type={kind}");
            let patched = kubectl.spawn(&["patch", "secret", &applied, &kind, "-p", &patch, "-o", "json"], "").await;
            let patched = approved(stack, patched, &applied).await;
            without_password(&patched);
            assert!(patched.ok().contains("\"third\": "), "{version:?}");
        }
        let json = format!(r#"[{{"op":"add","path":"/stringData","value":{{"fourth":"{PASSWORD}"}}}}]"#);
        let patched = kubectl.spawn(&["patch", "secret", &applied, "--type=json", "-p", &json, "-o", "yaml"], "").await;
        let patched = approved(stack, patched, &applied).await;
        without_password(&patched);
        assert!(patched.ok().contains("fourth: "), "{version:?}");
        let whole = file(&kubectl, "whole.yaml", &manifest(&applied, &format!(", third: {PASSWORD}")));
        let replaced = kubectl.spawn(&["replace", "-f", &whole, "-o", "json"], "").await;
        let replaced = approved(stack, replaced, &applied).await;
        without_password(&replaced);
        assert!(replaced.ok().contains("\"third\": "), "{version:?}");
        // The value is what was written, and not its mask.
        let real = stack.namespace().admin(&["get", "secret", &applied, "-o", "jsonpath={.data.third}"]);
        assert_eq!(real, base64::Engine::encode(&base64::engine::general_purpose::STANDARD, PASSWORD));
        let gone = kubectl.spawn(&["delete", "secret", &applied, "-v=9"], "").await;
        without_password(&approved(stack, gone, &applied).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_masked_in_every_form() {
    let stack = stack();
    let applied = format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: shown, namespace: {}, labels: {{shown: 'yes'}}}}, stringData: {{password: {PASSWORD}}}}}",
        &**stack.namespace()
    );
    stack.namespace().cluster().apply(&applied);
    let stack = &stack;
    each(stack, async |version, _, kubectl| {
        for words in [
            &["get", "secret", "shown", "-o", "yaml"][..],
            &["get", "secrets", "-l", "shown=yes", "-o", "json"],
            &["get", "secrets", "-l", "shown=yes", "--chunk-size=1", "-o", "jsonpath={.items[*].data}"],
            // A Table without objects, one with their metadata, one with whole objects.
            &["get", "secrets", "-l", "shown=yes", "-v=9"],
            &["get", "secrets", "-l", "shown=yes", "-o", "wide", "-v=9"],
            &["get", "secrets", "-l", "shown=yes", "--sort-by=.metadata.name", "-v=9"],
            &["get", "secrets", "-l", "shown=yes", "-L", "shown", "--show-labels"],
            &["describe", "secret", "shown"],
            &["get", "secrets", "-l", "shown=yes", "-w", "-o", "yaml", "--request-timeout=2s"],
            &["get", "secrets", "-l", "shown=yes", "-w", "-v=9", "--request-timeout=2s"],
            &["get", "secret,configmap", "-l", "shown=yes", "-o", "yaml"],
            &["apply", "view-last-applied", "secret", "shown"],
        ] {
            let got = kubectl.run(words).await;
            without_password(&got);
            assert_eq!(got.code, Some(0), "{version:?} {words:?}: {}", got.stderr);
            // With whole objects in its rows, which `-v=9` shows.
            let objects = words.iter().any(|word| word.starts_with("--sort-by"));
            assert!(!objects || got.stderr.contains("includeObject=Object"), "{version:?}: {}", got.stderr);
        }
        let watch = format!(
            "/api/v1/namespaces/{}/secrets?watch=true&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
            &**stack.namespace()
        );
        let streamed = kubectl.run(&["get", "--raw", &watch]).await;
        without_password(&streamed);
        assert!(streamed.ok().contains("ADDED"), "{version:?}");
    })
    .await;
}

/// The API server's complaints quote what they complain of.
#[tokio::test(flavor = "multi_thread")]
async fn errors_quote_nothing() {
    let stack = stack();
    let stack = &stack;
    each(stack, async |version, word, kubectl| {
        let bad = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: bad-{word}}}\ndata: {{password: '{PASSWORD}!'}}\n"
        );
        let bad = file(&kubectl, "bad.yaml", &bad);
        let said = |got: tests::kubectl::Output| {
            without_password(&got);
            got.refused()
        };
        // The most usual mistake of all is told, for where a text is no base64 says nothing of what it is.
        let illegal = "illegal base64 data at input byte";
        for write in [&["create", "-f", &bad][..], &["create", "-f", &bad, "--validate=false"], &["apply", "-f", &bad]]
        {
            let said = said(kubectl.run(write).await);
            assert!(said.contains("BadRequest") && said.contains(illegal), "{version:?}: {said}");
        }
        let applied = kubectl.spawn(&["apply", "--server-side", "-f", &bad], "").await;
        let applied = said(approved(stack, applied, &format!("bad-{word}")).await);
        assert!(
            applied.contains("illegal base64") || applied.contains("Sallyport does not show"),
            "{version:?}: {applied}"
        );
        let literal = format!("--from-literal=password={PASSWORD}");
        kubectl.run(&["create", "secret", "generic", &format!("bad-{word}"), &literal]).await.ok();
        for (value, says) in [(format!("'{PASSWORD}!'"), "a value under data is not base64"), ("5".to_owned(), "")] {
            let bad =
                format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: bad-{word}}}\ndata: {{password: {value}}}\n");
            let bad = file(&kubectl, "bad.yaml", &bad);
            let applied = kubectl.spawn(&["apply", "--validate=false", "-f", &bad], "").await;
            let said = said(approved(stack, applied, &format!("bad-{word}")).await);
            assert!(said.contains(says) && said.contains("Sallyport does not show"), "{version:?}: {said}");
            assert!(said.contains("[sallyport operation "), "{version:?}: {said}");
        }
        // An error that says nothing of values comes as it is.
        kubectl.run(&["create", "secret", "generic", &format!("twice-{word}"), &literal]).await.ok();
        let twice = kubectl.run(&["create", "secret", "generic", &format!("twice-{word}"), &literal]).await;
        without_password(&twice);
        assert!(twice.refused().contains("already exists"), "{version:?}");
    })
    .await;
}

/// Nothing of it anywhere that our processes write. Last in name and not in time, so it makes its own Secret and reads it first.
#[tokio::test(flavor = "multi_thread")]
async fn no_process_writes_a_value_down() {
    let stack = stack();
    let (_, _, kubectl) = clients(&stack).swap_remove(2);
    let literal = format!("--from-literal=password={PASSWORD}");
    kubectl.run(&["create", "secret", "generic", "noted", &literal]).await.ok();
    kubectl.run(&["get", "secret", "noted", "-o", "yaml"]).await.ok();
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, PASSWORD);
    for process in ["control-plane", "agent", "sidecar"] {
        stack.log(process).assert_without(PASSWORD);
        stack.log(process).assert_without(&encoded);
    }
    for entry in std::fs::read_dir(stack.data()).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        for form in [PASSWORD, encoded.as_str()] {
            assert!(!bytes.windows(form.len()).any(|window| window == form.as_bytes()), "{}", path.display());
        }
    }
}
