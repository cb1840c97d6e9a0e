//! The files of the page.

use crate::gateway::{ClassInfo, Classes};
use crate::side::admin::admin_state::AdminState;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;

/// What the page may load and where it may send requests: only to this listener. The document
/// itself has no script or style. So if a peer's text ended up there as markup, it would do
/// nothing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; \
                      form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A script with the names of the classes and of their peers, for the other scripts.
const CLASSES: &str = "/page/classes.js";

/// The marker in the document where one choice for each class is inserted.
const OPTIONS: &str = "<!-- class options -->";
const RADIOS: &str = "<!-- class radios -->\n";

/// One file of the page.
struct Asset {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const fn asset(path: &'static str, kind: &'static str, text: &'static str) -> Asset {
    Asset { path, kind, text }
}

/// All files of the page, before the names of the classes are filled in.
const ASSETS: [Asset; 16] = [
    asset("/", HTML, include_str!("index.html")),
    asset("/page/style.css", CSS, include_str!("style.css")),
    asset("/page/icon.svg", SVG, include_str!("icon.svg")),
    asset("/page/app.js", SCRIPT, include_str!("app.js")),
    asset("/page/api.js", SCRIPT, include_str!("api.js")),
    asset(CLASSES, SCRIPT, ""),
    asset("/page/dom.js", SCRIPT, include_str!("dom.js")),
    asset("/page/live.js", SCRIPT, include_str!("live.js")),
    asset("/page/chart.js", SCRIPT, include_str!("chart.js")),
    asset("/page/lists.js", SCRIPT, include_str!("lists.js")),
    asset("/page/detail.js", SCRIPT, include_str!("detail.js")),
    asset("/page/upstreams.js", SCRIPT, include_str!("upstreams.js")),
    asset("/page/pulse.js", SCRIPT, include_str!("pulse.js")),
    asset("/page/verdicts.js", SCRIPT, include_str!("verdicts.js")),
    asset("/page/foresight.js", SCRIPT, include_str!("foresight.js")),
    asset("/page/ended.js", SCRIPT, include_str!("ended.js")),
];

/// Returns whether a request reads a file of the page, for which no token is needed.
pub(in crate::side::admin) fn is_page(method: &Method, path: &str) -> bool {
    (method == Method::GET || method == Method::HEAD) && ASSETS.iter().any(|a| a.path == path)
}

pub(in crate::side::admin) fn router(classes: &Classes) -> Router<Arc<AdminState>> {
    ASSETS.iter().fold(Router::new(), |router, asset| {
        let text = asset.text_for(classes);
        let answer = move || async move { asset.answer(text) };
        router.route(asset.path, get(answer))
    })
}

impl Asset {
    /// Returns the text with the names of these classes filled in.
    fn text_for(&self, classes: &Classes) -> Bytes {
        let infos = classes.infos();
        let text = if self.path == CLASSES {
            // Ordered by number, as the page shows them.
            let labels: Vec<_> = infos.iter().map(|i| (i.name, i.label)).collect();
            let json = serde_json::to_string(&labels).unwrap_or_else(|_| "[]".to_owned());
            format!("export const CLASSES = Object.fromEntries({json});\n")
        } else if self.path == "/" {
            let options = infos.iter().map(option).collect::<String>();
            let radios = infos.iter().enumerate().map(radio).collect::<String>();
            self.text
                .replace(OPTIONS, &options)
                .replace(RADIOS, &radios)
        } else {
            return Bytes::from_static(self.text.as_bytes());
        };
        Bytes::from(text)
    }

    /// Returns the response with this file. Browsers must not cache it (the guard sets the header),
    /// because a new binary comes with a new page.
    fn answer(&self, text: Bytes) -> Response {
        let headers = [
            (header::CONTENT_TYPE, self.kind),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::REFERRER_POLICY, "no-referrer"),
        ]
        .map(|(name, value)| (name, HeaderValue::from_static(value)));
        (headers, text).into_response()
    }
}

/// Returns the choice of a class in a list.
fn option(info: &ClassInfo) -> String {
    let (name, label) = (info.name, info.label);
    format!("<option value=\"{name}\">{label}</option>")
}

/// Returns the choice of a class to drain; the first one is selected.
fn radio((nth, info): (usize, &ClassInfo)) -> String {
    let (name, label) = (info.name, info.label);
    let checked = if nth == 0 { " checked" } else { "" };
    format!(
        "      <label class=\"radio\"><input type=\"radio\" name=\"class\" \
         value=\"{name}\"{checked}> {label} <b data-count=\"{name}\"></b></label>\n"
    )
}
