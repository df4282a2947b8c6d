//! The tree itself: who depends on whom, how long files are, which claims of the pages have tests.

use std::collections::BTreeSet;

use tests::tidy::{SourceFile, files, locked, members, quoted, reachable, table, test_names, text, version_numbers};

/// Design: packages and what each must not be linked with.
const MUST_NOT_REACH: [(&str, &[&str]); 6] = [
    ("shared", &["tokio", "quinn", "hyper"]),
    ("shared-net", &["control-plane-core", "rusqlite", "warp"]),
    ("sidecar", &["control-plane-core", "control-plane", "agent", "jsonwebtoken", "rusqlite", "warp"]),
    ("control-plane-core", &["shared-net", "tokio", "hyper", "quinn", "rusqlite", "warp"]),
    ("agent", &["control-plane", "sidecar", "rusqlite", "warp"]),
    ("control-plane", &["sidecar", "agent"]),
];

#[test]
fn packages_reach_only_what_they_may() {
    for (package, banned) in MUST_NOT_REACH {
        let reached = reachable(package);
        assert!(reached.contains(package), "cargo tree says nothing of {package}");
        let found: Vec<_> = banned.iter().filter(|name| reached.contains(**name)).collect();
        assert!(found.is_empty(), "{package} reaches {found:?}");
    }
}

#[test]
fn one_crypto_provider_and_no_refused_crate_is_linked() {
    for (package, _) in MUST_NOT_REACH {
        let reached = reachable(package);
        for banned in ["ring", "openssl-sys", "rsa", "serde_yml", "webpki", "native-tls"] {
            assert!(!reached.contains(banned), "{package} reaches {banned}");
        }
    }
}

/// `core` decides; what it needs of the world comes as an argument.
#[test]
fn core_has_no_clock_no_randomness_no_io_no_task() {
    let banned = [
        "std::time::Instant",
        "Instant::now",
        "SystemTime",
        "now_utc",
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "std::env::var",
        "std::thread",
        "std::process",
        "aws_lc_rs::rand",
        "getrandom",
        "new_v4",
        "now_v7",
        "async fn",
    ];
    let core = files().into_iter().filter(|file| file.path.starts_with("control-plane/core/src/") && !is_test(file));
    for file in core {
        for (number, line) in file.product().lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            let found = banned.iter().find(|word| line.contains(**word));
            assert!(found.is_none(), "{}:{}: core must not use {}", file.path, number + 1, found.unwrap_or(&""));
        }
    }
}

#[test]
fn no_file_is_over_500_lines() {
    let long: Vec<_> = files()
        .iter()
        .filter(|file| is_code(file) && !file.text.contains("@generated"))
        .map(|file| (file.product().lines().count(), file.path.clone()))
        .filter(|(lines, _)| *lines > 500)
        .collect();
    assert!(long.is_empty(), "over 500 lines: {long:?}");
}

#[test]
fn every_package_inherits_the_lints() {
    for member in members() {
        let manifest = text(&format!("{}/Cargo.toml", member.display()));
        assert!(manifest.contains("[lints]\nworkspace = true"), "{} does not inherit the lints", member.display());
        assert!(!manifest.contains("[features]"), "{}: features are no product switches", member.display());
    }
}

/// An exception from a lint is an `expect` with a reason: it goes when what it excuses has gone.
#[test]
fn lints_are_never_allowed() {
    let allow = concat!("#[", "allow(");
    let allow_all = concat!("#![", "allow(");
    for file in files().iter().filter(|file| file.path.ends_with(".rs")) {
        assert!(!file.text.contains(allow) && !file.text.contains(allow_all), "{}: use expect", file.path);
        assert!(!file.text.contains(concat!("unsafe", " {")), "{}: unsafe", file.path);
    }
}

/// The failures behind these are listed in SECURITY.md, "Versions".
#[test]
fn versions_are_above_their_floors() {
    let floors = [
        ("quinn-proto", "0.11.15"),
        ("h2", "0.4.16"),
        ("jsonwebtoken", "10.3.0"),
        ("rustls", "0.23.18"),
        ("rustls-webpki", "0.103.13"),
        ("tracing-subscriber", "0.3.20"),
        ("bytes", "1.11.1"),
        ("time", "0.3.47"),
        ("slab", "0.4.11"),
        ("aws-lc-sys", "0.39.0"),
        ("quick-xml", "0.41.0"),
        ("tungstenite", "0.20.1"),
        ("tokio", "1.44.2"),
        ("warp", "0.3.3"),
        ("idna", "1.0.0"),
        ("rusqlite", "0.26.2"),
    ];
    let locked = locked();
    assert!(locked.iter().any(|(name, _)| name == "tokio"), "Cargo.lock was not read");
    for (name, version) in locked {
        let Some((_, floor)) = floors.iter().find(|(floor, _)| *floor == name) else { continue };
        assert!(version >= version_numbers(floor), "{name} {version:?} is below {floor}");
    }
}

/// Every invariant has a test; one that has none yet says what it waits for.
#[test]
fn invariants_name_tests_that_exist() {
    let rows = table(&text("ARCHITECTURE.md"), "## Invariants");
    let numbers: Vec<_> = rows.iter().filter_map(|row| row.first()).map(String::as_str).collect();
    assert_eq!(numbers, ["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    assert_tests_exist(&rows);
}

/// Every row of the catalogue is there once, and is stopped by a test that exists or listed as open.
#[test]
fn failures_of_others_name_tests_that_exist() {
    let counts = [("U", 9), ("I", 9), ("T", 14), ("M", 8), ("P", 12), ("N", 7), ("D", 9), ("L", 4)];
    let ids = counts.iter().flat_map(|(letter, last)| (1..=*last).map(move |number| format!("{letter}{number}")));
    let rows = table(&text("SECURITY.md"), "## Failures seen elsewhere");
    let found: Vec<_> = rows.iter().filter_map(|row| row.first().cloned()).collect();
    assert_eq!(found, ids.collect::<Vec<_>>());
    assert_tests_exist(&rows);
}

/// The last cell of a row: names of tests in backquotes, and after the word `open:` what is not proved yet.
fn assert_tests_exist(rows: &[Vec<String>]) {
    let names = test_names(&files());
    let mut wrong = Vec::new();
    for row in rows {
        let (id, cell) = (row.first().cloned().unwrap_or_default(), row.last().cloned().unwrap_or_default());
        let (proved, open) = cell.split_once("open:").map_or((cell.as_str(), None), |(a, b)| (a, Some(b.trim())));
        let tests = quoted(proved);
        if tests.is_empty() && open.is_none_or(|why| why.len() < 8) {
            wrong.push(format!("{id}: neither a test nor a reason"));
        }
        let missing = tests.into_iter().filter(|test| !names.contains(*test));
        wrong.extend(missing.map(|test| format!("{id}: there is no test {test}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The tree speaks of the product only.
#[test]
fn the_tree_speaks_of_the_product_only() {
    let words = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("cla", "ude"),
        concat!("anth", "ropic"),
        concat!("chat", "gpt"),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("<<<", "<<<< "),
    ];
    for file in files().iter().filter(|file| file.path != "Cargo.lock" && !file.path.ends_with("go.sum")) {
        for (number, line) in file.text.lines().enumerate() {
            let found = words.iter().find(|word| line.contains(**word) || line.to_lowercase().contains(**word));
            assert!(found.is_none(), "{}:{}: {line}", file.path, number + 1);
        }
    }
}

/// Invariant 9. Whoever adds a place here shows that what it answers with is on record, or is a refusal.
#[test]
fn answers_to_clients_are_made_in_a_closed_list_of_places() {
    let known = [
        ("control-plane/src/gateway/repeat.rs", 1, "the recorded answer, given once more"),
        ("control-plane/src/gateway/reply.rs", 1, "refuse"),
        ("control-plane/src/gateway/review.rs", 1, "a review answered from policy, on record"),
        ("control-plane/src/gateway/send.rs", 2, "a recorded answer, and an agent's refusal on its way there"),
        ("sidecar/src/discovery.rs", 3, "a refusal as its sentence"),
        ("sidecar/src/listener.rs", 2, "the control plane's answer, passed on"),
        ("sidecar/src/refusal.rs", 1, "a refusal made locally"),
    ];
    let makes = ["Response::new(", "Response::builder(", "Response::from_parts("];
    let count = |file: &SourceFile| makes.iter().map(|make| file.product().matches(make).count()).sum::<usize>();
    let paths = ["control-plane/src/gateway/", "sidecar/src/"];
    let found: Vec<_> = files()
        .iter()
        .filter(|file| paths.iter().any(|path| file.path.starts_with(path)) && !is_test(file))
        .map(|file| (file.path.clone(), count(file)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let known: Vec<_> = known.iter().map(|(path, count, _)| ((*path).to_owned(), *count)).collect();
    assert_eq!(found, known);
}

/// A comment that sends its reader to a page sends him to one that is there.
#[test]
fn pages_that_are_named_are_there() {
    let files = files();
    let pages: BTreeSet<_> = files.iter().filter_map(|file| file.path.rsplit('/').next()).collect();
    let mut missing = Vec::new();
    for file in files.iter().filter(|file| is_code(file)) {
        for (number, line) in file.text.lines().enumerate() {
            let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
            let of_pages =
                words.map(|word| word.trim_matches('.')).filter(|word| word.ends_with(".md") && word.len() > 3);
            let gone = of_pages.filter(|word| !pages.contains(word));
            missing.extend(gone.map(|word| format!("{}:{}: {word}", file.path, number + 1)));
            if line.contains(concat!("design", " §")) {
                missing.push(format!("{}:{}: the design", file.path, number + 1));
            }
        }
    }
    assert!(missing.is_empty(), "no such page in the tree:\n{}", missing.join("\n"));
}

/// A `danger` option is for tests and for `scripts/try`; what people install must not carry one.
#[test]
fn no_manifest_weakens_a_check() {
    for file in files().iter().filter(|file| file.path.starts_with("manifests/")) {
        assert!(!file.text.contains("danger"), "{}", file.path);
    }
}

fn is_code(file: &SourceFile) -> bool {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let script = file.path.starts_with("scripts/") && !name.contains('.');
    script || [".rs", ".sh", ".py", ".mjs", ".java", ".ts", ".tsx", ".css"].iter().any(|ending| name.ends_with(ending))
}

fn is_test(file: &SourceFile) -> bool {
    file.path.ends_with("/tests.rs") || file.path.contains("/tests/")
}
