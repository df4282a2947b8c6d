//! Reads the source tree itself: its files, its packages and what they depend on, its lock file, its pages.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::root;

/// A file that git knows, or would know.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Relative to the top of the tree.
    pub path: String,
    /// Its text.
    pub text: String,
}

impl SourceFile {
    /// A Rust file up to its test module.
    pub fn product(&self) -> &str {
        self.text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default()
    }
}

/// All text files of the tree, without what git ignores.
pub fn files() -> Vec<SourceFile> {
    let listed = output("git", &["ls-files", "--cached", "--others", "--exclude-standard"]);
    let read = |path: &str| {
        let text = std::fs::read_to_string(root().join(path)).ok()?;
        Some(SourceFile { path: path.to_owned(), text })
    };
    listed.lines().filter_map(read).collect()
}

/// Text of one file.
pub fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Names of the crates that a package is linked with. `cargo tree` and not `cargo metadata`, for the latter adds the
/// features that other members of the workspace ask for.
pub fn reachable(package: &str) -> BTreeSet<String> {
    let arguments = ["tree", "--offline", "--locked", "-p", package, "-e", "normal", "--prefix", "none", "-f", "{p}"];
    let tree = output("cargo", &arguments);
    tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Folders of the workspace's packages.
pub fn members() -> Vec<PathBuf> {
    let listed = text("Cargo.toml");
    let (_, rest) = listed.split_once("members = [").expect("the workspace lists its members");
    let (list, _) = rest.split_once(']').expect("the list ends");
    list.split(',')
        .map(|entry| entry.trim().trim_matches('"'))
        .filter(|entry| !entry.is_empty())
        .map(Into::into)
        .collect()
}

/// Name and version of every package in Cargo.lock.
pub fn locked() -> Vec<(String, Vec<u64>)> {
    let lock = text("Cargo.lock");
    let mut found = Vec::new();
    let mut name = None;
    for line in lock.lines() {
        let value = |key: &str| line.strip_prefix(key).map(|rest| rest.trim_matches('"').to_owned());
        if let Some(value) = value("name = ") {
            name = Some(value);
        } else if let Some(version) = value("version = ")
            && let Some(name) = name.take()
        {
            found.push((name, version_numbers(&version)));
        }
    }
    found
}

/// `1.2.3-rc.1` as 1, 2, 3: enough to compare with a floor.
pub fn version_numbers(version: &str) -> Vec<u64> {
    let release = version.split(['-', '+']).next().unwrap_or_default();
    release.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

/// Names of all test functions of the tree, with and without `async`.
pub fn test_names(files: &[SourceFile]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
        let mut is_test = false;
        for line in file.text.lines().map(str::trim) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if let Some(name) = function_name(line) {
                if is_test {
                    names.insert(name.to_owned());
                }
                is_test = false;
            }
        }
    }
    names
}

fn function_name(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("pub ").unwrap_or(line);
    let rest = rest.strip_prefix("async ").unwrap_or(rest).strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

/// Cells of a Markdown table's rows, without head and rule, in the section under a heading.
pub fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let section = page.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.starts_with("## "));
    let rows = section.filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// What stands between backquotes in a text.
pub fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(Path::new(root()))
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {errors}", arguments.join(" "));
    String::from_utf8(output.stdout).expect("names are UTF-8")
}
