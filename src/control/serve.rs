//! The admin listener: few connections, none of them for ever.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;

/// Connections at one time; whoever comes on top waits in the kernel's queue. Each may hold one answer, a few megabytes at most.
const CONNECTIONS: usize = 64;

/// How long a client may take to send a request head, and how long it may sit idle between two requests.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// How long a client may take no byte of an answer. (What it sends is timed where it is expected: a head here, a body where it is
/// read. Whoever listens to what goes on sends nothing, for as long as it likes.)
const STANDSTILL: Duration = Duration::from_secs(30);

/// The longest request head, in bytes.
const HEAD_MAX: usize = 16 * 1024;

/// How long to wait when descriptors have run out.
const RETRY: Duration = Duration::from_millis(200);

/// Serves for ever.
pub(super) async fn serve(listener: TcpListener, router: Router) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(e) => return log::error!("admin listener lost error=\"{e}\""),
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(e) => {
                log::debug!("admin accept failed error=\"{e}\"");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        let router = router.clone();
        tokio::spawn(async move {
            let mut stream = TimeoutStream::new(stream);
            stream.set_write_timeout(Some(STANDSTILL));
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .max_buf_size(HEAD_MAX)
                .serve_connection(
                    TokioIo::new(Box::pin(stream)),
                    TowerToHyperService::new(router),
                )
                .await;
            if let Err(e) = served {
                log::debug!("admin connection ended error=\"{e}\"");
            }
            drop(place);
        });
    }
}
