//! JSON Patch (RFC 6902) on a parsed document, as far as it concerns objects and lists: enough to say what becomes of a Secret.

use serde_json::Value;

/// The patched document; `None` where an operation fails, as the API server would find.
pub(crate) fn apply(mut document: Value, patch: &Value) -> Option<Value> {
    for operation in patch.as_array()? {
        let text = |name: &str| operation.get(name).and_then(Value::as_str);
        let path = pointer(text("path")?);
        match text("op")? {
            "add" => add(&mut document, &path, operation.get("value")?.clone())?,
            "remove" => drop(remove(&mut document, &path)?),
            "replace" => *at(&mut document, &path)? = operation.get("value")?.clone(),
            "copy" => {
                let value = at(&mut document, &pointer(text("from")?))?.clone();
                add(&mut document, &path, value)?;
            }
            "move" => {
                let value = remove(&mut document, &pointer(text("from")?))?;
                add(&mut document, &path, value)?;
            }
            // A member that is not there is null for the API server (evanphx/json-patch v4, `Patch.test`).
            "test" if at(&mut document, &path).map_or(&Value::Null, |value| value) == operation.get("value")? => {}
            _ => return None,
        }
    }
    Some(document)
}

/// RFC 6901.
pub(crate) fn pointer(text: &str) -> Vec<String> {
    text.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect()
}

fn at<'a>(document: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(document, |value, part| match value {
        Value::Object(members) => members.get_mut(part),
        Value::Array(items) => items.get_mut(part.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

fn add(document: &mut Value, path: &[String], value: Value) -> Option<()> {
    let Some((last, parents)) = path.split_last() else {
        *document = value;
        return Some(());
    };
    match at(document, parents)? {
        Value::Object(members) => drop(members.insert(last.clone(), value)),
        Value::Array(items) => {
            let index = if last == "-" { items.len() } else { last.parse().ok()? };
            if index > items.len() {
                return None;
            }
            items.insert(index, value);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    }
    Some(())
}

fn remove(document: &mut Value, path: &[String]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    match at(document, parents)? {
        Value::Object(members) => members.remove(last),
        Value::Array(items) => {
            let index: usize = last.parse().ok()?;
            (index < items.len()).then(|| items.remove(index))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}
