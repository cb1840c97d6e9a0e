//! The last answer of a connection, and its close (RFC 9112 §9.6).
//!
//! A client may still send a body when its answer is complete. Closing a socket with unread input
//! makes the kernel send an RST, and an RST can destroy an answer that the client has not read. So
//! the gateway ends its own side, and goes on reading until the client ends the other one.

use super::drain_plan::DrainPlan;
use super::http_context::HttpContext;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::Instant;

/// The most time without input. While there is no place for another connection it is shorter.
const IDLE: Duration = Duration::from_secs(5);
const IDLE_FULL: Duration = Duration::from_secs(1);

/// The most time in all while there is no place for another connection.
const TIME_FULL: Duration = Duration::from_secs(2);

/// The most time and input in all.
const TIME: Duration = Duration::from_secs(30);
const BYTES: u64 = 1 << 30;

/// How many bytes are read at once.
const CHUNK: usize = 16 * 1024;

/// Sends these bytes, if any, and closes a connection so that the client can read its last answer.
/// A drain ends it when it cuts off the requests in progress.
pub(super) async fn close(mut stream: TcpStream, last: &[u8], context: &HttpContext) {
    let mut plans = context.drain.watch();
    let until = Instant::now() + TIME;
    let (reader, writer) = stream.split();
    // A client that sends everything before it reads must still get its answer.
    let mut sending = pin!(send(writer, last));
    let mut reading = pin!(discard(reader, context));
    let (mut is_sent, mut is_read) = (false, false);
    let both = std::future::poll_fn(|cx| {
        is_sent = is_sent || sending.as_mut().poll(cx).is_ready();
        is_read = is_read || reading.as_mut().poll(cx).is_ready();
        match is_sent && is_read {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    });
    let mut both = pin!(both);
    loop {
        let plan: Option<DrainPlan> = *plans.borrow_and_update();
        let until = plan.map_or(until, |plan| until.min(plan.cut_at()));
        let mut changed = pin!(changed(&mut plans));
        let step = std::future::poll_fn(|cx| match both.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending => changed.as_mut().poll(cx).map(|()| false),
        });
        match tokio::time::timeout_at(until, step).await {
            Ok(false) => {}
            Ok(true) | Err(_) => return,
        }
    }
}

/// Waits for the next change of the drain.
async fn changed(plans: &mut watch::Receiver<Option<DrainPlan>>) {
    if plans.changed().await.is_err() {
        // The process ends.
        std::future::pending::<()>().await;
    }
}

/// Sends these bytes, and that no more follow.
async fn send(mut writer: WriteHalf<'_>, last: &[u8]) -> io::Result<()> {
    writer.write_all(last).await?;
    writer.shutdown().await
}

/// Reads until the client ends its side, or until one of the bounds.
async fn discard(mut reader: ReadHalf<'_>, context: &HttpContext) -> io::Result<()> {
    let (mut chunk, mut left) = (vec![0; CHUNK], BYTES);
    let began = Instant::now();
    while left > 0 && !(context.is_full() && began.elapsed() > TIME_FULL) {
        let idle = match context.is_full() {
            true => IDLE_FULL,
            false => IDLE,
        };
        match tokio::time::timeout(idle, reader.read(&mut chunk)).await {
            Ok(Ok(0)) | Err(_) => break,
            Ok(Ok(len)) => left = left.saturating_sub(len as u64),
            Ok(Err(error)) => return Err(error),
        }
    }
    Ok(())
}
