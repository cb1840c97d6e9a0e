//! Signed webhooks.

use super::app_server::{AppServer, ReceivedRequest, status};
use super::job_thread::JobThread;
use hmac::{Hmac, KeyInit, Mac};
use pulsegate::gateway::AppRegistry;
use pulsegate::gateway::StopReason;
use pulsegate::gateway::{Job, RetryPolicy, WebhookJob};
use pulsegate::side::WebhookSettings;
use serde_json::json;

fn apps(key: &str) -> Option<AppRegistry> {
    let list = json!([{"package": "signed", "api_key": key}]);
    Some(AppRegistry::parse(list.to_string().as_bytes()).expect("apps"))
}

/// Checks the signature of a request as an app's server would.
#[track_caller]
fn check_signature(asked: &ReceivedRequest, key: &str) {
    let head = asked.head.to_lowercase();
    let (_, value) = head
        .split_once("x-pulsegate-signature: ")
        .expect("a signature");
    let value = value.lines().next().expect("a line");
    let (at, hex) = value
        .strip_prefix("t=")
        .and_then(|v| v.split_once(",v1="))
        .expect("t and v1");
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).expect("later");
    let at_seconds: u64 = at.parse().expect("seconds");
    assert!(now.as_secs().abs_diff(at_seconds) < 60, "{value}");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).expect("a key");
    mac.update(&[at.as_bytes(), b".", &asked.bytes].concat());
    let wanted: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    assert_eq!(hex, wanted, "over {:?}", asked.body);
}

#[test]
fn a_webhook_is_signed_with_the_key_of_its_app() {
    let server = AppServer::new(&[status(200)]);
    // One key shorter and one longer than a block of the hash.
    for key in ["the-key-of-an-app", &"long".repeat(100)] {
        let before = server.requests().len();
        let mut jobs = JobThread::with_settings(WebhookSettings {
            allow: None,
            apps: apps(key),
        });
        jobs.start("zoë", "signed", &server.url(), RetryPolicy::TwoAttempts);
        check_signature(&server.wait_for(before + 1)[before], key);
        jobs.wait_for_rest();
        jobs.queue_job(vec![Job::Webhook(WebhookJob::Stop {
            user: "zoë".into(),
            package: "signed".into(),
            url: server.url().into(),
            reason: StopReason::SystemStop,
        })]);
        check_signature(&server.wait_for(before + 2)[before + 1], key);
        jobs.wait_for_rest();
        // After a reload the new key signs.
        jobs.settings.lock().expect("whole").apps = apps("another-key");
        jobs.start("zoë", "signed", &server.url(), RetryPolicy::TwoAttempts);
        check_signature(&server.wait_for(before + 3)[before + 2], "another-key");
        jobs.wait_for_rest();
        // An app without a key has no signature.
        jobs.start("zoë", "unsigned", &server.url(), RetryPolicy::TwoAttempts);
        let asked = server.wait_for(before + 4)[before + 3].clone();
        assert!(!asked.head.to_lowercase().contains("x-pulsegate"));
    }
}
