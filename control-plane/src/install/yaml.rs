//! Writes values as YAML: block style, long texts as they are, everything quoted that another reader could take for something else.

use serde_json::Value;

/// Documents of a file, without the empty ones.
///
/// # Errors
/// One of them is no YAML.
pub(super) fn documents(text: &str) -> anyhow::Result<Vec<Value>> {
    let parse = |text: &str| serde_saphyr::from_str::<Value>(text).map_err(|error| anyhow::anyhow!("{error}"));
    let mut documents = Vec::new();
    for text in text.split("\n---\n") {
        let empty = |line: &str| line.trim().is_empty() || line.starts_with('#') || line == "---";
        if !text.lines().all(empty) {
            documents.push(parse(text)?);
        }
    }
    Ok(documents)
}

/// Documents as one file.
pub(super) fn file(documents: &[Value]) -> String {
    documents.iter().map(|document| format!("---\n{}", text(document))).collect()
}

/// One document, ending with a line break.
pub(super) fn text(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => write_block(value, 0, &mut out),
        Value::Array(list) if !list.is_empty() => write_block(value, 0, &mut out),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            write_after(value, 0, &mut out);
            out = out.trim_start().to_owned();
        }
    }
    out
}

/// A mapping or a list that is not empty, whose first line goes where the writer stands.
fn write_block(value: &Value, indent: usize, out: &mut String) {
    let mut first = true;
    let mut line = |out: &mut String| {
        if !std::mem::take(&mut first) {
            out.push_str(&" ".repeat(indent));
        }
    };
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                line(out);
                out.push_str(&scalar(key));
                out.push(':');
                write_after(value, indent, out);
            }
        }
        Value::Array(list) => {
            for item in list {
                line(out);
                out.push('-');
                match item {
                    Value::Object(map) if !map.is_empty() => {
                        out.push(' ');
                        write_block(item, indent + 2, out);
                    }
                    Value::Array(list) if !list.is_empty() => {
                        out.push(' ');
                        write_block(item, indent + 2, out);
                    }
                    Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::String(_)
                    | Value::Array(_)
                    | Value::Object(_) => write_after(item, indent, out),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What follows a key or a dash, with the line break at its end.
fn write_after(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            out.push_str(&" ".repeat(indent + 2));
            write_block(value, indent + 2, out);
            return;
        }
        Value::Array(list) if !list.is_empty() => {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            write_block(value, indent, out);
            return;
        }
        Value::String(text) if goes_as_block(text) => {
            out.push_str(if text.ends_with('\n') { " |\n" } else { " |-\n" });
            for line in text.lines() {
                if !line.is_empty() {
                    out.push_str(&" ".repeat(indent + 2));
                    out.push_str(line);
                }
                out.push('\n');
            }
            return;
        }
        Value::String(text) => {
            out.push(' ');
            out.push_str(&scalar(text));
        }
        Value::Object(_) => out.push_str(" {}"),
        Value::Array(_) => out.push_str(" []"),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            out.push(' ');
            out.push_str(&value.to_string());
        }
    }
    out.push('\n');
}

/// A block scalar says its text exactly if no line begins or ends with a blank, and at most one line break ends it.
fn goes_as_block(text: &str) -> bool {
    let plain = |c: char| c == '\n' || (' '..='~').contains(&c);
    let line = |line: &str| line.trim_end() == line;
    text.contains('\n')
        && text.chars().all(plain)
        && text.split('\n').all(line)
        && !text.starts_with([' ', '\n'])
        && !text.ends_with("\n\n")
}

/// A text in one line: plain where every reader takes it for a text, else as JSON writes it, which YAML reads too.
fn scalar(text: &str) -> String {
    let first = |c: char| c.is_ascii_alphabetic() || c == '/';
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_./=,;+@ ".contains(c);
    let words = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let plain = text.starts_with(first)
        && text.chars().all(|c| inner(c) || c == ':')
        && !text.ends_with([':', ' '])
        && !text.contains(": ")
        && !words.contains(&text.to_ascii_lowercase().as_str());
    if plain {
        return text.to_owned();
    }
    // Characters that JSON lets stand and YAML does not.
    let mut quoted = String::new();
    for c in Value::from(text).to_string().chars() {
        let code = u32::from(c);
        match c {
            ' '..='~' => quoted.push(c),
            _ if c.is_alphanumeric() => quoted.push(c),
            _ if code <= 0xFFFF => quoted.push_str(&format!("\\u{code:04x}")),
            _ => quoted.push_str(&format!("\\U{code:08x}")),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let odd = [
            "",
            " ",
            "a",
            "a b",
            "yes",
            "No",
            "~",
            "null",
            "1",
            "1e3",
            "0x1",
            "-",
            "- a",
            "a: b",
            "a:",
            ":a",
            "#a",
            "a #b",
            "[a]",
            "{a}",
            "a\nb",
            "a\nb\n",
            "a\n\nb\n\n",
            " a\nb",
            "a \nb",
            "\n",
            "a\n b\n",
            "tab\there",
            "ü",
            "\u{7f}",
            "\"q\"",
            "'q'",
            "---",
            "...",
            "%a",
            "2026-11-24",
            "12:30",
            ".inf",
            "=",
            "<<",
            "|",
            "a\r\nb",
        ];
        for text in odd {
            let value =
                json!({text: text, "list": [text, [text, [text]], {"k": text, "l": [text]}], "e": {"a": {}, "b": []}});
            for value in [value.clone(), json!([value.clone(), 1, true, null, -2.5]), json!(text)] {
                let written = super::text(&value);
                let read: Value = serde_saphyr::from_str(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
                assert_eq!(read, value, "{written}");
            }
        }
    }

    #[test]
    fn long_texts_stay_readable() {
        let written = text(&json!({"data": {"config.yaml": "a: b\nc:\n- d\n"}, "port": 7443}));
        assert_eq!(written, "data:\n  config.yaml: |\n    a: b\n    c:\n    - d\nport: 7443\n");
    }

    #[test]
    fn documents_are_split() {
        let text = "# only a comment\n---\na: 1\n---\n# c\nb: \"true\"\n";
        assert_eq!(documents(text).unwrap(), [json!({"a": 1}), json!({"b": "true"})]);
    }
}
