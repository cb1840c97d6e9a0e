//! The queue of webhooks: apps that are down, cancelled and shared requests, and many at once.

use super::app_server::{Answer, AppServer, status};
use super::job_thread::{JobThread, LONG, eventually, start};
use pulsegate::Micros;
use pulsegate::gateway::{Job, RetryPolicy, WebhookJob};
use pulsegate::side::WebhookResult;
use std::time::Instant;

#[test]
fn an_app_that_is_down_is_told_of() {
    let server = AppServer::new(&[status(503)]);
    let (mut jobs, url) = (JobThread::new(LONG), server.url());
    let package = "com.example.down";
    for n in 0..5 {
        jobs.start(
            &format!("user{n}"),
            package,
            &url,
            RetryPolicy::UntilCancelled,
        );
    }
    eventually("the breaker", || jobs.control.webhooks().breakers_open == 1);
    let down = jobs.control.webhooks().down[0].clone();
    assert_eq!(&*down.package, package);
    assert_eq!(&*down.last_error, "answered with status 503");
    jobs.start("somebody", package, &url, RetryPolicy::TwoAttempts);
    jobs.wait_for(WebhookResult::BreakerOpen, 1);
}

#[test]
fn what_is_cancelled_before_its_time_is_not_posted() {
    let server = AppServer::new(&[status(200)]);
    let jobs = JobThread::new(LONG);
    jobs.queue_job(vec![Job::Webhook(WebhookJob::Start {
        number: 1,
        user: "alice".into(),
        package: "p".into(),
        url: server.url().into(),
        retry: RetryPolicy::UntilCancelled,
        after: Micros::from_secs(3_600),
    })]);
    eventually("it waits", || jobs.control.webhooks().waiting == 1);
    jobs.queue_job(vec![Job::Webhook(WebhookJob::Cancel { number: 1 })]);
    jobs.wait_for(WebhookResult::Cancelled, 1);
    jobs.wait_for_rest();
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn one_request_serves_all_callers_that_want_the_same() {
    let server = AppServer::new(&[Answer::Never]);
    let mut jobs = JobThread::new(LONG);
    for _ in 0..10 {
        jobs.start("alice", "p", &server.url(), RetryPolicy::TwoAttempts);
    }
    let marker = AppServer::new(&[status(200)]);
    jobs.start("alice", "marker", &marker.url(), RetryPolicy::TwoAttempts);
    marker.wait_for(1);
    server.wait_for(1);
    assert_eq!(server.requests().len(), 1);
    // The answer to the marker may still be on its way.
    eventually("one is under way", || {
        jobs.control.webhooks().in_flight == 1
    });
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn ten_thousand_starts_of_a_dead_app_do_not_delay_another() {
    let (dead, well) = (
        AppServer::new(&[Answer::Never]),
        AppServer::new(&[status(200)]),
    );
    let mut jobs = JobThread::new(LONG);
    let flood: Vec<Job> = (0..10_000)
        .map(|n| {
            let user = format!("user{n}");
            start(
                1_000_000 + n,
                &user,
                "dead",
                &dead.url(),
                RetryPolicy::UntilCancelled,
            )
        })
        .collect();
    let begun = Instant::now();
    jobs.queue_job(flood);
    for n in 0..20 {
        jobs.start(
            &format!("user{n}"),
            "well",
            &well.url(),
            RetryPolicy::TwoAttempts,
        );
    }
    jobs.wait_for(WebhookResult::Answered, 20);
    // No request to the dead server has returned yet, so no place has become free.
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    assert_eq!(jobs.control.webhooks().in_flight, 16);
    assert_eq!(jobs.control.webhooks().waiting, 9_984);
}
