//! Sends one webhook over HTTP.

use super::queue::{WebhookAction, WebhookRequest};
use super::webhook_settings::WebhookSettings;
use crate::base::time::UnixMillis;
use crate::side::lock::lock;
use crate::side::outgoing::{Egress, HttpClient, PostResult};
use serde::Serialize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The header with the signature that proves to an app's server that a webhook is ours.
const SIGNATURE: &str = "x-pulsegate-signature";

/// The HTTP client and the data that all webhooks share.
pub(super) struct WebhookClient {
    http: HttpClient,
    websocket_url: Box<str>,
    settings: Arc<Mutex<WebhookSettings>>,
}

/// The body of a webhook, as the contract defines it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WebhookBody<'a> {
    r#type: &'a str,
    session_id: String,
    user_id: &'a str,
    timestamp: String,
    #[serde(
        rename = "mentraOSWebsocketUrl",
        skip_serializing_if = "Option::is_none"
    )]
    websocket_url: Option<&'a str>,
    /// The URL again, under the older name of the field.
    #[serde(
        rename = "augmentOSWebsocketUrl",
        skip_serializing_if = "Option::is_none"
    )]
    old_websocket_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl WebhookClient {
    /// Creates a client; `websocket_url` is the URL to which apps connect.
    pub(super) fn new(
        timeout: Duration,
        websocket_url: Box<str>,
        settings: Arc<Mutex<WebhookSettings>>,
    ) -> Self {
        WebhookClient {
            http: HttpClient::new(timeout),
            websocket_url,
            settings,
        }
    }

    /// Sends the webhook and waits for the answer, up to the timeout. It is signed with the app's
    /// current key.
    pub(super) async fn send(&self, request: &WebhookRequest) -> PostResult {
        let Ok(body) = serde_json::to_vec(&self.body(request)) else {
            return PostResult::Unsent("no body");
        };
        let settings = lock(&self.settings).clone();
        let seconds = UnixMillis::now().0 / 1_000;
        let apps = settings.apps.as_ref();
        let signature = apps.and_then(|apps| apps.sign(&request.key.package, seconds, &body));
        let header = signature.map(|signature| (SIGNATURE, signature));
        let egress = Egress::new(settings.allow);
        self.http
            .post_within(egress, &request.url, body, header)
            .await
    }

    fn body<'a>(&'a self, request: &'a WebhookRequest) -> WebhookBody<'a> {
        let (user, package) = (&*request.key.user, &*request.key.package);
        let (url, reason) = match request.action {
            WebhookAction::Start => (Some(&*self.websocket_url), None),
            WebhookAction::Stop(reason) => (None, Some(reason.name())),
        };
        WebhookBody {
            r#type: request.action.webhook_type().name(),
            session_id: format!("{user}-{package}"),
            user_id: user,
            timestamp: humantime::format_rfc3339_millis(UnixMillis::now().into()).to_string(),
            websocket_url: url,
            old_websocket_url: url,
            reason,
        }
    }
}
