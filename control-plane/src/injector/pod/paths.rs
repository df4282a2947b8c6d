//! Paths in containers, compared as the kernel would.

use super::CREDENTIALS;

/// The path without `.`, `..`, doubled and trailing slashes; `/run` counts as `/var/run`, which is a link to it in most images.
pub(super) fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    if parts.first() == Some(&"run") {
        parts.insert(0, "var");
    }
    format!("/{}", parts.join("/"))
}

/// What remains of a path below a folder; empty for the folder itself. Both are normal.
pub(super) fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    if folder == "/" {
        return path.strip_prefix('/');
    }
    let rest = path.strip_prefix(folder)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

/// Whether something mounted there would stand in the place of the credentials, or in front of one of them.
pub(super) fn hides_credentials(path: &str) -> bool {
    below(&normal(path), CREDENTIALS).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_of_the_same_place() {
        for same in [
            "/var/run/secrets/kubernetes.io/serviceaccount",
            "/var/run/secrets/kubernetes.io/serviceaccount/",
            "//var/./run/secrets//kubernetes.io/x/../serviceaccount/token",
            "/run/secrets/kubernetes.io/serviceaccount",
            "var/run/secrets/kubernetes.io/serviceaccount",
        ] {
            assert!(hides_credentials(same), "{same}");
        }
        for other in [
            "/var/run/secrets/kubernetes.io",
            "/var/run",
            "/",
            "/var/run/secrets/kubernetes.io/serviceaccounts",
            "/var/run/secrets/eks.amazonaws.com/serviceaccount",
            "/srv/run/secrets/kubernetes.io/serviceaccount",
        ] {
            assert!(!hides_credentials(other), "{other}");
        }
        assert_eq!(below("/a/b/c", "/a"), Some("b/c"));
        assert_eq!(below("/a", "/"), Some("a"));
        assert_eq!(below("/ab", "/a"), None);
    }
}
