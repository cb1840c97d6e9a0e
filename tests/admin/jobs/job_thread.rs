//! The side thread with the jobs of a loop that the test fills.

use pulsegate::gateway::{
    BootId, Credentials, Gateway, GatewayOptions, GatewayQueries, Job, Progress, ProxyProtocol,
    RelaySettings, ReportMode, RetryPolicy, WebhookJob,
};
use pulsegate::reactor::{Reactor, listen};
use pulsegate::side::{self, SideHandle, StateFile, WebhookOptions, WebhookSettings};
use pulsegate::side::{WebhookResult, WebhookType};
use pulsegate::{Config, Micros, Remote};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The deadline of every event that must happen.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A webhook timeout that is never reached.
pub const LONG: Duration = Duration::from_secs(20);

#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn gateway() -> Gateway {
    Gateway::new(GatewayOptions {
        stats_interval: Micros::from_secs(3_600),
        log_dropped: Box::new(|| 0),
        proxy_protocol: ProxyProtocol::Off,
        trusted_proxies: Vec::new(),
        max_connections: 10,
        watchdog: None,
        relay: RelaySettings::default(),
        credentials: Credentials::default(),
        client_reports: ReportMode::Off,
        restored: Vec::new(),
        health_path: "/healthz".into(),
        serves_relay: true,
        bridge: None,
        products: Vec::new(),
    })
}

pub struct JobThread {
    pub queries: GatewayQueries,
    remote: Remote,
    pub control: SideHandle,
    /// The allowed networks and the signing keys of webhooks.
    pub settings: Arc<Mutex<WebhookSettings>>,
    turning: Option<JoinHandle<()>>,
    /// The number of the last start.
    pub number: u64,
}

impl JobThread {
    pub fn new(timeout: Duration) -> JobThread {
        JobThread::with_state(timeout, None)
    }

    pub fn with_settings(settings: WebhookSettings) -> JobThread {
        let jobs = JobThread::new(LONG);
        *jobs.settings.lock().expect("whole") = settings;
        jobs
    }

    pub fn with_state(timeout: Duration, state: Option<StateFile>) -> JobThread {
        let settings = Arc::<Mutex<WebhookSettings>>::default();
        let thread_settings = settings.clone();
        let (told, parts) = std::sync::mpsc::channel();
        // The gateway stays on the thread that creates it.
        let turning = std::thread::spawn(move || {
            let gateway = gateway();
            let product_classes = gateway.classes().clone();
            let (closed, reports, expired, jobs) = (
                gateway.closed_conns(),
                gateway.reports(),
                gateway.expired_peers(),
                gateway.jobs(),
            );
            let events = side::EventOptions::new(gateway.events());
            let listener = listen(([127, 0, 0, 1], 0).into(), false).expect("a listener");
            let mut reactor =
                Reactor::new(Config::default(), listener, 10, gateway).expect("a reactor");
            let queries = reactor.with_io(|gateway, io| gateway.query_sender(io.remote()));
            let control = side::start(side::SideOptions {
                boot: BootId::default(),
                ready_needs_upstream: false,
                listener: None,
                token: None,
                hosts: Vec::new(),
                queries: queries.clone(),
                causes: pulsegate::CauseTable::with(&[]),
                classes: product_classes,
                closed,
                reports,
                expired,
                events,
                alerts: Arc::default(),
                jobs,
                webhooks: WebhookOptions {
                    timeout,
                    websocket_url: "ws://gateway.example/app-ws".into(),
                    settings: thread_settings,
                },
                state,
                listen_addr: reactor.local_addr(),
                check_policy: |_| Ok(()),
                drain_times: Arc::default(),
                drain: Arc::new(|_, _| {}),
                http: None,
                reload: Arc::new(pulsegate::side::ReloadReport::default),
            });
            let control = control.expect("a side thread");
            let parts = (queries, reactor.remote(), control);
            told.send(parts).expect("the test waits");
            reactor.run().expect("it runs");
        });
        let (queries, remote, control) = parts.recv_timeout(PATIENCE).expect("it starts");
        JobThread {
            queries,
            remote,
            control,
            settings,
            turning: Some(turning),
            number: 0,
        }
    }

    /// Sends these jobs from the loop to the side thread.
    pub fn queue_job(&self, jobs: Vec<Job>) {
        let (done, is_done) = std::sync::mpsc::channel();
        let mut jobs = Some(jobs);
        let work = move |gateway: &mut Gateway, _: &mut pulsegate::Io<'_>| {
            for job in jobs.take().unwrap_or_default() {
                assert!(gateway.queue_job(job), "there is room");
            }
            done.send(()).expect("the test waits");
            Progress::Done
        };
        self.queries
            .send_sliced(Box::new(work))
            .expect("room in the queue");
        is_done.recv_timeout(PATIENCE).expect("the loop turns");
    }

    pub fn start(&mut self, user: &str, package: &str, url: &str, retry: RetryPolicy) -> u64 {
        self.number += 1;
        let number = self.number;
        self.queue_job(vec![start(number, user, package, url, retry)]);
        number
    }

    pub fn count(&self, result: WebhookResult) -> u64 {
        let stats = self.control.webhooks();
        stats.counts.get(WebhookType::SessionRequest, result)
    }

    #[track_caller]
    pub fn wait_for(&self, result: WebhookResult, many: u64) {
        eventually(result.name(), || self.count(result) >= many);
        assert_eq!(self.count(result), many, "{}", result.name());
    }

    #[track_caller]
    pub fn wait_for_rest(&self) {
        eventually("nothing under way", || {
            let stats = self.control.webhooks();
            (stats.in_flight, stats.waiting) == (0, 0)
        });
    }

    pub fn flush(&self) {
        self.control.flush(PATIENCE).expect("it is on disk");
    }
}

impl Drop for JobThread {
    fn drop(&mut self) {
        self.remote.stop();
        if let Some(turning) = self.turning.take() {
            let ended = turning.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

pub fn start(number: u64, user: &str, package: &str, url: &str, retry: RetryPolicy) -> Job {
    Job::Webhook(WebhookJob::Start {
        number,
        user: user.into(),
        package: package.into(),
        url: url.into(),
        retry,
        after: Micros::ZERO,
    })
}

/// Returns the breaker's error for the app with this URL.
#[track_caller]
pub fn why_it_is_down(jobs: &mut JobThread, url: &str) -> String {
    for n in 0..5 {
        jobs.start(&format!("user{n}"), "p", url, RetryPolicy::UntilCancelled);
    }
    eventually("the breaker", || jobs.control.webhooks().breakers_open == 1);
    jobs.control.webhooks().down[0].last_error.to_string()
}
