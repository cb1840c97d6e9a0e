//! The start of the side threads, and what they are told at it.

use super::admin::{self, Control, Live, Logins, PolicyRefused, Token};
use super::errands::{Runner, StateFile, StateFileStats, WebhookOptions, WebhookStats};
use super::priority;
use super::watch::{self, AlertSettings, Alerts, Watchers};
use crate::base::cause::CauseTable;
use crate::base::time::{Micros, Moment};
use crate::gateway::{Classes, ClosedBox, Desk, ErrandBox, MissedBox};
use crate::health::Policy;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;

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
    /// Every cause for which connections end.
    pub causes: CauseTable,
    /// The classes of all products.
    pub classes: Classes,
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
    /// Checks that a policy is within the bounds that hold at the start, too.
    pub check_policy: fn(&Policy) -> Result<(), PolicyRefused>,
    /// The delay and the spread of a drain that does not say its own.
    pub drain_times: Arc<Mutex<(Micros, Micros)>>,
    /// Has the gateway go away, with this delay and spread.
    pub drain: Arc<dyn Fn(Micros, Micros) + Send + Sync>,
}

/// Threads that `errands` may have for what may stand still: writing the state file, and looking up names, which are given up after the time for a
/// webhook but go on; each takes some 30 s at most.
const BLOCKING_THREADS: usize = 128;

/// A handle to the side threads, for the process.
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
    let watchers = Arc::new(Watchers::new(
        options.closed,
        options.missed,
        Alerts::new(options.alerts, options.listen_addr, addr),
        started,
    ));
    let desk = options.desk.clone();
    let control = Arc::new(Control {
        token: options.token,
        hosts: options.hosts,
        logins: Logins::new(),
        desk: options.desk,
        causes: options.causes,
        classes: options.classes,
        listen_addr: options.listen_addr,
        check_policy: options.check_policy,
        drain_times: options.drain_times,
        drain: options.drain,
        started,
        runner: runner.clone(),
        watchers: watchers.clone(),
        live: Live::default(),
    });
    let handle = Handle {
        addr,
        runner: runner.clone(),
    };
    let (posting, down) = (watchers.clone(), runner.clone());
    spawn("errands", errands_runtime, async move {
        tokio::spawn(async move { posting.alerts().post().await });
        runner.run().await;
    })?;
    spawn("control", control_runtime, async move {
        if let Some(listener) = listener {
            tokio::spawn(watch::sample(watchers.clone(), desk.clone()));
            admin::start(listener, &control);
        }
        let down = || down.webhooks().down;
        watch::watch_alerts(watchers.alerts(), &desk, down, || watchers.catch_up()).await;
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
