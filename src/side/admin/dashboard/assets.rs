//! The parts of the page.

use crate::side::admin::control::Control;
use axum::Router;
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;

/// What the page may load and whom it may ask: us alone. No script or style stands in the document itself, so text of a peer
/// that should end up there as markup would do nothing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A part of the page.
struct Asset {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const fn asset(path: &'static str, kind: &'static str, text: &'static str) -> Asset {
    Asset { path, kind, text }
}

/// All of it.
const ASSETS: [Asset; 10] = [
    asset("/", HTML, include_str!("index.html")),
    asset("/page/style.css", CSS, include_str!("style.css")),
    asset("/page/icon.svg", SVG, include_str!("icon.svg")),
    asset("/page/app.js", SCRIPT, include_str!("app.js")),
    asset("/page/api.js", SCRIPT, include_str!("api.js")),
    asset("/page/dom.js", SCRIPT, include_str!("dom.js")),
    asset("/page/live.js", SCRIPT, include_str!("live.js")),
    asset("/page/chart.js", SCRIPT, include_str!("chart.js")),
    asset("/page/lists.js", SCRIPT, include_str!("lists.js")),
    asset("/page/detail.js", SCRIPT, include_str!("detail.js")),
];

/// Whether this is a part of the page being read, for which no token is needed.
pub(in crate::side::admin) fn is_page(method: &Method, path: &str) -> bool {
    (method == Method::GET || method == Method::HEAD) && ASSETS.iter().any(|a| a.path == path)
}

pub(in crate::side::admin) fn router() -> Router<Arc<Control>> {
    ASSETS.iter().fold(Router::new(), |router, asset| {
        router.route(asset.path, get(move || async move { asset.answer() }))
    })
}

impl Asset {
    /// Not to be kept by browsers (the guard says so): a new binary brings a new page, and all of it.
    fn answer(&self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, self.kind),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::REFERRER_POLICY, "no-referrer"),
        ]
        .map(|(name, value)| (name, HeaderValue::from_static(value)));
        (headers, self.text).into_response()
    }
}
