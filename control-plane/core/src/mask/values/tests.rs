use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use memchr::memmem;
use proptest::prelude::*;

use super::fuzz::{escaped, reference};
use super::{FoundValues, MASKED, SecretValues, TextMasker, TextPart, ValuesError, forms, fuzz_values};
use crate::tests as corpus;

fn values(values: &[&str]) -> Arc<SecretValues> {
    Arc::new(SecretValues::new(values.iter().map(|value| value.as_bytes())).unwrap())
}

fn mask<'a>(values: &Arc<SecretValues>, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut masker = TextMasker::new(Arc::clone(values));
    let mut out = Vec::new();
    for piece in pieces {
        masker.push(piece, &mut out);
    }
    masker.finish(&mut out);
    out
}

fn masked(secrets: &[&str], text: &str) -> String {
    String::from_utf8(mask(&values(secrets), [text.as_bytes()])).unwrap()
}

#[test]
fn a_value_is_replaced_wherever_it_stands() {
    assert_eq!(masked(&["hunter22"], "login hunter22 ok"), "login (masked by sallyport) ok");
    assert_eq!(masked(&["hunter22"], "hunter22hunter22"), "(masked by sallyport)");
    assert_eq!(masked(&["hunter22", "22 tables"], "x hunter22 tables y"), "x (masked by sallyport) y");
    assert_eq!(masked(&["hunter22\n"], "hunter22"), "(masked by sallyport)");
    assert_eq!(masked(&["hunter22"], "hunter2"), "hunter2");
}

#[test]
fn what_is_too_short_is_left() {
    assert!(values(&["admin", "true", "5432", "  x  "]).is_empty());
    assert_eq!(masked(&["admin"], "admin"), "admin");
}

#[test]
fn every_form_is_found() {
    let value = "p/ä ss\"wörd<&>\\\u{1f512}";
    let encoded = STANDARD.encode(value);
    let python: String = value.encode_utf16().fold(String::new(), |text, unit| {
        let char = char::from_u32(u32::from(unit)).filter(char::is_ascii);
        text + &char.map_or_else(
            || format!("\\u{unit:04x}"),
            |char| if char == '"' || char == '\\' { format!("\\{char}") } else { char.to_string() },
        )
    });
    let go =
        serde_json::to_string(value).unwrap().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    let component = "p%2F%C3%A4%20ss%22w%C3%B6rd%3C%26%3E%5C%F0%9F%94%92";
    let texts = [
        value.to_owned(),
        encoded.clone(),
        STANDARD_NO_PAD.encode(value),
        URL_SAFE_NO_PAD.encode(value),
        STANDARD.encode(&encoded),
        serde_json::to_string(value).unwrap(),
        serde_json::to_string(&serde_json::to_string(value).unwrap()).unwrap(),
        python.replace('/', "\\/"),
        go,
        component.to_owned(),
        component.to_lowercase(),
        component.replace("%20", "+"),
        component.replace("%26", "&"),
        // Go's userinfo, Python's quote, JavaScript's encodeURI.
        component.replace("%2F", "/").replace("%26", "&"),
        // .NET's and Java's writers of JSON, with what they escape beyond it, and base64 in both.
        "p/\\u00E4 ss\\u0022w\\u00F6rd\\u003C\\u0026\\u003E\\\\\\uD83D\\uDD12".to_owned(),
        encoded.replace('+', "\\u002B").replace('=', "\\u003d"),
        encoded.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"),
        // A shell's.
        "p/ä\\ ss\\\"wörd\\<\\&\\>\\\\\u{1f512}".to_owned(),
    ];
    for text in texts {
        let line = format!("a={text} b");
        let out = masked(&[value], &line);
        assert!(out.contains("(masked by sallyport)"), "{line}");
        // Padding and quotes may stay.
        assert!(out.len() <= "a=\"\\\"(masked by sallyport)\\\"\"== b".len(), "{line} became {out}");
    }
}

#[test]
fn base64_of_a_longer_text_shows_no_whole_character_of_the_value() {
    for before in ["", "u:", "admin:", "user:"] {
        for after in ["", "!", "\n\n"] {
            let text = STANDARD.encode(format!("{before}correct horse battery{after}"));
            let out = masked(&["correct horse battery"], &text);
            let rest: String = out.replace("(masked by sallyport)", "");
            assert!(out != text && rest.len() <= before.len() * 2 + after.len() * 2 + 6, "{text} became {out}");
        }
    }
}

#[test]
fn lines_of_a_key_are_found_by_themselves() {
    let key = "-----BEGIN KEY-----\nMC4CAQAwBQYDK2VwBCIEIKn\nfF3qz2Vw\n-----END KEY-----\n";
    let out = masked(&[key], "1: MC4CAQAwBQYDK2VwBCIEIKn\n2: fF3qz2Vw\n");
    assert_eq!(out, "1: (masked by sallyport)\n2: fF3qz2Vw\n", "a short line is not looked for");
}

/// Each line of a log can be had by itself, with a time in front of it.
#[test]
fn m7_short_lines_are_found_at_the_end_of_a_line() {
    let file: &[u8] = b"USER=web\r\nPW=hunter2\n  port: 80\nx\n";
    let values = Arc::new(SecretValues::with_lines([file], forms::Lines::All).unwrap());
    let text = b"2026-11-30T10:28:00Z USER=web\n2026-11-30T10:28:00Z PW=hunter2\nPW=hunter2 is x\nport: 80";
    let shown = "2026-11-30T10:28:00Z (masked by sallyport)\n2026-11-30T10:28:00Z (masked by sallyport)\nPW=hunter2 is x\n(masked by sallyport)";
    for size in 1..text.len() {
        assert_eq!(String::from_utf8(mask(&values, text.chunks(size))).unwrap(), shown, "{size}");
    }
    assert_eq!(mask(&values, [b"PW=hunter2\r\nx".as_slice()]), b"(masked by sallyport)\nx");
    let shown = br#"{"file":"(masked by sallyport)\n(masked by sallyport)\n"}"#;
    assert_eq!(mask(&values, [br#"{"file":"PW=hunter2\nUSER=web\n"}"#.as_slice()]), shown);
    // In documents they are anybody's lines.
    let values = Arc::new(SecretValues::new([file]).unwrap());
    assert_eq!(mask(&values, [text.as_slice()]), text);
}

/// Wrapped anywhere, with times in front of its lines, within a longer text, with blanks around it that nobody looks for.
#[test]
fn m7_base64_in_lines() {
    let value: String = (0..100).map(|n| format!("{n}-value ")).collect();
    let file = format!("\n  {}\n\n", value.trim());
    let longer = format!("USER=admin\nPASSWORD={} and more, and more\n", value.trim());
    let values = Arc::new(SecretValues::with_lines([file.as_bytes()], forms::Lines::All).unwrap());
    for text in [value.trim(), &file, &longer] {
        let encoded = STANDARD.encode(text);
        for width in [1, 31, 64, 76, 100] {
            let lines: Vec<&str> = encoded.as_bytes().chunks(width).map(|line| str::from_utf8(line).unwrap()).collect();
            for end in ["\n", "\r\n", "\n2026-11-30T10:28:00Z ", "\n2026-11-30T10:28:00.123456789+01:00 ", "\\n"] {
                for size in [1, 7, 10_000] {
                    let printed = format!("> {}\n", lines.join(end));
                    let shown = mask(&values, printed.as_bytes().chunks(size));
                    let shown = String::from_utf8(shown).unwrap();
                    let rest = shown.replace("(masked by sallyport)", "").replace("\\n", " ");
                    // What stands around the value, and characters that have bits of both.
                    let most = (text.len() - value.trim().len()) * 4 / 3 + 8;
                    let left = rest.chars().filter(char::is_ascii_alphanumeric).count();
                    let ends = rest.matches("2026").count() * 30;
                    assert!(shown != printed && left <= most + ends, "{width} {end:?} {size}: {shown}");
                }
            }
        }
    }
}

/// `base64 file | base64`: of a file that ends in a line break or begins with blanks, in lines inside and outside or not.
#[test]
fn m7_base64_of_base64() {
    let long: String = (0..100).map(|n| format!("{n}-value>? ")).collect();
    let in_lines = |text: &str, width: usize| {
        let lines: Vec<&str> = text.as_bytes().chunks(width).map(|line| str::from_utf8(line).unwrap()).collect();
        lines.join("\n")
    };
    for value in ["correct horse battery", long.get(..250).unwrap(), long.trim(), "lineone-secret\r\nlinetwo-secret"] {
        let value = value.trim();
        for file in ["{}", "{}\n", "{}\r\n", "{}\n\n", " {}", "\n  {}\n", "\r\n\t   {}\n"] {
            let file = file.replace("{}", value);
            let values = Arc::new(SecretValues::with_lines([file.as_bytes()], forms::Lines::All).unwrap());
            // A program may leave the blanks out, or write another line break.
            for text in [&file, value, &format!("{}\n", file.trim_end())] {
                for (inside, outside) in [1000, 64, 76].into_iter().flat_map(|one| [1000, 64, 76].map(|two| (one, two)))
                {
                    for encoded in [STANDARD.encode(text), URL_SAFE.encode(text)] {
                        if inside < 1000 && encoded.contains(['-', '_']) {
                            continue;
                        }
                        let inner = in_lines(&encoded, if inside == 1000 { usize::MAX } else { inside });
                        let inner = if inside == 1000 { inner } else { inner + "\n" };
                        let printed =
                            in_lines(&STANDARD.encode(inner), if outside == 1000 { usize::MAX } else { outside });
                        for size in [7, 10_000] {
                            let shown = mask(&values, format!("> {printed}\n").as_bytes().chunks(size));
                            let rest = String::from_utf8(shown).unwrap().replace("(masked by sallyport)", "");
                            let left = rest.chars().filter(char::is_ascii_alphanumeric).count();
                            let most = (text.len() - value.len()) * 16 / 9 + 14;
                            assert!(left <= most, "{text:?} {inside} {outside} {size}: {rest}");
                        }
                    }
                }
            }
        }
    }
}

/// Passwords stand in the midst of texts.
#[test]
fn m7_base64_of_base64_of_a_longer_text() {
    let value = "correct horse battery";
    let values = values(&[value]);
    for before in 0..12 {
        for after in ["", "!", "\n", ";host=db"] {
            let text = format!("{}{value}{after}", "user=admin;pw=".get(..before).unwrap());
            for width in [usize::MAX, 76] {
                let printed = STANDARD.encode(STANDARD.encode(&text));
                let lines: Vec<&[u8]> = printed.as_bytes().chunks(width).collect();
                let shown = String::from_utf8(mask(&values, [lines.join(&b'\n').as_slice()])).unwrap();
                let rest = shown.replace("(masked by sallyport)", "");
                assert!(shown != printed && rest.len() <= (before + after.len()) * 16 / 9 + 14, "{text}: {shown}");
            }
        }
    }
}

/// A part of what was wrapped is found by whole lines.
#[test]
fn m7_one_line_of_base64() {
    let value: String = (0..100).map(|n| format!("{n}-value ")).collect();
    let values = Arc::new(SecretValues::with_lines([value.as_bytes()], forms::Lines::All).unwrap());
    for width in [64, 76] {
        let encoded = STANDARD.encode(value.trim());
        for line in encoded.as_bytes().chunks(width).filter(|line| line.len() >= 16) {
            assert_eq!(mask(&values, [line]), MASKED);
        }
    }
}

/// All certificates end alike, in base64 too.
#[test]
fn m7_another_certificate_is_shown() {
    let certificate = |seed: u64| {
        let body: Vec<u8> = (0..600_u64).map(|n| (seed.wrapping_mul(n * n + 7) >> 5) as u8).collect();
        let lines: Vec<String> =
            STANDARD.encode(body).as_bytes().chunks(64).map(|line| String::from_utf8(line.to_vec()).unwrap()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    let (own, other) = (certificate(0x9e37_79b9), certificate(0x85eb_ca6b));
    let searched = values(&[&own]);
    for pad in ["", " ", "  "] {
        for text in [STANDARD.encode(format!("{other}{pad}")), STANDARD.encode(STANDARD.encode(other.trim_end()))] {
            assert_eq!(mask(&searched, [text.as_bytes()]), text.as_bytes());
        }
    }
    let shown = String::from_utf8(mask(&searched, [STANDARD.encode(own.trim_end()).as_bytes()])).unwrap();
    assert_eq!(shown, "(masked by sallyport)");
}

/// The end of a line is shown when it comes, as long as no value has begun before it.
#[test]
fn lines_are_not_held_back() {
    let values = values(&["hunter22"]);
    let mut masker = TextMasker::new(Arc::clone(&values));
    let mut out = Vec::new();
    let part = TextPart { limit: None, begins_within: true };
    TextMasker::new(Arc::clone(&values)).of_part(part).push(b"ok\n", &mut out);
    assert_eq!(std::mem::take(&mut out), b"ok\n");
    masker.push(b"ready\n", &mut out);
    assert_eq!(out, b"ready\n");
    masker.push(b"2026-11-30T10:28:00", &mut out);
    assert_eq!(out, b"ready\n2026-11-30T10:28:00");
    masker.push(b"Z hunter", &mut out);
    masker.push(b"\n", &mut out);
    assert_eq!(out, b"ready\n2026-11-30T10:28:00Z ");
    masker.push(b"2026-11-30T10:28:01Z 22\n", &mut out);
    assert_eq!(out, b"ready\n2026-11-30T10:28:00Z (masked by sallyport)\n");
}

#[test]
fn m7_what_is_written_is_cut_after_it_is_masked() {
    let (values, text) = (values(&["hunter22"]), b"login hunter22 and hunter22 again");
    let whole = mask(&values, [text.as_slice()]);
    for limit in 1..whole.len() + 2 {
        for size in [1, 3, text.len()] {
            let mut masker = TextMasker::new(Arc::clone(&values))
                .of_part(TextPart { limit: Some(limit as u64), begins_within: false });
            let mut out = b"before".to_vec();
            text.chunks(size).for_each(|piece| masker.push(piece, &mut out));
            let done = masker.is_done();
            masker.finish(&mut out);
            assert_eq!(out, [b"before", &whole[..limit.min(whole.len())]].concat());
            assert!(!done || limit <= whole.len(), "{limit}");
        }
    }
}

/// Runtimes keep long lines in pieces, and `tailLines` counts those.
#[test]
fn m7_a_text_that_begins_within_a_value() {
    let values = values(&["correct horse battery"]);
    let part = TextPart { limit: None, begins_within: true };
    let shown = |text: &str, size: usize| {
        let mut masker = TextMasker::new(Arc::clone(&values)).of_part(part);
        let mut out = Vec::new();
        text.as_bytes().chunks(size).for_each(|piece| masker.push(piece, &mut out));
        masker.finish(&mut out);
        String::from_utf8(out).unwrap()
    };
    for (text, expected) in [
        ("orrect horse battery, and more", "(masked by sallyport), and more"),
        ("battery", "(masked by sallyport)"),
        ("2026-11-30T10:28:00.5Z se battery\n", "2026-11-30T10:28:00.5Z (masked by sallyport)\n"),
        ("batteries", "batteries"),
        ("horse", "horse"),
        ("horse b", "horse b"),
        ("ttery", "ttery"),
        ("2026-11-30 started", "2026-11-30 started"),
        ("2026-11", "2026-11"),
        ("correct horse battery", "(masked by sallyport)"),
        ("", ""),
    ] {
        for size in 1..=text.len().max(1) {
            assert_eq!(shown(text, size), expected, "{text} by {size}");
        }
    }
}

#[test]
fn what_cannot_begin_a_value_is_not_held_back() {
    let values = values(&["hunter22", "ter23456"]);
    let mut masker = TextMasker::new(values);
    let mut out = Vec::new();
    masker.push(b"2026-11-28 started\n", &mut out);
    assert_eq!(out, b"2026-11-28 started\n");
    masker.push(b"see hunter2", &mut out);
    assert_eq!(out, b"2026-11-28 started\nsee ");
    masker.push(b"3456", &mut out);
    assert_eq!(out, b"2026-11-28 started\nsee hun(masked by sallyport)".as_slice());
    assert_eq!(masker.finish(&mut out), 1);
}

#[test]
fn an_endless_value_takes_no_memory() {
    let values = values(&["aaaaaaaa"]);
    let mut masker = TextMasker::new(values);
    let mut out = Vec::new();
    for _ in 0..1000 {
        masker.push(&[b'a'; 1000], &mut out);
        assert!(masker.held.len() < 16);
    }
    masker.finish(&mut out);
    assert_eq!(out, MASKED);
}

/// What may be the beginning of a value, and then what stands for nothing, or very many escapes: no more is held or known than a little.
#[test]
fn p12_an_endless_escape_takes_no_memory() {
    let quotes = "\"".repeat(5000);
    let values = values(&["hunter22-and-more", &quotes]);
    for more in ["\n", "\\n", "\\\\n", "\\\"", "\\u0022", "%22", "\r\n2026-11-30T10:28:00Z "] {
        let mut masker = TextMasker::new(Arc::clone(&values));
        let mut out = Vec::new();
        masker.push(b"x hunter2", &mut out);
        for _ in 0..300 {
            masker.push(more.repeat(100).as_bytes(), &mut out);
            assert!(masker.held.len() <= usize::try_from(masker.values.held).unwrap(), "{more:?}");
            assert!(masker.views.known() <= 4 * 256, "{more:?}: {}", masker.views.known());
        }
        masker.push(b"2-and-more y", &mut out);
        masker.finish(&mut out);
        let shown = String::from_utf8(out).unwrap();
        if matches!(more, "\n" | "\\n" | "\r\n2026-11-30T10:28:00Z ") {
            assert!(shown.starts_with("x (") && shown.ends_with(" y") && !shown.contains("2-and"), "{more:?}");
        }
        assert!(shown.len() < 300 * 100 * more.len() + 100);
    }
}

#[test]
fn too_much_is_refused_and_nothing_is_shown() {
    let long: Vec<String> = (0..20_000_u32).map(|index| format!("value number {index}")).collect();
    let error = SecretValues::new(long.iter().map(String::as_bytes)).unwrap_err();
    assert!(matches!(error, ValuesError::TooMuch { .. }));
    assert!(!format!("{:?}", values(&["hunter22"])).contains("hunter"));
}

/// Values that end in one another: each byte of a text may end all of them, and the searcher knows of each for every byte of the longest.
#[test]
fn values_that_end_in_one_another() {
    let ends = |longest: usize| (6..=longest).map(|length| vec![b'a'; length]).collect::<Vec<_>>();
    let few = ends(60);
    let values = Arc::new(SecretValues::new(few.iter().map(Vec::as_slice)).unwrap());
    assert_eq!(mask(&values, [[b'x'; 5], [b'a'; 5], [b'a'; 5], [b'x'; 5]].iter().map(<[u8; 5]>::as_slice)), {
        let masked = String::from_utf8(MASKED.to_vec()).unwrap();
        format!("xxxxx{masked}xxxxx").into_bytes()
    });
    for many in [ends(250), [ends(60), vec![vec![b'a'; 60_000]]].concat()] {
        let refused = SecretValues::new(many.iter().map(Vec::as_slice)).unwrap_err();
        assert_eq!(refused, ValuesError::Searcher);
    }
}

fn secret() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]{6,9}", "[ab\n]{7,24}", "[a-c\"\\\\/<é ]{6,12}", "[a-z0-9]{6,40}"]
}

proptest! {
    #[test]
    fn every_split_gives_the_same_as_the_reference(
        secrets in prop::collection::vec(secret(), 1..4),
        words in prop::collection::vec((0_usize..24, "[ab \n\"c=%\\\\u0]{0,5}"), 0..12),
        size in 1_usize..9,
    ) {
        let bytes: Vec<&[u8]> = secrets.iter().map(String::as_bytes).collect();
        let all = forms::of_all(bytes.iter().copied(), forms::Lines::All, usize::MAX).unwrap();
        // All may be too short without the blanks around them.
        prop_assume!(!all.is_empty());
        let mut text = Vec::new();
        for (form, word) in words {
            // One form or another, escaped or not, and often only a part of it.
            let form = escaped(&all[form * 7 % all.len()], form);
            text.extend_from_slice(&form[..form.len() - form.len() % 3]);
            text.extend_from_slice(word.as_bytes());
        }
        let values = Arc::new(SecretValues::with_lines(bytes.iter().copied(), forms::Lines::All).unwrap());
        let (expected, _) = reference(&all, &text);
        prop_assert_eq!(&mask(&values, [text.as_slice()]), &expected);
        prop_assert_eq!(&mask(&values, text.chunks(size)), &expected);
        for secret in &secrets {
            // The mask itself may complete no value either.
            let secret = secret.trim_ascii().as_bytes();
            prop_assert!(secret.len() < 6 || memmem::find(&expected, secret).is_none());
        }
    }

    /// Whatever a program's writer escapes, for a URL or once or twice in JSON, also of what looks like an escape itself.
    #[test]
    fn m7_whatever_a_writer_escapes_is_found(
        value in "[a-zé\u{1f512}/@&+=<'\"% 0-9\\\\]{6,16}",
        choices in prop::collection::vec(0_u8..4, 128),
        size in 1_usize..9,
    ) {
        let value = value.trim();
        prop_assume!(value.len() >= 6);
        let mut choice = choices.into_iter().cycle();
        let url: String = value.bytes().map(|byte| match choice.next().unwrap() {
            0 => format!("%{byte:02x}"),
            1 => format!("%{byte:02X}"),
            _ if matches!(byte, b'%' | b'\\') || !byte.is_ascii() => format!("%{byte:02X}"),
            _ => char::from(byte).to_string(),
        }).collect();
        let mut json = |text: &str| text.chars().map(|char| match choice.next().unwrap() {
            0 => char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
            1 => char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04X}")).collect(),
            _ if matches!(char, '"' | '\\') => format!("\\{char}"),
            _ => char.to_string(),
        }).collect::<String>();
        let once = json(value);
        let twice = json(&once);
        let both = json(&url);
        for text in [url, once, twice, both] {
            let values = values(&[value]);
            let (expected, line) = ("=(masked by sallyport) end", format!("={text} end"));
            let shown = String::from_utf8(mask(&values, [line.as_bytes()])).unwrap();
            prop_assert_eq!(&shown, expected, "{}", line);
            prop_assert_eq!(&mask(&values, line.as_bytes().chunks(size)), expected.as_bytes(), "{}", line);
        }
    }

    #[test]
    fn near_the_corpus(choice in any::<prop::sample::Index>(), changes in corpus::changes()) {
        fuzz_values(&corpus::changed("values", &choice, &changes));
    }
}

/// A file for image registries that stands for very much is not read, and then no text is shown.
#[test]
fn m7_a_file_for_registries_is_read_within_bounds() {
    use crate::mask::tests::context;
    use crate::request_info::Verb;
    use crate::restore::ReadObject;
    let of = |file: &str| {
        let data = serde_json::json!({".dockerconfigjson": STANDARD.encode(file)});
        let secret =
            serde_json::json!({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "pull"}, "data": data});
        let read = ReadObject::new(secret.to_string().as_bytes(), &context("secrets", Verb::Get)).unwrap();
        let mut found = FoundValues::default();
        found.add(&read).and_then(|()| SecretValues::of(&found)).map(|values| values.is_empty())
    };
    assert_eq!(of(r#"{"auths":{"registry.example":{"username":"u","password":"canary-of-a-registry"}}}"#), Ok(false));
    assert_eq!(of("no JSON, and a value all the same"), Ok(false));
    let maps = r#"{"":0},"#.repeat(shared::limits::ANNOTATION_TREE_BYTES / 600);
    assert!(matches!(of(&format!(r#"{{"auths":{{"a":[{maps}0]}}}}"#)), Err(ValuesError::TooMuch { .. })));
}
