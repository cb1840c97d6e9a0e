//! The side threads: what operators and their tools ask over HTTP, by well-kept libraries, beside the loop and never in its way.
//!
//! The thread `control` asks the loop through the [`Desk`], which answers in slices, and keeps for itself what can be kept here: the
//! connections that have ended, the causes over time, alerts, and who has trouble again and again.
//!
//! The thread `errands` talks to servers of others: it sends webhooks and alerts, and writes the state file. So nothing that
//! such a server answers delays the admin listener.

mod alerts;
mod api;
mod ask;
mod closed;
mod dashboard;
mod errands;
mod guard;
mod live;
mod logins;
mod metrics;
mod priority;
mod probes;
mod problem;
mod process;
mod series;
mod serve;
mod state_file;
mod troubled;
mod webhooks;

pub use self::alerts::{AlertSettings, WebhookUrl};
pub use self::guard::Token;
pub use self::process::{MemoryLimit, memory_limit};
pub use self::state_file::{
    Started, StateFile, StateFileStats, StateLock, load as load_state, lock_state, state_target,
};
pub use self::webhooks::{
    DownApp, WebhookCounts, WebhookOptions, WebhookResult, WebhookSettings, WebhookStats,
    WebhookType, check_certificates,
};

use self::alerts::Alerts;
use self::closed::ClosedRing;
use self::errands::Runner;
use self::live::Live;
use self::logins::Logins;
use self::series::Series;
use self::troubled::Troubled;
use crate::gateway::{ClosedBox, Desk, ErrandBox, MissedBox};
use crate::health::Policy;
use crate::time::{Micros, Moment};
use axum::Router;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;

/// How often the counters are looked at, for causes over time and rates.
const SAMPLE: Duration = Duration::from_secs(10);

/// What the side threads are told at their start.
pub struct Options {
    /// Where operators ask; bound already. `None`: nowhere.
    pub listener: Option<TcpListener>,
    /// Who may ask. `None`: whoever reaches the listener, which is a loopback address then.
    pub token: Option<Token>,
    /// Names under which the listener may be asked without a token, beside `localhost`.
    pub hosts: Vec<Box<str>>,
    /// Where work for the loop is left.
    pub desk: Desk,
    /// Where the loop puts the records of ended connections.
    pub closed: ClosedBox,
    /// Where the loop puts those that it waited for in vain.
    pub missed: MissedBox,
    /// When alerts fire and where they are sent; may change.
    pub alerts: Arc<Mutex<AlertSettings>>,
    /// Where the loop puts its errands.
    pub errands: ErrandBox,
    /// What webhooks are sent with.
    pub webhooks: WebhookOptions,
    /// Where the apps that were started are remembered, if anywhere.
    pub state: Option<StateFile>,
    /// Where the loop listens.
    pub listen_addr: SocketAddr,
    /// Whether a policy is within the bounds that hold at the start, too; all faults in one text.
    pub check_policy: fn(&Policy) -> Result<(), String>,
    /// The delay and the spread of a drain that does not say its own.
    pub drain_times: Arc<Mutex<(Micros, Micros)>>,
    /// Has the gateway go away, with this delay and spread.
    pub drain: Arc<dyn Fn(Micros, Micros) + Send + Sync>,
}

/// What the answers are made from.
struct Control {
    token: Option<Token>,
    hosts: Vec<Box<str>>,
    logins: Logins,
    desk: Desk,
    listen_addr: SocketAddr,
    check_policy: fn(&Policy) -> Result<(), String>,
    drain_times: Arc<Mutex<(Micros, Micros)>>,
    drain: Arc<dyn Fn(Micros, Micros) + Send + Sync>,
    started: Moment,
    runner: Arc<Runner>,
    closed_box: ClosedBox,
    missed_box: MissedBox,
    closed: Mutex<ClosedRing>,
    alerts: Alerts,
    troubled: Mutex<Troubled>,
    series: Mutex<Series>,
    live: Live,
}

/// Threads that `errands` may have for what may stand still: writing the state file, and looking up names, which are given up after the time for a
/// webhook but go on; each takes some 30 s at most.
const BLOCKING_THREADS: usize = 128;

/// The side thread, for its host.
pub struct Handle {
    addr: Option<SocketAddr>,
    runner: Arc<Runner>,
}

impl Handle {
    /// Where operators ask.
    pub fn addr(&self) -> Option<SocketAddr> {
        self.addr
    }

    /// How webhooks are doing.
    pub fn webhooks(&self) -> WebhookStats {
        self.runner.webhooks()
    }

    /// How the state file is doing.
    pub fn state_file(&self) -> StateFileStats {
        self.runner.state_file()
    }

    /// Waits until the state file holds what the loop has had remembered up to now. To be called when the loop has ended,
    /// and never by it.
    ///
    /// # Errors
    /// Why it could not be written, or that it took longer than `patience`.
    pub fn flush(&self, patience: Duration) -> io::Result<()> {
        self.runner.flush(patience)
    }
}

/// Starts the side threads. They never end; the process does.
///
/// # Errors
/// What the system says of the listener or of the threads.
pub fn start(options: Options) -> io::Result<Handle> {
    let listener = options.listener;
    let addr = listener.as_ref().map(TcpListener::local_addr).transpose()?;
    if let Some(listener) = &listener {
        listener.set_nonblocking(true)?;
    }
    // What `control` does never stands still.
    let (control_runtime, errands_runtime) = (runtime(1)?, runtime(BLOCKING_THREADS)?);
    let runner = Arc::new(Runner::new(
        options.errands,
        options.desk.clone(),
        options.webhooks,
        options.state,
    ));
    let started = Moment::now();
    let control = Arc::new(Control {
        token: options.token,
        hosts: options.hosts,
        logins: Logins::new(),
        desk: options.desk,
        listen_addr: options.listen_addr,
        check_policy: options.check_policy,
        drain_times: options.drain_times,
        drain: options.drain,
        started,
        runner: runner.clone(),
        closed_box: options.closed,
        missed_box: options.missed,
        alerts: Alerts::new(options.alerts, options.listen_addr, addr),
        troubled: Mutex::default(),
        closed: Mutex::default(),
        series: Mutex::new(Series::new(started)),
        live: Live::default(),
    });
    let handle = Handle {
        addr,
        runner: runner.clone(),
    };
    let alerts = control.clone();
    spawn("errands", errands_runtime, async move {
        tokio::spawn(async move { alerts.alerts.post().await });
        runner.run().await;
    })?;
    spawn("control", control_runtime, async move {
        if let Some(listener) = listener {
            tokio::spawn(sample(control.clone()));
            tokio::spawn(live::run(control.clone()));
            tokio::spawn(serve::serve(listener, router(control.clone())));
        }
        alerts::watch(control).await;
    })?;
    Ok(handle)
}

fn runtime(blocking_threads: usize) -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(blocking_threads)
        .build()
}

/// Starts a thread that does this for ever.
fn spawn(
    name: &str,
    runtime: Runtime,
    work: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    let run = move || {
        priority::stand_back();
        runtime.block_on(work);
    };
    thread.spawn(run).map(drop)
}

/// Looks at the counters now and again.
async fn sample(control: Arc<Control>) {
    let mut ticks = tokio::time::interval(SAMPLE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Also so that the box does not fill: memory for ended connections is there once, not twice.
        drop(control.closed());
        // A loop that does not answer is seen elsewhere; the next sample covers the gap.
        if let Ok(snapshot) = ask::snapshot(&control.desk).await {
            lock(&control.series).add(Moment::now(), snapshot);
        }
    }
}

fn router(control: Arc<Control>) -> Router {
    let guard = axum::middleware::from_fn_with_state(control.clone(), guard::guard);
    Router::new()
        .merge(probes::router())
        .merge(metrics::router())
        .merge(api::router())
        .merge(dashboard::router())
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .with_state(control)
        .layer(guard)
}

impl Control {
    /// The ended connections, with all that have ended up to now.
    fn closed(&self) -> MutexGuard<'_, ClosedRing> {
        let mut ring = lock(&self.closed);
        let ended = self.closed_box.take();
        self.alerts.note(&ended);
        let mut troubled = lock(&self.troubled);
        troubled.note_closed(&ended);
        troubled.note_missed(&self.missed_box.take());
        drop(troubled);
        ring.extend(ended);
        ring
    }
}

/// Nothing here is left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
