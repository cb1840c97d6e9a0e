//! Tests of the field scanner: valid and broken texts, read in steps of every size.

use super::*;
use crate::host::mutation::mutate;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// Parses like the parser of small texts: names are checked, values are not.
type Names = BTreeMap<String, IgnoredAny>;

fn read(text: &str, step: usize) -> Result<ScanProgress, Malformed> {
    let mut scanner = FieldScanner::new(APP_FIELDS);
    loop {
        match scanner.read(text, step) {
            Ok(ScanProgress::Partial) => {}
            done => return done,
        }
    }
}

fn read_all(text: &str) -> Result<ScanProgress, Malformed> {
    read(text, 1_000)
}

fn whole(text: &str) -> String {
    match read(text, 7) {
        Ok(ScanProgress::Whole(fields)) => fields,
        other => panic!("{other:?}: {text}"),
    }
}

#[test]
fn the_fields_that_are_read_are_copied_as_they_stand() {
    for (text, fields) in [
        (r#" { } "#, "{}"),
        (r#"{"x":1}"#, "{}"),
        (
            r#"{"x":[{"type":"no"}], "type" : "a" ,"pad":"é\"}","packageName":null}"#,
            r#"{"type" : "a","packageName":null}"#,
        ),
        (
            r#"{"subscriptions":["a",{"stream":"b"}],"type":"a","t\u0079pe":-1.5e+3}"#,
            r#"{"type":"a","t\u0079pe":-1.5e+3,"subscriptions":["a",{"stream":"b"}]}"#,
        ),
        (r#"{"packageN\u0061me":"p"}"#, r#"{"packageN\u0061me":"p"}"#),
        (r#"{"type":true,"types":1,"Type":2}"#, r#"{"type":true}"#),
    ] {
        assert_eq!(whole(text), fields, "{text}");
    }
}

#[test]
fn fields_that_are_too_long_are_given_up() {
    let long = format!(
        r#"{{"a":1,"subscriptions":["{}"#,
        "x".repeat(2 * FIELDS_MAX_BYTES)
    );
    let Ok(ScanProgress::TooLong(begin)) = read(&long, 1_000) else {
        panic!("no end");
    };
    assert!(begin.starts_with(r#"{"subscriptions":["xx"#));
    assert!(begin.len() <= FIELDS_MAX_BYTES + 1_002, "{}", begin.len());
    let nested = r#"{"type":["a"],"packageName":{"b":1},"apiKey":[1,1],"subscriptions":["c"]}"#;
    let left = r#"{"type":[],"packageName":[],"apiKey":[],"subscriptions":["c"]}"#;
    assert_eq!(whole(nested), left);
    // A list of this many numbers would take long to parse.
    let dense = format!(
        r#"{{"subscriptions":[{}]"#,
        vec!["1"; FIELDS_MAX_TOKENS].join(",")
    );
    assert!(matches!(read_all(&dense), Ok(ScanProgress::TooLong(_))));
    let escaped = format!("{{{}", r#""\u0061\u0062":1,"#.repeat(FIELDS_MAX_TOKENS));
    assert!(matches!(read_all(&escaped), Ok(ScanProgress::TooLong(_))));
    let largest = vec![format!(r#"{{"stream":"{}"}}"#, "x".repeat(256)); 256].join(",");
    let largest = format!(r#"{{"type":"subscription_update","subscriptions":[{largest}]}}"#);
    assert_eq!(
        read(&largest, 4_096),
        Ok(ScanProgress::Whole(largest.clone()))
    );
    let many = format!("{{{}", r#""type":"aaaaaaaaa","#.repeat(10_000));
    assert!(matches!(read(&many, 1_000), Ok(ScanProgress::TooLong(_))));
    let other = format!(
        r#"{{"a":"{}","type":"b"}}"#,
        "x".repeat(2 * FIELDS_MAX_BYTES)
    );
    assert_eq!(whole(&other), r#"{"type":"b"}"#);
}

#[test]
fn nesting_costs_a_bit_a_level() {
    let deep = format!(r#"{{"x":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let mut scanner = FieldScanner::new(APP_FIELDS);
    assert_eq!(scanner.read(&deep, 150_000), Ok(ScanProgress::Partial));
    assert!(scanner.allocated() < 40_000, "{}", scanner.allocated());
    assert_eq!(whole(&deep), "{}");
    let crossed = r#"{"x":[{]}}"#;
    assert!(read(crossed, 3).is_err());
}

/// Mutated texts (bytes changed, cut, doubled, moved) are accepted exactly when serde accepts them,
/// whatever the steps, and yield the same fields.
#[test]
fn it_judges_as_serde_does() {
    const TEXTS: [&str; 6] = [
        r#"{"type":"a","n":[1,-2.5e3,0,0.1,1E-7,null,true,false],"packageName":"p"}"#,
        r#"{"subscriptions":["a",{"stream":"b","rate":"c"}],"type":"subscription_update"}"#,
        r#"{"t\u0079pe":"a","text":"\u00e9\ud83d\udc53 \\ \" / \b\f\n\r\t"}"#,
        r#"{"deep":[[[[{"a":{"b":[]}}]]]],"type":"x"}"#,
        " {\n\t\"type\" : \"a\" , \"x\" : { } , \"y\" : [ ] }\r ",
        r#"{"type":"é€𝄞","é":"€"}"#,
    ];
    let mut rng = fastrand::Rng::with_seed(8259);
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..60_000 {
        let Some(text) = mutate(&mut rng, &TEXTS) else {
            continue;
        };
        let is_json =
            serde_json::from_str::<Names>(&text).is_ok() && text.trim_start().starts_with('{');
        match read(&text, rng.usize(1..20)) {
            Ok(ScanProgress::Whole(fields)) => {
                assert!(is_json, "{text}");
                taken += 1;
                // Half a surrogate pair is valid JSON, but not a Rust string.
                let (Ok(said), Ok(read)) = (
                    serde_json::from_str::<serde_json::Value>(&text),
                    serde_json::from_str::<serde_json::Value>(&fields),
                ) else {
                    assert!(text.contains("\\u"), "{text}");
                    continue;
                };
                for field in APP_FIELDS {
                    let nested = |v: &&serde_json::Value| v.is_array() || v.is_object();
                    let said = said.get(*field);
                    if *field == "subscriptions" || said.is_none_or(|v| !nested(&v)) {
                        assert_eq!(said, read.get(*field), "{text}");
                    }
                }
            }
            Ok(other) => panic!("{other:?}: {text}"),
            Err(_) => {
                assert!(!is_json, "{text}");
                refused += 1;
            }
        }
    }
    assert!(taken > 10_000 && refused > 10_000, "{taken} {refused}");
}
