//! Active health checks of upstreams: a GET request to each, again and again.

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
use tokio::net::{TcpStream, UnixStream};
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
        let checks = loop_query::query(&queries, |gateway, _| {
            let bridge = gateway.bridge();
            bridge.map(|bridge| bridge.health_checks())
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
                let result = ask(&check).await.map_err(|e| e.to_string());
                drop(permit);
                lock(&under_way).remove(&check.upstream);
                let number = check.upstream;
                let told = queries.send(move |gateway, io| {
                    if let Some(bridge) = gateway.bridge() {
                        bridge.health_checked(io.now(), number, result);
                    }
                });
                if let Err(full) = told {
                    log::warn!("health_check outcome=lost error=\"{full}\"");
                }
            });
        }
    }
}

/// Makes one check.
async fn ask(check: &HealthCheck) -> io::Result<()> {
    let get = async {
        match &check.address {
            DialAddress::Tcp(address) | DialAddress::TcpFrom(address, _) => {
                get(TcpStream::connect(address).await?, check).await
            }
            DialAddress::Unix(path) => get(UnixStream::connect(path).await?, check).await,
        }
    };
    let Ok(status) = tokio::time::timeout(check.timeout.as_duration(), get).await else {
        let what = format!("no answer within {}", check.timeout);
        return Err(io::Error::new(io::ErrorKind::TimedOut, what));
    };
    match status? {
        100..400 => Ok(()),
        status => Err(io::Error::other(format!(
            "the answer is {status}, not below 400"
        ))),
    }
}

/// Sends the request on a new connection. Returns the status of the answer.
async fn get(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    check: &HealthCheck,
) -> io::Result<u16> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let driver = tokio::spawn(connection);
    let request = Request::get(&*check.path)
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
