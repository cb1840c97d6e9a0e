//! The run of the gateway: settings, log, sockets, the loop, and what is written before the end.

use super::logging::{self, LogFormat, LogQueue};
use super::reload::Reloader;
use super::served_paths::served_paths;
use super::upstreams::OwnListeners;
use super::{config_watch, service, signals, startup_log, upstreams};
use crate::base::cause::CauseTable;
use crate::config::{self, CliAction, ResourceLimits, Settings};
use crate::engine::Handler;
use crate::gateway::{BridgeOptions, CAUSES, Gateway, GatewayOptions, Proxies};
use crate::reactor::{Reactor, granted_backlog, listen};
use crate::side::{
    self, AdminToken, CadenceFile, EventOptions, HttpDrain, HttpOptions, PolicyRefused, Resolver,
    StateFile, WebhookOptions,
};
use signal_hook::iterator::Signals;
use std::ffi::OsString;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long to wait until the receiver of `EVENTS_URL` has accepted the last events.
const EVENTS_FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// How long to wait until the last changes of the state file are on disk.
const STATE_FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// How long to wait until the last log lines are written.
const LOG_FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs the gateway with the arguments of its command line, without the program's name, until it is
/// drained or stopped.
///
/// Returns 0 for a normal end, 1 for a failure and 2 for invalid settings. The error is written to
/// standard error, or to the log once it is set up. Call it once, first of all, from the program's
/// main thread: it installs signal handlers and a logger.
pub fn run(args: Vec<OsString>) -> ExitCode {
    // First of all, because a signal during the start must not end the process.
    let signals = match signals::install_handlers() {
        Ok(signals) => signals,
        Err(e) => return print_failure(&format!("cannot handle signals: {e}")),
    };
    let settings = match config::load(args.clone(), |name| std::env::var_os(name)) {
        Ok(CliAction::Run(settings)) => settings,
        Ok(CliAction::Check(settings)) => {
            print_check(&settings);
            return ExitCode::SUCCESS;
        }
        Ok(CliAction::Print(text)) => {
            return match print(&text) {
                Ok(()) => ExitCode::SUCCESS,
                Err(e) => print_failure(&format!("cannot write to standard output: {e}")),
            };
        }
        Err(faults) => {
            print_failure(&faults.to_string());
            return ExitCode::from(2);
        }
    };
    let queue = match logging::init(settings.log_level, log_format(&settings)) {
        Ok(queue) => queue,
        Err(e) => return print_failure(&format!("cannot start logging: {e}")),
    };
    let result = serve(settings, args, queue.clone(), signals);
    if let Err(e) = &result {
        log::error!("end error=\"{e}\"");
    }
    queue.close(LOG_FLUSH_TIMEOUT);
    if result.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Prints warnings about valid settings, and which requests go where.
fn print_check(settings: &Settings) {
    let proxies = settings.proxy_warnings();
    let warnings = variable_warnings().into_iter().chain(settings.warnings());
    for warning in warnings.chain(proxies) {
        let _ = writeln!(io::stderr(), "pulsegate: warning: {warning}");
    }
    let served = served_paths(settings).join("\n");
    // The exit code tells the same, so a failed write does not matter.
    let _ = print(&format!("pulsegate: the settings are valid\n{served}\n"));
}

/// Returns warnings about the variables of this process.
fn variable_warnings() -> Vec<String> {
    config::variable_warnings(std::env::vars_os().map(|(name, _)| name))
}

/// Prints to standard output. A reader that has closed its end (`--help | head`) is no error.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

/// Reports why the process ends, if standard error can be written: `eprintln!` would panic
/// otherwise.
fn print_failure(why: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "pulsegate: {why}");
    ExitCode::FAILURE
}

fn serve(
    mut settings: Settings,
    args: Vec<OsString>,
    queue: LogQueue,
    signals: Signals,
) -> io::Result<()> {
    let watched = config_watch::look(&settings.files());
    let descriptors = rlimit::increase_nofile_limit(u64::MAX).map_or(1_024, |n| n as usize);
    let limits = ResourceLimits {
        descriptors,
        memory: side::memory_limit(),
    };
    let as_given = settings.clone();
    let buffered_origin = match settings.max_buffered_bytes {
        Some(_) => "given",
        None => "default",
    };
    let warnings = settings.fit_to(&limits);
    let max_connections = settings.max_connections.unwrap_or(1);
    let inherited = service::take_inherited(settings.listen_addr, settings.admin_addr)?;
    check_inherited(&settings, &inherited)?;
    let leave_queue = inherited.listener.is_some();
    let listener = match inherited.listener {
        Some(listener) => listener,
        None => {
            let opened = listen(settings.listen_addr, settings.reuse_port);
            with_setting("LISTEN_ADDR", opened.map_err(with_reuse_hint))?
        }
    };
    let admin_listener = match (inherited.admin, settings.admin_addr) {
        (Some(listener), _) => Some(listener),
        (None, Some(addr)) => Some(with_setting("ADMIN_ADDR", listen(addr, false))?),
        (None, None) => None,
    };
    if let Some(setting) = settings.https_webhook() {
        let what = format!("{setting} has a URL with https");
        with_setting(&what, side::check_certificates())?;
    }
    let _lock = match &settings.state_file {
        Some(path) => {
            let waits = leave_queue || settings.reuse_port;
            let locked = side::lock_state(path, waits);
            Some(with_setting(
                &format!("STATE_FILE={}", path.display()),
                locked,
            )?)
        }
        None => None,
    };
    let mut state = match &settings.state_file {
        Some(path) => Some(StateFile {
            started: with_setting(
                &format!("STATE_FILE={}", path.display()),
                side::load_state(path),
            )?,
            path: path.clone(),
        }),
        None => None,
    };
    if let Some(state) = &mut state
        && state.started.len() > max_connections
    {
        let lost = state.started.len() - max_connections;
        log::warn!(
            "state_file users_forgotten={lost} reason=\"the file has more users than \
             MAX_CONNECTIONS\""
        );
        state.started.truncate(max_connections);
    }
    let admin_addr = admin_listener.as_ref().map(TcpListener::local_addr);
    let own = OwnListeners::new(listener.local_addr()?, admin_addr.transpose()?);
    if let Some(bridge) = &settings.bridge {
        own.check(&bridge.routes)?;
    }
    let bridge = settings.bridge.as_ref().map(|bridge| BridgeOptions {
        routes: bridge.routes.clone(),
        forwarded_https: bridge.forwarded_https,
        http_pass: bridge.http_pass,
        http_max_requests: settings.http.max_requests as u64,
        proxies: Proxies {
            protocol: settings.proxy_protocol,
            trusted: settings.trusted_proxies.clone(),
        },
        sessions: settings.sessions,
    });
    let gateway = Gateway::new(GatewayOptions {
        health_path: settings.health_path.clone(),
        serves_relay: settings.serves_relay,
        bridge,
        stats_interval: settings.stats_interval,
        log_dropped: Box::new(move || queue.dropped()),
        proxy_protocol: settings.proxy_protocol,
        trusted_proxies: settings.trusted_proxies.clone(),
        max_connections,
        watchdog: service::start_watchdog()?,
        relay: settings.relay_settings(),
        credentials: settings.credentials(),
        client_reports: settings.client_reports,
        products: Vec::new(),
        restored: state.iter().flat_map(|s| s.started.clone()).collect(),
    });
    let (classes, boot) = (gateway.classes().clone(), gateway.boot());
    let (closed, reports, expired, jobs) = (
        gateway.closed_conns(),
        gateway.reports(),
        gateway.expired_peers(),
        gateway.jobs(),
    );
    let event_queue = gateway.events();
    let mut reactor = Reactor::new(
        settings.engine_config(&classes),
        listener,
        max_connections,
        gateway,
    )?;
    if leave_queue {
        reactor.leave_queue_to_successor();
    }
    if settings.reuse_port {
        reactor.leave_port_to_successor();
    }
    let queries = reactor.with_io(|gateway, io| gateway.query_sender(io.remote()));
    let cadence_file = settings
        .cadence_file
        .clone()
        .filter(|_| settings.cadence.is_some());
    let cadence_file = cadence_file.map(|path| CadenceFile::new(path, classes.clone()));
    if let Some(file) = &cadence_file {
        reactor.with_io(|_, io| file.restore(io));
        file.start(queries.clone())?;
    }
    let drain_times = Arc::new(Mutex::new((settings.drain_delay, settings.drain)));
    let alerts = Arc::new(Mutex::new(settings.alerts.clone()));
    let events = Arc::new(Mutex::new(settings.event_settings()));
    let webhooks = Arc::new(Mutex::new(settings.webhook_settings()));
    let http_settings = Arc::new(Mutex::new(settings.http));
    let http_drain = HttpDrain::default();
    let passes_http = settings.bridge.as_ref().is_some_and(|b| b.http_pass);
    let http = passes_http.then(|| HttpOptions {
        settings: http_settings.clone(),
        drain: http_drain.clone(),
        returns: reactor.return_sender(),
    });
    let remote = reactor.remote();
    let drain: signals::StartDrain = Arc::new(move |delay, spread| {
        service::notify_stopping();
        http_drain.start(delay.as_duration(), spread.as_duration());
        remote.drain(delay, spread);
    });
    let resolver = match &settings.bridge {
        Some(bridge) => {
            let names = upstreams::host_names(&bridge.routes);
            let own = own.clone();
            let is_own = move |addr| own.are_reached_by(addr);
            Some(Resolver::start(queries.clone(), names, is_own)?)
        }
        None => None,
    };
    let reloader = Arc::new(Mutex::new(Reloader {
        own,
        resolver: resolver.clone(),
        args,
        settings: as_given,
        queries: queries.clone(),
        drain: drain_times.clone(),
        alerts: alerts.clone(),
        events: events.clone(),
        descriptors,
        webhooks: webhooks.clone(),
        http: http_settings,
    }));
    let control = side::start(side::SideOptions {
        boot,
        ready_needs_upstream: settings.ready_needs_upstream,
        causes: CauseTable::with(&CAUSES),
        classes,
        listener: admin_listener,
        token: settings
            .admin_token
            .as_ref()
            .map(|t| AdminToken::new(t.expose().to_owned())),
        hosts: settings.admin_hosts.clone(),
        queries: queries.clone(),
        closed,
        reports,
        expired,
        events: EventOptions {
            receiver: event_queue,
            kept: settings.events_kept,
            settings: events,
        },
        alerts,
        jobs,
        webhooks: WebhookOptions {
            timeout: settings.webhook_timeout.as_duration(),
            websocket_url: app_url(&settings, reactor.local_addr()).into(),
            settings: webhooks,
        },
        state,
        listen_addr: reactor.local_addr(),
        check_policy: |policy| {
            config::check_policy(policy).map_err(|faults| PolicyRefused(faults.to_string()))
        },
        drain_times: drain_times.clone(),
        drain: drain.clone(),
        http,
        reload: {
            let reloader = reloader.clone();
            Arc::new(move || {
                let mut reloader = reloader.lock().unwrap_or_else(PoisonError::into_inner);
                reloader.reload()
            })
        },
    })?;
    if let Some(http) = control.http() {
        reactor.hand_over_to(move |socket| http.send(socket));
    }
    if settings.config_watch {
        config_watch::start(reloader.clone(), watched)?;
    }
    signals::start_threads(signals, queries, drain, drain_times, reloader)?;
    log::info!(
        "start version={} boot={boot} listen={} admin={} max_connections={max_connections} \
         max_buffered_bytes={} descriptors={descriptors} backlog={}",
        env!("CARGO_PKG_VERSION"),
        reactor.local_addr(),
        control
            .addr()
            .map_or_else(|| "off".to_owned(), |addr| addr.to_string()),
        settings.max_buffered_bytes.unwrap_or_default(),
        granted_backlog().map_or_else(|| "unknown".to_owned(), |n| n.to_string()),
    );
    startup_log::log_listeners(&settings, reactor.local_addr(), control.addr());
    log::debug!("settings {}", settings.describe());
    log::info!(
        "memory max_buffered_bytes={} origin={buffered_origin} {}",
        settings.max_buffered_bytes.unwrap_or_default(),
        limits.describe_memory()
    );
    startup_log::log_warnings(&settings, leave_queue);
    let variables = variable_warnings();
    variables.iter().for_each(|warning| log::warn!("{warning}"));
    let proxies = settings.proxy_warnings();
    proxies.iter().for_each(|warning| log::warn!("{warning}"));
    warnings.iter().for_each(|warning| log::warn!("{warning}"));
    reactor.with_io(Gateway::start);
    if let Some(resolver) = &resolver {
        // The first clients find the addresses, unless a name server is slow.
        resolver.wait(upstreams::LOOKUP_PATIENCE);
        reactor.with_io(Gateway::on_wake);
    }
    service::notify_ready();
    reactor.run()?;
    reactor.with_io(|gateway, io| gateway.log_statistics(io));
    if let Some(file) = &cadence_file {
        reactor.with_io(|_, io| file.write_last(io));
    }
    let left = control.flush_events(EVENTS_FLUSH_TIMEOUT);
    if left > 0 {
        log::warn!("events lost={left} reason=\"the receiver of EVENTS_URL did not accept them\"");
    }
    if let Err(e) = control.flush(STATE_FLUSH_TIMEOUT) {
        log::error!("state_file outcome=not_written error=\"{e}\"");
    }
    log::info!("end");
    Ok(())
}

/// Checks the rules for addresses on inherited sockets, too.
fn check_inherited(settings: &Settings, inherited: &service::InheritedSockets) -> io::Result<()> {
    let is_open = |listener: &Option<_>| {
        let addr = listener.as_ref().map(TcpListener::local_addr);
        let addr = addr.transpose()?;
        Ok::<_, io::Error>(addr.filter(|a| !a.ip().to_canonical().is_loopback()))
    };
    let invalid = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    if let Some(addr) = is_open(&inherited.listener)?
        && !settings.allow_unauthenticated
        && settings.serves_relay
        && settings.credentials().is_open()
    {
        return invalid(format!(
            "the inherited socket for LISTEN_ADDR listens on {addr}: it must be a loopback \
             address, unless AUTH_JWT_SECRET, AUTH_JWT_SECRET_FILE or APPS_FILE is set, or \
             ALLOW_UNAUTHENTICATED is 1"
        ));
    }
    if let Some(addr) = is_open(&inherited.admin)?
        && settings.admin_token.is_none()
    {
        return invalid(format!(
            "the inherited socket for ADMIN_ADDR listens on {addr}: it must be a loopback address, \
             unless ADMIN_TOKEN or ADMIN_TOKEN_FILE is set"
        ));
    }
    // With ADMIN_ADDR=off the settings themselves allow an empty token.
    let is_empty = |name: &&str| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let emptied = ["ADMIN_TOKEN", "ADMIN_TOKEN_FILE"]
        .into_iter()
        .find(is_empty);
    if inherited.admin.is_some()
        && settings.admin_token.is_none()
        && let Some(name) = emptied
    {
        return invalid(format!(
            "{name} is empty, and a socket for ADMIN_ADDR is inherited: it must have a value, or \
             not be set at all"
        ));
    }
    Ok(())
}

fn log_format(settings: &Settings) -> LogFormat {
    if settings.log_json {
        LogFormat::Json
    } else {
        LogFormat::Text
    }
}

/// Returns the URL to which apps connect.
fn app_url(settings: &Settings, listen: SocketAddr) -> String {
    let derived = || format!("ws://{listen}/app-ws");
    settings.app_websocket_url.clone().unwrap_or_else(derived)
}

/// Adds a hint to an error about a port in use: only the port for peers may be shared with another
/// process.
fn with_reuse_hint(e: io::Error) -> io::Error {
    match e.kind() {
        io::ErrorKind::AddrInUse => io::Error::new(
            e.kind(),
            format!("{e}, or set REUSE_PORT=1 in both processes"),
        ),
        _ => e,
    }
}

/// Adds the setting's name to an error.
fn with_setting<T>(setting: &str, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|e| io::Error::new(e.kind(), format!("{setting}: {e}")))
}
