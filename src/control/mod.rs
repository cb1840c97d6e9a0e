//! The side thread: what operators and their tools ask over HTTP, by well-kept libraries, beside the loop and never in its way.
//!
//! It asks the loop through the [`Desk`], which answers in slices, and keeps for itself what can be kept here: the connections
//! that have ended, and the causes over time.

mod api;
mod ask;
mod closed;
mod guard;
mod metrics;
mod probes;
mod problem;
mod process;
mod series;
mod serve;

pub use self::guard::Token;

use self::closed::ClosedRing;
use self::series::Series;
use crate::gateway::{ClosedBox, Desk};
use crate::health::Policy;
use crate::time::{Micros, UnixMillis};
use axum::Router;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often the counters are looked at, for causes over time and rates.
const SAMPLE: Duration = Duration::from_secs(10);

/// What the side thread is told at its start.
pub struct Options {
    /// Where it listens; bound already.
    pub listener: TcpListener,
    /// Who may ask. `None`: whoever reaches the listener, which is a loopback address then.
    pub token: Option<Token>,
    /// Where work for the loop is left.
    pub desk: Desk,
    /// Where the loop puts the records of ended connections.
    pub closed: ClosedBox,
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
    desk: Desk,
    listen_addr: SocketAddr,
    check_policy: fn(&Policy) -> Result<(), String>,
    drain_times: Arc<Mutex<(Micros, Micros)>>,
    drain: Arc<dyn Fn(Micros, Micros) + Send + Sync>,
    started: UnixMillis,
    closed_box: ClosedBox,
    closed: Mutex<ClosedRing>,
    series: Mutex<Series>,
}

/// Starts the side thread. It never ends; the process does. Returns where it listens.
///
/// # Errors
/// What the system says of the listener or of the thread.
pub fn start(options: Options) -> io::Result<SocketAddr> {
    let addr = options.listener.local_addr()?;
    options.listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    let control = Arc::new(Control {
        token: options.token,
        desk: options.desk,
        listen_addr: options.listen_addr,
        check_policy: options.check_policy,
        drain_times: options.drain_times,
        drain: options.drain,
        started: UnixMillis::now(),
        closed_box: options.closed,
        closed: Mutex::default(),
        series: Mutex::default(),
    });
    let listener = options.listener;
    std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                tokio::spawn(sample(control.clone()));
                serve::serve(listener, router(control)).await;
            });
        })?;
    Ok(addr)
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
            lock(&control.series).add(UnixMillis::now(), snapshot);
        }
    }
}

fn router(control: Arc<Control>) -> Router {
    let guard = axum::middleware::from_fn_with_state(control.clone(), guard::guard);
    Router::new()
        .merge(probes::router())
        .merge(metrics::router())
        .merge(api::router())
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .with_state(control)
        .layer(guard)
}

impl Control {
    /// The ended connections, with all that have ended up to now.
    fn closed(&self) -> MutexGuard<'_, ClosedRing> {
        let mut ring = lock(&self.closed);
        ring.extend(self.closed_box.take());
        ring
    }
}

/// Nothing here is left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
