//! The connections that webhooks are sent over: only to allowed addresses, and with a limit on what
//! is read.

use super::egress::Egress;
use crate::side::lock::lock;
use hyper::Uri;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{io, vec};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower::Service;

/// The limit of bytes before the final response head, as on the wire: interim responses (`100
/// Continue`, RFC 9110 §15.2, of which there may be any number), and TLS.
pub(super) const HEAD_MAX: usize = 64 * 1024;

/// Counts the bytes that a connection reads, and fails it at the limit.
#[derive(Debug, Clone)]
pub(super) struct Meter(Arc<Mutex<MeterState>>);

/// What a connection may still read.
#[derive(Debug)]
struct MeterState {
    /// Bytes that may still be read.
    left: usize,
    /// The error of the connection when no more bytes may be read.
    why: &'static str,
}

impl Meter {
    /// Creates a meter for a connection that waits for its final response head.
    pub(super) fn new() -> Self {
        Meter(Arc::new(Mutex::new(MeterState {
            left: HEAD_MAX,
            why: "no final response head within the first 65536 bytes",
        })))
    }

    /// Sets the limit for the body, after the final response head.
    pub(super) fn allow_body(&self, bytes: usize) {
        *lock(&self.0) = MeterState {
            left: bytes,
            why: "the body of the answer is too long",
        };
    }

    fn check(&self) -> io::Result<()> {
        let state = lock(&self.0);
        match state.left {
            0 => Err(io::Error::other(state.why)),
            _ => Ok(()),
        }
    }

    fn count(&self, bytes: usize) {
        let mut state = lock(&self.0);
        state.left = state.left.saturating_sub(bytes);
    }
}

/// Opens one connection, for one webhook.
#[derive(Clone)]
pub(super) struct Connector {
    http: HttpConnector<Resolver>,
    egress: Option<Arc<Egress>>,
    meter: Meter,
}

impl Connector {
    /// Creates a connector to the addresses that `egress` allows, or to any if it is `None`.
    /// `timeout` applies to each address of a name.
    pub(super) fn new(timeout: Duration, egress: Option<Arc<Egress>>, meter: Meter) -> Self {
        let mut http = HttpConnector::new_with_resolver(Resolver {
            dns: GaiResolver::new(),
            egress: egress.clone(),
        });
        http.set_nodelay(true);
        http.set_connect_timeout(Some(timeout));
        http.enforce_http(false);
        Connector {
            http,
            egress,
            meter,
        }
    }
}

/// An error before the connection is open.
type ConnectError = Box<dyn Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = TokioIo<MeteredStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.http.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        // An IP address in the URL is not resolved, so the resolver does not check it.
        let checked = match (ip_literal(&uri), &self.egress) {
            (Some(address), Some(egress)) => egress.check(address),
            _ => Ok(()),
        };
        if let Err(why) = checked {
            return Box::pin(async move { Err(io::Error::other(why).into()) });
        }
        let (connecting, meter) = (self.http.call(uri), self.meter.clone());
        Box::pin(async move {
            let stream = connecting.await?.into_inner();
            Ok(TokioIo::new(MeteredStream { stream, meter }))
        })
    }
}

/// Returns the host of a URL if it is an IP address.
fn ip_literal(uri: &Uri) -> Option<IpAddr> {
    let host = uri.host()?;
    let host = host.strip_prefix('[').unwrap_or(host);
    let host = host.strip_suffix(']').unwrap_or(host);
    host.parse().ok()
}

/// Resolves names, and drops addresses that are not allowed. The connection is made to one of the
/// checked addresses, so a later DNS answer cannot bypass the check.
#[derive(Clone)]
struct Resolver {
    dns: GaiResolver,
    egress: Option<Arc<Egress>>,
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.dns.poll_ready(cx)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (resolving, egress) = (self.dns.call(name), self.egress.clone());
        Box::pin(async move {
            let (mut allowed, mut refused) = (Vec::new(), None);
            for address in resolving.await? {
                match egress.as_ref().map_or(Ok(()), |e| e.check(address.ip())) {
                    Ok(()) => allowed.push(address),
                    Err(why) => refused = Some(why),
                }
            }
            match refused {
                Some(why) if allowed.is_empty() => Err(io::Error::other(why)),
                _ => Ok(allowed.into_iter()),
            }
        })
    }
}

/// A connection that reads as much as its meter allows; it may exceed that by one buffer.
pub(super) struct MeteredStream {
    stream: TcpStream,
    meter: Meter,
}

impl Connection for MeteredStream {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}

impl AsyncRead for MeteredStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.meter.check()?;
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.meter.count(buf.filled().len() - before);
        read
    }
}

impl AsyncWrite for MeteredStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
