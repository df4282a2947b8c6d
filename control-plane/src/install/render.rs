//! Puts values into the places of the manifests: what kustomize's `replacements` do, as far as our list of them goes.

use anyhow::Context as _;
use serde_json::Value;

use super::{base, yaml};

/// The objects of these files with the values in their places.
pub(super) fn objects(files: &[&str], values: &Value) -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for path in files {
        objects.extend(yaml::documents(base::file(path)?).with_context(|| format!("manifests/{path}"))?);
    }
    let read = |text| serde_saphyr::from_str::<Value>(text).context("replacements.yaml");
    let (usual, pull_secrets) = (read(base::REPLACEMENTS)?, read(base::PULL_SECRETS)?);
    let pulls = list(values, "/images/pullSecrets").next().is_some();
    for replacement in list(&usual, "").chain(list(&pull_secrets, "").filter(|_| pulls)) {
        let from = text(replacement, "/source/fieldPath")?;
        let mut value = values;
        for step in steps(from) {
            value = value.get(step).with_context(|| format!("there is no value {from}"))?;
        }
        for target in list(replacement, "/targets") {
            let (kind, name) = (text(target, "/select/kind")?, text(target, "/select/name")?);
            for object in objects.iter_mut().filter(|object| is(object, kind, name)) {
                for path in list(target, "/fieldPaths").filter_map(Value::as_str) {
                    place(object, &steps(path), value).with_context(|| format!("{kind} {name}: {path}"))?;
                }
            }
        }
    }
    Ok(objects)
}

/// Whether an object is of this kind and name.
pub(super) fn is(object: &Value, kind: &str, name: &str) -> bool {
    let at = |pointer| object.pointer(pointer).and_then(Value::as_str);
    at("/kind") == Some(kind) && at("/metadata/name") == Some(name)
}

/// Dots separate, brackets hold a key that has dots itself.
fn steps(path: &str) -> Vec<&str> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (step, after) = match rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((step, after)) => (step, after.strip_prefix('.').unwrap_or(after)),
            None => rest.split_once('.').unwrap_or((rest, "")),
        };
        steps.push(step);
        rest = after;
    }
    steps
}

fn place(at: &mut Value, steps: &[&str], value: &Value) -> anyhow::Result<()> {
    let Some((step, rest)) = steps.split_first() else {
        *at = value.clone();
        return Ok(());
    };
    match at {
        Value::Array(list) if *step == "*" => list.iter_mut().try_for_each(|item| place(item, rest, value)),
        Value::Array(list) => {
            let item = step.parse::<usize>().ok().and_then(|index| list.get_mut(index));
            place(item.with_context(|| format!("there is no {step}"))?, rest, value)
        }
        Value::Object(map) if rest.is_empty() => {
            map.insert((*step).to_owned(), value.clone());
            Ok(())
        }
        Value::Object(map) => place(map.get_mut(*step).with_context(|| format!("there is no {step}"))?, rest, value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => anyhow::bail!("{step} is below no field"),
    }
}

fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, pointer: &str) -> anyhow::Result<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).with_context(|| format!("replacements.yaml: no {pointer}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_steps() {
        assert_eq!(
            steps("spec.template.metadata.annotations.[sallyport.dev/config]"),
            ["spec", "template", "metadata", "annotations", "sallyport.dev/config"]
        );
        assert_eq!(steps("webhooks.*.clientConfig.caBundle"), ["webhooks", "*", "clientConfig", "caBundle"]);
    }
}
