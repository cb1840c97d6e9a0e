//! Active health checks of upstreams: a GET request to each, again and again. Without them, an
//! upstream that could not be reached is connected to now and then, until it accepts.

use super::lock::lock;
use super::loop_query;
use crate::base::time::Timestamp;
use crate::engine::DialAddress;
use crate::gateway::{GatewayQueries, HealthCheck, UpstreamNumber};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::sync::Semaphore;

/// The time from one look at the list of checks to the next.
const STEP: Duration = Duration::from_millis(500);

/// The most checks that are under way.
const CHECKS_MAX: usize = 64;

/// The largest body that an answer may have, in bytes; more is not read.
const BODY_MAX: usize = 64 * 1024;

/// Makes the checks that the routes ask for, until the process ends.
pub(super) async fn run(queries: GatewayQueries) {
    let room = Arc::new(Semaphore::new(CHECKS_MAX));
    let under_way: Arc<Mutex<HashSet<UpstreamNumber>>> = Arc::default();
    let mut last: HashMap<UpstreamNumber, Timestamp> = HashMap::new();
    loop {
        tokio::time::sleep(STEP).await;
        let checks = loop_query::query(&queries, |gateway, io| {
            let bridge = gateway.bridge();
            bridge.map(|bridge| bridge.health_checks(io.now()))
        });
        // A loop that stalls is not asked again at once.
        let Ok(checks) = checks.await else { continue };
        // Without routes at the start there never are any.
        let Some(checks) = checks else { return };
        let numbers: HashSet<UpstreamNumber> = checks.iter().map(|c| c.upstream).collect();
        last.retain(|upstream, _| numbers.contains(upstream));
        let now = Timestamp::now();
        for check in checks {
            let before = last.get(&check.upstream);
            let is_due = before.is_none_or(|before| now.since(*before) >= check.interval);
            if !is_due || !lock(&under_way).insert(check.upstream) {
                continue;
            }
            last.insert(check.upstream, now);
            let (queries, room, under_way) = (queries.clone(), room.clone(), under_way.clone());
            tokio::spawn(async move {
                // Those that are due wait in their order.
                let permit = room.acquire_owned().await;
                let result = match ask(&check).await {
                    Err(e) if is_out_of_ports(&e) => None,
                    asked => Some(asked.map_err(|e| e.to_string())),
                };
                drop(permit);
                lock(&under_way).remove(&check.upstream);
                // That this machine has no port left says nothing of the upstream.
                let Some(result) = result else { return };
                let (number, is_connect) = (check.upstream, check.path.is_none());
                let told = queries.send(move |gateway, io| match gateway.bridge() {
                    Some(bridge) if is_connect => {
                        bridge.connect_checked(io.now(), number, result);
                    }
                    Some(bridge) => bridge.health_checked(io.now(), number, result),
                    None => {}
                });
                if let Err(full) = told {
                    log::warn!("health_check outcome=lost error=\"{full}\"");
                }
            });
        }
    }
}

/// Returns whether a check has failed because this machine has no local port for it.
fn is_out_of_ports(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::AddrNotAvailable, io::ErrorKind::AddrInUse];
    kinds.contains(&error.kind())
}

/// Makes one check.
async fn ask(check: &HealthCheck) -> io::Result<()> {
    let asked = async {
        match &check.address {
            DialAddress::Tcp(address) => get(TcpStream::connect(address).await?, check).await,
            DialAddress::TcpFrom(address, source) => {
                let socket = match source.is_ipv4() {
                    true => TcpSocket::new_v4()?,
                    false => TcpSocket::new_v6()?,
                };
                socket.bind((*source, 0).into())?;
                get(socket.connect(*address).await?, check).await
            }
            DialAddress::Unix(path) => get(UnixStream::connect(path).await?, check).await,
        }
    };
    match tokio::time::timeout(check.timeout.as_duration(), asked).await {
        Ok(result) => result,
        Err(_) => {
            let what = format!("no answer within {}", check.timeout);
            Err(io::Error::new(io::ErrorKind::TimedOut, what))
        }
    }
}

/// Sends the request of a check on a new connection, and reads the answer. A check without a path
/// has succeeded already.
async fn get(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    check: &HealthCheck,
) -> io::Result<()> {
    let Some(path) = &check.path else {
        return Ok(());
    };
    match status_of(stream, check, path).await? {
        100..400 => Ok(()),
        status => Err(io::Error::other(format!(
            "the answer is {status}, not below 400"
        ))),
    }
}

/// Sends the request on a new connection. Returns the status of the answer.
async fn status_of(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    check: &HealthCheck,
    path: &str,
) -> io::Result<u16> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let driver = tokio::spawn(connection);
    let request = Request::get(path)
        .header(HOST, check.host.as_bytes())
        .header(USER_AGENT, concat!("pulsegate/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let answer = sender.send_request(request).await;
    let status = match answer {
        Ok(mut answer) => {
            // Read, so that the service is not cut off in its answer.
            let mut left = BODY_MAX;
            while let Some(Ok(frame)) = answer.frame().await {
                let len = frame.data_ref().map_or(0, Bytes::len);
                let Some(rest) = left.checked_sub(len) else {
                    break;
                };
                left = rest;
            }
            Ok(answer.status().as_u16())
        }
        Err(e) => Err(io::Error::other(e)),
    };
    driver.abort();
    status
}
