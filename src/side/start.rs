//! Starts the side threads with their options.

use super::admin::{
    self, AdminState, AdminToken, EventStreams, FailedLogins, LiveStream, PolicyRefused,
};
use super::events::{EventHub, EventOptions, EventPoster, EventTap, collect_events};
use super::health_checks;
use super::http::{self, HttpContext, HttpDrain, HttpSettings, HttpStats};
use super::jobs::{JobRunner, StateFile, StateFileStats, WebhookOptions, WebhookStats};
use super::loop_liveness;
use super::priority;
use super::reload_report::ReloadReport;
use super::watch::{self, AlertSettings, Alerts, IdentityOpening, Watchers};
use crate::base::cause::CauseTable;
use crate::base::time::{Micros, Timestamp};
use crate::gateway::{
    BootId, Classes, ClosedReceiver, Event, EventKind, ExpiredReceiver, GatewayQueries,
    JobReceiver, ReportReceiver,
};
use crate::health::Policy;
use crate::reactor::{HandedOverSocket, ReturnSender};
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{self, UnboundedSender};

/// The options of the side threads.
pub struct SideOptions {
    /// The admin listener, already bound. `None`: there is none.
    pub listener: Option<TcpListener>,
    /// The admin token. `None`: no token is needed; the listener's address is then a loopback
    /// address.
    pub token: Option<AdminToken>,
    /// Host names that requests without a token may use, besides `localhost`.
    pub hosts: Vec<Box<str>>,
    /// The queue of work for the loop.
    pub queries: GatewayQueries,
    /// Whether the gateway is ready only if each route has an upstream that is up.
    pub ready_needs_upstream: bool,
    /// The id of this run.
    pub boot: BootId,
    /// All causes for which connections end.
    pub causes: CauseTable,
    /// The classes of all products.
    pub classes: Classes,
    /// The queue of records of ended connections from the loop.
    pub closed: ClosedReceiver,
    /// The queue of reports of clients, from the loop.
    pub reports: ReportReceiver,
    /// The queue of lost peers that did not come back in time, from the loop.
    pub expired: ExpiredReceiver,
    /// The events for backends.
    pub events: EventOptions,
    /// When alerts fire and where they are sent; a reload may change it.
    pub alerts: Arc<Mutex<AlertSettings>>,
    /// The queue of the jobs that the loop leaves for the thread `jobs`.
    pub jobs: JobReceiver,
    /// The options of webhooks.
    pub webhooks: WebhookOptions,
    /// The state file, if there is one.
    pub state: Option<StateFile>,
    /// The address of the loop's listener.
    pub listen_addr: SocketAddr,
    /// Checks a policy against the bounds of the settings.
    pub check_policy: fn(&Policy) -> Result<(), PolicyRefused>,
    /// The default delay and spread of a drain.
    pub drain_times: Arc<Mutex<(Micros, Micros)>>,
    /// Shuts the gateway down, with this delay and spread.
    pub drain: Arc<dyn Fn(Micros, Micros) + Send + Sync>,
    /// The options of plain HTTP. `None`: none is passed.
    pub http: Option<HttpOptions>,
    /// Reads the settings again. It may block for some seconds.
    pub reload: Arc<dyn Fn() -> ReloadReport + Send + Sync>,
}

/// The options of plain HTTP.
pub struct HttpOptions {
    /// The settings; a reload may change them.
    pub settings: Arc<Mutex<HttpSettings>>,
    /// The drain of its connections.
    pub drain: HttpDrain,
    /// Gives connections back to the loop.
    pub returns: ReturnSender,
}

/// Takes the connections for plain HTTP that the loop hands over. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpSender(UnboundedSender<HandedOverSocket>);

impl HttpSender {
    /// Passes a connection on. It never blocks. The limit on connections bounds how many wait.
    pub fn send(&self, socket: HandedOverSocket) {
        if self.0.send(socket).is_err() {
            log::error!("http_connection outcome=dropped reason=\"its thread has ended\"");
        }
    }
}

/// The limit of threads that `jobs` may start for blocking work: writing the state file and
/// resolving names. A name lookup that exceeds a webhook's timeout is given up but keeps running,
/// for some 30 s at most.
const BLOCKING_THREADS: usize = 128;

/// A handle to the side threads, for their host.
pub struct SideHandle {
    addr: Option<SocketAddr>,
    runner: Arc<JobRunner>,
    poster: Arc<EventPoster>,
    http: Option<HttpSender>,
}

impl SideHandle {
    /// Returns where connections for plain HTTP go, if any is passed.
    pub fn http(&self) -> Option<HttpSender> {
        self.http.clone()
    }

    /// Returns the address of the admin listener.
    pub fn addr(&self) -> Option<SocketAddr> {
        self.addr
    }

    /// Returns the state of the webhooks.
    pub fn webhooks(&self) -> WebhookStats {
        self.runner.webhooks()
    }

    /// Returns the results of the state file's writes.
    pub fn state_file(&self) -> StateFileStats {
        self.runner.state_file()
    }

    /// Waits until the receiver of `EVENTS_URL`, if there is one, has accepted all events, at most
    /// for `patience`. Returns how many it has not accepted. Call it after the loop has ended, and
    /// never from the loop.
    pub fn flush_events(&self, patience: Duration) -> u64 {
        self.poster.flush(patience)
    }

    /// Waits until the state file holds all that the loop has recorded up to now. Call it after the
    /// loop has ended, and never from the loop.
    ///
    /// # Errors
    /// Why it could not be written, or that it took longer than `patience`.
    pub fn flush(&self, patience: Duration) -> io::Result<()> {
        self.runner.flush(patience)
    }
}

/// Starts the side threads. They run until the process ends.
///
/// # Errors
/// The system's error about the listener or the threads.
pub fn start(options: SideOptions) -> io::Result<SideHandle> {
    let listener = options.listener;
    let addr = listener.as_ref().map(TcpListener::local_addr).transpose()?;
    if let Some(listener) = &listener {
        listener.set_nonblocking(true)?;
    }
    // Only a reload blocks in `control`, and one at a time is enough.
    let (control_runtime, jobs_runtime) = (runtime(1)?, runtime(BLOCKING_THREADS)?);
    let runner = Arc::new(JobRunner::new(
        options.jobs,
        options.queries.clone(),
        options.webhooks,
        options.state,
    ));
    let started = Timestamp::now();
    let watchers = Arc::new(Watchers::new(
        (options.closed, options.reports, options.expired),
        Alerts::new(
            options.alerts,
            options.listen_addr,
            addr,
            options.classes.clone(),
        ),
        options.classes.clone(),
        started,
    ));
    let EventOptions {
        receiver,
        kept,
        settings,
    } = options.events;
    let classes = options.classes.clone();
    let returning = watchers.clone();
    let tap = EventTap(Box::new(move |event: &Event| {
        if let Some(opening) = opening_of(event) {
            returning.record_opening(opening, event.at.raw);
        }
    }));
    let hub = EventHub::new(receiver, kept, options.boot, classes).with_tap(tap);
    let hub = Arc::new(hub);
    let poster = Arc::new(EventPoster::new(hub.clone(), settings));
    let queries = options.queries.clone();
    let incident_classes = options.classes.clone();
    let admin_state = Arc::new(AdminState {
        token: options.token,
        hosts: options.hosts,
        failed_logins: FailedLogins::new(),
        queries: options.queries,
        causes: options.causes,
        classes: options.classes,
        listen_addr: options.listen_addr,
        check_policy: options.check_policy,
        drain_times: options.drain_times,
        drain: options.drain,
        reload: options.reload,
        boot: options.boot,
        ready_needs_upstream: options.ready_needs_upstream,
        started,
        runner: runner.clone(),
        watchers: watchers.clone(),
        live: LiveStream::default(),
        events: EventStreams::new(hub.clone()),
        poster: poster.clone(),
        http: Arc::default(),
        liveness: Arc::default(),
    });
    let (stats, http_stats) = (admin_state.http.clone(), admin_state.http.clone());
    let http = options
        .http
        .map(|http| start_http(http, options.boot, queries.clone(), stats));
    let handle = SideHandle {
        addr,
        runner: runner.clone(),
        poster: poster.clone(),
        http: http.transpose()?,
    };
    let (posting, down) = (watchers.clone(), runner.clone());
    spawn("jobs", jobs_runtime, async move {
        tokio::spawn(async move { posting.alerts().post().await });
        tokio::spawn(poster.run());
        runner.run().await;
    })?;
    spawn("control", control_runtime, async move {
        tokio::spawn(health_checks::run(queries.clone()));
        tokio::spawn(collect_events(hub));
        tokio::spawn(watch::collect(watchers.clone()));
        if let Some(listener) = listener {
            tokio::spawn(keep_incidents(
                watchers.clone(),
                queries.clone(),
                incident_classes,
            ));
            tokio::spawn(watch::sample(watchers.clone(), queries.clone()));
            let liveness = admin_state.liveness.clone();
            tokio::spawn(loop_liveness::run(liveness, queries.clone()));
            admin::start(listener, &admin_state);
        }
        let down = || down.webhooks().down;
        let http_requests = || http_stats.in_progress();
        let collect = || {
            watchers.collect_records();
            watchers.observed()
        };
        watch::run_alerts(watchers.alerts(), &queries, down, http_requests, collect).await;
    })?;
    Ok(handle)
}

/// Returns the opening that an event is about, if it is one.
fn opening_of(event: &Event) -> Option<IdentityOpening<'_>> {
    let address = match &event.kind {
        EventKind::Opened { peer_addr, .. } => Some(peer_addr.ip()),
        EventKind::Identified => None,
        _ => return None,
    };
    let subject = &event.subject;
    Some(IdentityOpening {
        id: subject.id,
        user: subject.user.as_deref(),
        package: subject.package.as_deref(),
        address,
    })
}

/// Keeps ended connections with alerts until the process ends.
async fn keep_incidents(watchers: Arc<Watchers>, queries: GatewayQueries, classes: Classes) {
    let is_news = || watchers.is_incident_new();
    let update = |living| watchers.update_incidents(living);
    watch::run_incidents(&queries, &classes, is_news, update).await;
}

/// Starts the thread for plain HTTP.
fn start_http(
    options: HttpOptions,
    boot: BootId,
    queries: GatewayQueries,
    stats: Arc<HttpStats>,
) -> io::Result<HttpSender> {
    let context = HttpContext::new(
        boot,
        queries,
        options.returns,
        options.settings,
        options.drain,
        stats,
    );
    let (sender, handed_over) = mpsc::unbounded_channel();
    let work = http::serve(handed_over, Arc::new(context));
    spawn("http", runtime(1)?, work)?;
    Ok(HttpSender(sender))
}

fn runtime(blocking_threads: usize) -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(blocking_threads)
        .build()
}

/// Starts a thread that runs this until the process ends.
fn spawn(
    name: &str,
    runtime: Runtime,
    work: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    let run = move || {
        priority::lower_priority();
        runtime.block_on(work);
    };
    thread.spawn(run).map(drop)
}
