//! The thread for plain HTTP: it takes the connections that the loop hands over.

use super::connection;
use super::http_context::HttpContext;
use crate::reactor::HandedOverSocket;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;

/// The time from one search for upstream connections that waited for too long to the next.
const EXPIRY_STEP: Duration = Duration::from_millis(500);

/// Serves the connections that the loop hands over, until the process ends. Each has a place under
/// the limit on connections, so their number is bounded.
pub(in crate::side) async fn serve(
    mut handed_over: UnboundedReceiver<HandedOverSocket>,
    context: Arc<HttpContext>,
) {
    tokio::spawn(expire(context.clone()));
    while let Some(socket) = handed_over.recv().await {
        let (context, counted) = (context.clone(), context.stats.begin_connection());
        tokio::spawn(async move {
            connection::serve(socket, context).await;
            drop(counted);
        });
    }
}

/// Closes upstream connections that wait for too long, and looks whether connections are short.
async fn expire(context: Arc<HttpContext>) {
    loop {
        tokio::time::sleep(EXPIRY_STEP).await;
        context.pool.expire(context.settings().upstream_keep_alive);
        context.update_pressure();
    }
}
