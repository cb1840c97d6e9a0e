//! Where webhooks may go.

use super::app_server::{AppServer, status};
use super::job_thread::{JobThread, LONG, why_it_is_down};
use pulsegate::gateway::RetryPolicy;
use pulsegate::side::WebhookResult;
use pulsegate::side::WebhookSettings;

fn allow(networks: &[&str]) -> WebhookSettings {
    let networks = networks.iter().map(|n| n.parse().expect("a network"));
    WebhookSettings {
        allow: Some(networks.collect()),
        apps: None,
    }
}

#[test]
fn link_local_and_metadata_addresses_are_not_asked_however_they_are_written() {
    for (host, address) in [
        ("169.254.169.254", "169.254.169.254"),
        ("[::ffff:169.254.169.254]", "169.254.169.254"),
        ("[fe80::1]", "fe80::1"),
        ("[fd00:ec2::254]", "fd00:ec2::254"),
        // The URL's parser does not take it for an address, but the resolver does: the address that
        // it leads to counts.
        ("0xa9fea9fe", "169.254.169.254"),
        ("2852039166", "169.254.169.254"),
    ] {
        let mut jobs = JobThread::new(LONG);
        let why = why_it_is_down(&mut jobs, &format!("http://{host}:9/latest/meta-data"));
        let wanted = format!(
            "{address} is link-local or a metadata service, and WEBHOOK_ALLOW does not name it"
        );
        assert_eq!(why, wanted, "{host}");
    }
}

#[test]
fn a_webhook_goes_only_to_networks_that_are_allowed() {
    let server = AppServer::new(&[status(200)]);
    // A name is checked in the same way, after it was resolved.
    let by_name = format!("http://localhost:{}/webhook", server.addr.port());
    for url in [server.url(), by_name] {
        let mut jobs = JobThread::with_settings(allow(&["203.0.113.0/24"]));
        let why = why_it_is_down(&mut jobs, &url);
        assert!(
            why.ends_with(" is in no network that WEBHOOK_ALLOW lists"),
            "{why}"
        );
        assert_eq!(server.requests().len(), 0);
    }
    let mut jobs = JobThread::with_settings(allow(&["203.0.113.0/24", "127.0.0.0/8"]));
    jobs.start("alice", "p", &server.url(), RetryPolicy::TwoAttempts);
    jobs.wait_for(WebhookResult::Answered, 1);
    // A change applies from the next webhook on.
    *jobs.settings.lock().expect("whole") = allow(&[]);
    jobs.start("alice", "q", &server.url(), RetryPolicy::TwoAttempts);
    jobs.wait_for(WebhookResult::Unreachable, 2);
    assert_eq!(server.requests().len(), 1);
}
