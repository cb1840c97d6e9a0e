//! Trusted certificates: needed for https, and looked for again.

use crate::commands::ended;
use crate::folder::Folder;
use crate::peers::{SECRET, glasses_with_token};
use crate::sockets::{Event, Gateway, eventually};
use std::process::Command;

/// A self-made certificate that stays valid.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBiTCCAS+gAwIBAgIUWZOlBzC3s2bY+vai0yxjDEtVClYwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOcHVsc2VnYXRlIHRlc3QwIBcNMjYxMTI4MjAwOTU1WhgPMjEy
NjExMDQyMDA5NTVaMBkxFzAVBgNVBAMMDnB1bHNlZ2F0ZSB0ZXN0MFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEkgKEq34gHy3T4en6TcYUlPB8IPkAJAppDpT+yUyB
AAr8SnZUlzhbZESgdkvs+69j9C0wr7w2i70n+sRTd8Ol0qNTMFEwHQYDVR0OBBYE
FN7wT6PTMUtAgcY77YQHoPi5KBGnMB8GA1UdIwQYMBaAFN7wT6PTMUtAgcY77YQH
oPi5KBGnMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgBlBeMrDo
Y7JbaAE2BC4PHJ916UtQcKZMUMhDeAp4FmACIQDuKFYwKgyDklTHDuLIPHtWKGNB
YUGXVULf0brS58xXdg==
-----END CERTIFICATE-----
";

/// Returns a gateway with an app whose https server is down, and a system that trusts the
/// certificates in a file.
fn with_trust(folder: &Folder, certificates: &str, more: &[(&str, &str)]) -> Command {
    let apps = folder.file(
        "apps.json",
        r#"[{"package":"p.x","api_key":"k","webhook_url":"https://127.0.0.1:1/"}]"#,
    );
    let (trust, none) = (folder.file("trust.pem", certificates), folder.path("none"));
    let mut command = Gateway::command(&[
        ("DRAIN_MS", "0"),
        ("AUTH_JWT_SECRET", SECRET),
        ("APPS_FILE", &apps),
        ("SSL_CERT_FILE", &trust),
        ("SSL_CERT_DIR", &none),
    ]);
    command.envs(more.iter().copied());
    command
}

/// Asserts that the gateway does not start without certificates, and blames this setting.
#[track_caller]
fn refused_without_certificates(folder: &Folder, more: &[(&str, &str)], setting: &str) {
    let (code, log) = ended(with_trust(folder, "", more));
    assert_eq!(code, Some(1), "{log}");
    let blamed = format!("{setting} has a URL with https");
    assert!(log.contains(&blamed), "{log}");
    let why = "this system has no trusted certificates";
    assert!(log.contains(why), "{log}");
}

#[test]
fn without_certificates_no_https_webhook_is_promised() {
    let folder = Folder::new();
    refused_without_certificates(&folder, &[], "APPS_FILE");
}

#[test]
fn without_certificates_no_alert_over_https_is_promised() {
    let folder = Folder::new();
    let plain = folder.file("plain.json", "[]");
    let url = ("ALERT_WEBHOOK_URL", "HTTPS://127.0.0.1:1/");
    let alerts = [("APPS_FILE", &*plain), url];
    refused_without_certificates(&folder, &alerts, "ALERT_WEBHOOK_URL");
}

#[test]
fn without_https_no_certificates_are_needed_until_a_reload_would_need_them() {
    let folder = Folder::new();
    let plain = folder.file("plain.json", "[]");
    let gateway = Gateway::start_unread(with_trust(&folder, "", &[("APPS_FILE", &plain)])).read();
    folder.file(
        "plain.json",
        r#"[{"package":"p.y","api_key":"k","webhook_url":"https://127.0.0.1:1/"}]"#,
    );
    gateway.signal("HUP");
    gateway.line(&["reload refused fault=", "has no trusted certificates"]);
    gateway.end();
}

#[test]
fn certificates_are_looked_for_again_and_no_app_is_blamed_for_want_of_them() {
    let folder = Folder::new();
    let gateway = Gateway::start_unread(with_trust(&folder, CERTIFICATE, &[])).read();
    // They are removed before the first webhook.
    folder.file("trust.pem", "");
    let mut glasses = glasses_with_token(&gateway, "ada");
    let mut start = || {
        glasses.send_text(r#"{"type":"start_app","packageName":"p.x"}"#);
        loop {
            match glasses.next_answering() {
                Event::Text(text) if text.contains("app_stopped") => return text,
                Event::Text(_) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    for _ in 0..6 {
        let told = start();
        assert!(told.contains("the gateway cannot send webhooks"), "{told}");
    }
    assert_eq!(gateway.lines(&["[ERROR] webhook https=off"]).len(), 1);
    assert_eq!(gateway.lines(&["breaker=open"]), [""; 0]);
    let webhooks = gateway.api("/api/v1/webhooks");
    assert_eq!(webhooks["down"], serde_json::json!([]), "{webhooks}");
    // Present again: now it is the server that cannot be reached.
    folder.file("trust.pem", CERTIFICATE);
    eventually("https is on", || {
        start();
        gateway.lines(&["[INFO] webhook https=on"]).first().cloned()
    });
    gateway.line(&["webhook type=session_request", "Connection refused"]);
    drop(glasses);
    gateway.end();
}
