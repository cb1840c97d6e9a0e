//! What a webhook sends, and what counts as its answer.

use super::app_server::{Answer, AppServer, status, unused_url};
use super::job_thread::{JobThread, LONG, eventually, why_it_is_down};
use pulsegate::gateway::StopReason;
use pulsegate::gateway::{Job, RetryPolicy, WebhookJob};
use pulsegate::side::{WebhookResult, WebhookType};
use serde_json::json;
use std::fs;
use std::time::{Duration, Instant};

#[test]
fn what_is_posted_is_what_the_contract_says() {
    let server = AppServer::new(&[status(200)]);
    let mut jobs = JobThread::new(LONG);
    let user = "ann-marie@example.org";
    jobs.start(
        user,
        "com.example.app",
        &server.url(),
        RetryPolicy::TwoAttempts,
    );
    let asked = server.wait_for(1)[0].clone();
    assert!(asked.head.starts_with("POST /webhook HTTP/1.1\r\n"));
    let head = asked.head.to_lowercase();
    assert!(head.contains("content-type: application/json\r\n"));
    assert!(head.contains(&format!("host: {}\r\n", server.addr)));
    let timestamp = asked.body["timestamp"].as_str().expect("a time");
    assert_eq!((timestamp.len(), &timestamp[23..]), (24, "Z"), "ISO 8601");
    assert_eq!(
        asked.body,
        json!({
            "type": "session_request",
            "sessionId": "ann-marie@example.org-com.example.app",
            "userId": user,
            "timestamp": timestamp,
            "mentraOSWebsocketUrl": "ws://gateway.example/app-ws",
            "augmentOSWebsocketUrl": "ws://gateway.example/app-ws",
        })
    );
    jobs.wait_for(WebhookResult::Answered, 1);
    let reasons = [
        (StopReason::UserDisabled, "user_disabled"),
        (StopReason::SystemStop, "system_stop"),
        (StopReason::Error, "error"),
    ];
    for (nth, (reason, word)) in reasons.into_iter().enumerate() {
        jobs.queue_job(vec![Job::Webhook(WebhookJob::Stop {
            user: user.into(),
            package: "com.example.app".into(),
            url: server.url().into(),
            reason,
        })]);
        let asked = server.wait_for(nth + 2)[nth + 1].clone();
        assert_eq!(
            asked.body,
            json!({
                "type": "stop_request",
                "sessionId": "ann-marie@example.org-com.example.app",
                "userId": user,
                "timestamp": asked.body["timestamp"],
                "reason": word,
            })
        );
        jobs.wait_for_rest();
    }
    let stats = jobs.control.webhooks();
    let (kind, result) = (WebhookType::StopRequest, WebhookResult::Answered);
    assert_eq!(stats.counts.get(kind, result), 3);
}

#[test]
fn what_fails_is_tried_again() {
    let server = AppServer::new(&[status(500), status(200)]);
    let mut jobs = JobThread::new(LONG);
    let begun = Instant::now();
    jobs.start("alice", "p", &server.url(), RetryPolicy::TwoAttempts);
    jobs.wait_for(WebhookResult::Answered, 1);
    assert!(begun.elapsed() >= Duration::from_secs(1), "a second apart");
    assert_eq!(jobs.count(WebhookResult::Refused), 1);
    assert_eq!(server.requests().len(), 2);
    jobs.wait_for_rest();
}

#[test]
fn a_server_that_never_answers_is_given_up_twice() {
    let server = AppServer::new(&[Answer::Never]);
    let mut jobs = JobThread::new(Duration::from_secs(1));
    jobs.start("alice", "p", &server.url(), RetryPolicy::TwoAttempts);
    jobs.wait_for(WebhookResult::Timeout, 2);
    jobs.wait_for_rest();
    eventually("both connections are closed", || {
        *server.left.lock().expect("whole") == 2
    });
}

#[test]
fn a_port_without_a_listener_is_unreachable_and_so_is_what_is_no_url() {
    let plain = AppServer::new(&[status(200)]);
    let mut jobs = JobThread::new(LONG);
    let urls = [
        unused_url(),
        // There is no TLS on that port.
        format!("https://{}/webhook", plain.addr),
        "ftp://127.0.0.1/".to_owned(),
        "not a url".to_owned(),
        String::new(),
        format!("http://user:secret@{}/webhook", plain.addr),
    ];
    for (nth, url) in urls.iter().enumerate() {
        jobs.start("alice", &format!("p{nth}"), url, RetryPolicy::TwoAttempts);
    }
    jobs.wait_for(WebhookResult::Unreachable, 2 * urls.len() as u64);
    jobs.wait_for_rest();
    assert_eq!(plain.requests().len(), 0);
}

#[test]
fn redirects_are_not_followed() {
    let elsewhere = AppServer::new(&[status(200)]);
    let mut jobs = JobThread::new(LONG);
    for code in [301, 302, 307, 308] {
        let server = AppServer::new(&[Answer::Bytes(format!(
            "HTTP/1.1 {code} -\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
            elsewhere.url()
        ))]);
        jobs.start(
            "alice",
            &format!("p{code}"),
            &server.url(),
            RetryPolicy::TwoAttempts,
        );
    }
    jobs.wait_for(WebhookResult::Refused, 8);
    assert_eq!(elsewhere.requests().len(), 0);
}

#[test]
fn an_answer_without_an_end_is_an_answer_and_is_not_read_to_its_end() {
    let server = AppServer::new(&[Answer::Endless]);
    let mut jobs = JobThread::new(LONG);
    jobs.start("alice", "p", &server.url(), RetryPolicy::TwoAttempts);
    jobs.wait_for(WebhookResult::Answered, 1);
    eventually("it is cut off", || *server.left.lock().expect("whole") == 1);
}

#[test]
fn interim_responses_without_an_end_end_the_webhook_and_say_why() {
    let server = AppServer::new(&[Answer::Continue]);
    // The timeout is never reached: only the limit of bytes ends it.
    let mut jobs = JobThread::new(Duration::from_secs(3_600));
    let why = why_it_is_down(&mut jobs, &server.url());
    assert_eq!(why, "no final response head within the first 65536 bytes");
    assert_eq!(jobs.count(WebhookResult::Timeout), 0);
    let asked = server.requests().len();
    eventually("all are cut off", || {
        *server.left.lock().expect("whole") >= asked
    });
}

#[test]
fn some_interim_responses_before_an_answer_are_no_fault() {
    let some = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let server = AppServer::new(&[Answer::Bytes(some.repeat(100) + answer)]);
    let mut jobs = JobThread::new(LONG);
    jobs.start("alice", "p", &server.url(), RetryPolicy::TwoAttempts);
    jobs.wait_for(WebhookResult::Answered, 1);
}

#[test]
fn webhooks_and_the_admin_listener_have_a_thread_each() {
    let _bench = JobThread::new(LONG);
    let threads = || {
        let threads = fs::read_dir("/proc/self/task").expect("threads");
        let name =
            |t: std::io::Result<fs::DirEntry>| fs::read_to_string(t.ok()?.path().join("comm")).ok();
        let names: Vec<String> = threads.filter_map(name).collect();
        let is = |name: &str| names.iter().any(|n| n.trim() == name);
        is("control") && is("jobs")
    };
    eventually("both threads", threads);
}
