//! Tests of valid and broken lists of apps.

use super::*;

fn fault(json: &str) -> String {
    let text = AppRegistry::parse(json.as_bytes())
        .expect_err(json)
        .to_string();
    assert!(!text.contains("s3cret") && !text.contains('\n'), "{text}");
    text
}

#[test]
fn a_list_of_apps_is_read() {
    let json = br#"[
        {"package": "org.example.app-one", "api_key": "k1",
         "webhook_url": "https://one:8443/webhook"},
        {"api_key": "k2", "package": "two", "webhook_url": null},
        {"package": "three", "api_key": "k1"}
    ]"#;
    let apps = AppRegistry::parse(json).expect("apps");
    assert_eq!(apps.len(), 3);
    assert_eq!(
        apps.webhook_url("org.example.app-one"),
        Some("https://one:8443/webhook")
    );
    assert_eq!(apps.webhook_url("two"), None);
    assert_eq!(apps.webhook_url("four"), None);
    let packages = ["org.example.app-one", "two", "three", "four", ""];
    assert_eq!(
        packages.map(|p| apps.is_key(p, "k1")),
        [true, false, true, false, false]
    );
    assert_eq!(
        packages.map(|p| apps.contains(p)),
        [true, true, true, false, false]
    );
    assert_eq!(format!("{apps:?}"), "3 apps");
    let with_mark = [b"\xef\xbb\xbf".as_slice(), json].concat();
    assert_eq!(
        AppRegistry::parse(&with_mark),
        Ok(apps),
        "as some editors leave it"
    );
    assert!(AppRegistry::parse(b"[]").is_ok_and(|apps| apps.is_empty()));
}

#[test]
fn another_key_or_webhook_is_a_change() {
    let apps = |key: &str, url: &str| {
        let json = format!(r#"[{{"package":"a","api_key":"{key}","webhook_url":"{url}"}}]"#);
        AppRegistry::parse(json.as_bytes()).expect("apps")
    };
    assert_eq!(apps("k", "http://a"), apps("k", "http://a"));
    assert_ne!(apps("k", "http://a"), apps("l", "http://a"));
    assert_ne!(apps("k", "http://a"), apps("k", "http://b"));
}

#[test]
fn what_an_app_may_send_is_listed_or_not_bounded() {
    let apps = |may_send: &str| {
        let json = format!(r#"[{{"package":"a","api_key":"k"{may_send}}}]"#);
        AppRegistry::parse(json.as_bytes())
    };
    for all in ["", r#","may_send":null"#] {
        assert!(apps(all).is_ok_and(|apps| apps.may_send("a", "display_event")));
    }
    let some = apps(r#","may_send":["display_event","x"]"#).expect("apps");
    let may = |kind| some.may_send("a", kind);
    assert!(may("display_event") && may("x") && !may("photo_request") && !may(""));
    assert!(apps(r#","may_send":[]"#).is_ok_and(|apps| !apps.may_send("a", "x")));
    assert_ne!(apps(""), apps(r#","may_send":[]"#), "a reload sees it");
    let many = vec![r#""x""#; TYPES_MAX + 1].join(",");
    let long = "x".repeat(NAME_MAX + 1);
    for wrong in [
        r#""x""#.to_owned(),
        "1".to_owned(),
        "[1]".to_owned(),
        r#"[""]"#.to_owned(),
        format!("[{many}]"),
        format!(r#"["{long}"]"#),
    ] {
        let told = apps(&format!(r#","may_send":{wrong}"#))
            .expect_err(&wrong)
            .to_string();
        assert!(
            told.ends_with("app 1: may_send is not an array of at most 64 types of 1 to 256 bytes")
        );
    }
}

#[test]
fn what_is_no_list_is_told_with_its_place() {
    for (json, told) in [
        ("", "a file in JSON, which line 1, column 0 is not"),
        ("[\n{]", "a file in JSON, which line 2, column 2 is not"),
        (
            "[{\"package\": \"s3cret",
            "a file in JSON, which line 1, column 20 is not",
        ),
        ("[] []", "a file in JSON, which line 1, column 4 is not"),
        ("{}", "a JSON array of apps"),
        ("\"s3cret\"", "a JSON array of apps"),
        ("null", "a JSON array of apps"),
    ] {
        assert_eq!(fault(json), told, "{json}");
    }
    assert!(AppRegistry::parse(b"[\"\xff\"]").is_err());
    assert!(
        AppRegistry::parse("[".repeat(1 << 20).as_bytes()).is_err(),
        "no deep recursion"
    );
    let many = |n: usize| {
        let apps = (0..n).map(|n| format!(r#"{{"package":"p{n}","api_key":"k"}}"#));
        format!("[{}]", apps.collect::<Vec<_>>().join(","))
    };
    assert_eq!(
        AppRegistry::parse(many(APPS_MAX).as_bytes()).map(|a| a.len()),
        Ok(APPS_MAX)
    );
    assert_eq!(fault(&many(APPS_MAX + 1)), "a list of at most 10000 apps");
}

#[test]
fn every_fault_of_every_app_is_told_at_once() {
    let package = "package is not a string of 1 to 256 bytes without control characters";
    let key = "api_key is not a string of 1 to 512 bytes without control characters";
    let url = "webhook_url is not a URL with http:// or https:// and a host, without a user name";
    let field = "has a field other than package, api_key, webhook_url and may_send";
    let long = "x".repeat(257);
    let long_key = "x".repeat(513);
    let json = format!(
        r#"[
            {{"package": "a", "api_key": "s3cret"}},
            {{"package": "a", "api_key": "s3cret"}},
            {{"package": "", "api_key": "", "webhook_url": ""}},
            {{"package": 5, "webhook_url": "ftp://a"}},
            {{"package": "{long}", "api_key": "{long_key}"}},
            {{"package": "b\n", "api_key": "s3cret\u0000"}},
            "s3cret", [{{}}], 5, -5, 0.5, true, null,
            {{"package": "c", "api_key": "s3cret", "s3cret": 1}},
            {{"package": "d", "api_key": "s3cret", "api_key": "s3cret2"}},
            {{"package": "e", "api_key": ["s3cret"]}}
        ]"#
    );
    let told = [
        "app 2: package is the same as that of app 1".to_owned(),
        format!("app 3: {package}, app 3: {key}, app 3: {url}"),
        format!("app 4: {package}, app 4: {key}, app 4: {url}"),
        format!("app 5: {package}, app 5: {key}"),
        format!("app 6: {package}, app 6: {key}"),
        (7..=13)
            .map(|n| format!("app {n}: is no object"))
            .collect::<Vec<_>>()
            .join(", "),
        format!("app 14: {field}"),
        "app 15: has a field twice".to_owned(),
    ];
    assert_eq!(
        fault(&json),
        format!(
            "a list of apps without faults: {}, and 1 more",
            told.join(", ")
        )
    );
    let many = vec!["5"; 1_000].join(",");
    let told = fault(&format!("[{many}]"));
    assert!(
        told.ends_with("app 20: is no object, and 980 more"),
        "{told}"
    );
}
