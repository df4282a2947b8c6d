//! The difference between two objects as a JSON Patch (RFC 6902), the only kind that admission knows.

use serde_json::{Value, json};

/// Steps that make one object out of the other.
pub fn difference(before: &Value, after: &Value) -> Vec<Value> {
    let mut steps = Vec::new();
    compare("", before, after, &mut steps);
    steps
}

/// Where the two differ, for people.
pub fn places(steps: &[Value]) -> String {
    let paths: Vec<&str> = steps.iter().filter_map(|step| step.get("path")?.as_str()).take(4).collect();
    paths.join(", ")
}

fn compare(path: &str, before: &Value, after: &Value, steps: &mut Vec<Value>) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in new {
                let path = format!("{path}/{}", escape(key));
                match old.get(key) {
                    Some(old) => compare(&path, old, value, steps),
                    None => steps.push(json!({"op": "add", "path": path, "value": value})),
                }
            }
            for key in old.keys().filter(|key| !new.contains_key(*key)) {
                steps.push(json!({"op": "remove", "path": format!("{path}/{}", escape(key))}));
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                compare(&format!("{path}/{index}"), old, new, steps);
            }
        }
        (old, new) => {
            if old != new {
                steps.push(json!({"op": "replace", "path": path, "value": new}));
            }
        }
    }
}

/// RFC 6901.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Carries such steps out, as the API server would: for the fuzz target and tests, which must not believe [`difference`].
pub(in crate::injector) fn apply(mut object: Value, steps: &[Value]) -> Option<Value> {
    for step in steps {
        let path = step.get("path")?.as_str()?;
        let (parent, last) = path.rsplit_once('/')?;
        let last = last.replace("~1", "/").replace("~0", "~");
        let parent = object.pointer_mut(parent)?;
        match (step.get("op")?.as_str()?, parent) {
            ("remove", Value::Object(map)) => drop(map.remove(&last)?),
            ("add", Value::Object(map)) => drop(map.insert(last, step.get("value")?.clone())),
            ("replace", Value::Object(map)) => *map.get_mut(&last)? = step.get("value")?.clone(),
            ("replace", Value::Array(items)) => {
                *items.get_mut(last.parse::<usize>().ok()?)? = step.get("value")?.clone()
            }
            _ => return None,
        }
    }
    Some(object)
}
