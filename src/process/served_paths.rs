//! Which requests go where, in words: for the start, `--check` and a reload.

use crate::config::Settings;
use crate::gateway::Route;

/// Returns a table of the routes in the order in which they are compared with a request, and what
/// becomes of all other requests, one line each.
pub(crate) fn served_paths(settings: &Settings) -> Vec<String> {
    let routes = settings.bridge.as_ref().map(|bridge| &*bridge.routes);
    let mut routes: Vec<&Route> = routes.unwrap_or_default().iter().collect();
    routes.sort_by_key(|route| (route.host.is_none(), std::cmp::Reverse(route.path.len())));
    let mut rows = vec![["route", "host", "path", "upstream"].map(str::to_owned)];
    rows.extend(routes.iter().map(|route| {
        let upstreams: Vec<String> = route.upstreams.iter().map(ToString::to_string).collect();
        [
            route.name.to_string(),
            host(route).to_owned(),
            path(route).to_owned(),
            upstreams.join(", "),
        ]
    }));
    let widths: [usize; 3] = std::array::from_fn(|column| {
        let lengths = rows.iter().map(|row| row[column].chars().count());
        lengths.max().unwrap_or_default()
    });
    let [name, host, path] = widths;
    let mut lines: Vec<String> = match routes.is_empty() {
        true => Vec::new(),
        false => rows
            .iter()
            .map(|[a, b, c, d]| format!("{a:name$}  {b:host$}  {c:path$}  {d}"))
            .collect(),
    };
    lines.push(other_requests(settings));
    lines
}

/// Returns the host of a route; `*` for any.
pub(crate) fn host(route: &Route) -> &str {
    route.host.as_deref().unwrap_or("*")
}

/// Returns the path of a route as it is written in the settings.
pub(crate) fn path(route: &Route) -> &str {
    match &*route.path {
        "" => "/",
        path => path,
    }
}

/// Returns what becomes of requests that no route serves.
pub(crate) fn other_requests(settings: &Settings) -> String {
    let health = &settings.health_path;
    if !settings.serves_relay {
        return format!(
            "routes serve all paths of all hosts; the gateway's own health check is at {health}"
        );
    }
    let why = match settings.bridge {
        None => {
            "neither UPSTREAM nor a [[route]] is set, so there is no service behind the gateway"
        }
        Some(_) => "no route serves all paths of all hosts",
    };
    format!(
        "{why}: the relay serves /glasses-ws and /app-ws, {health} is the health check, and every \
         other request is answered 404"
    )
}
