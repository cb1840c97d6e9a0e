//! The formats of metrics: OpenMetrics or the older text format of Prometheus, optionally
//! compressed.

use axum::http::{HeaderMap, HeaderName, header};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// A format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// The older text format, which any tool reads.
    Classic,
    /// OpenMetrics, if the request asks for it.
    OpenMetrics,
}

impl Format {
    /// Returns the format that a request asks for.
    pub(super) fn negotiate(headers: &HeaderMap) -> Self {
        if accepts(headers, &header::ACCEPT, "application/openmetrics-text") {
            Format::OpenMetrics
        } else {
            Format::Classic
        }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Format::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Returns whether a request wants its answer compressed.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    accepts(headers, &header::ACCEPT_ENCODING, "gzip")
}

/// Compresses `text`. `None`: this has failed.
pub(super) fn gzip(text: &str) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).ok()?;
    encoder.finish().ok()
}

/// Returns whether a list of preferences contains this element and does not refuse it (RFC 9110
/// §12.4.2).
fn accepts(headers: &HeaderMap, field: &HeaderName, wanted: &str) -> bool {
    let lines = headers.get_all(field).iter();
    let mut elements = lines
        .filter_map(|line| str::from_utf8(line.as_bytes()).ok())
        .flat_map(|line| line.split(','));
    elements.any(|element| {
        let mut parts = element.split(';').map(str::trim);
        let is_it = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case(wanted));
        let is_refused = parts.any(|part| {
            let weight = part
                .split_once('=')
                .filter(|(key, _)| key.trim().eq_ignore_ascii_case("q"));
            weight.is_some_and(|(_, q)| q.trim().parse::<f32>().is_ok_and(|q| q <= 0.0))
        });
        is_it && !is_refused
    })
}

/// Converts OpenMetrics to the older format. There, a counter's name ends in `_total` in its
/// description, too, and there are neither units nor an end mark.
pub(super) fn to_classic(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + open_metrics.len() / 32);
    let mut help = "";
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "unknown"));
            let (ending, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            let described = [
                "# HELP ",
                name,
                ending,
                " ",
                help,
                "\n# TYPE ",
                name,
                ending,
                " ",
                kind,
                "\n",
            ];
            text.extend(described);
            help = "";
        } else if !line.starts_with('#') {
            text.extend([line, "\n"]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn open_metrics_are_sent_on_request_only() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,\
                          application/openmetrics-text;version=0.0.1;q=0.5,\
                          text/plain;version=0.0.4;q=0.4,*/*;q=0.1";
        for (accept, wanted) in [
            (None, Format::Classic),
            (Some("*/*"), Format::Classic),
            (
                Some("text/html,application/xml;q=0.9,*/*;q=0.8"),
                Format::Classic,
            ),
            (Some("text/plain;version=0.0.4"), Format::Classic),
            (
                Some("application/openmetrics-text;q=0, text/plain"),
                Format::Classic,
            ),
            (
                Some("application/openmetrics-text; q=0.000"),
                Format::Classic,
            ),
            (Some(prometheus), Format::OpenMetrics),
            (Some("Application/OpenMetrics-Text"), Format::OpenMetrics),
            (
                Some("text/plain, application/openmetrics-text ; version=1.0.0"),
                Format::OpenMetrics,
            ),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(Format::negotiate(&headers), wanted, "{accept:?}");
        }
        for (encoding, wanted) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("br", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(encoding));
            assert_eq!(accepts_gzip(&headers), wanted, "{encoding}");
        }
    }

    #[test]
    fn the_older_format_names_counters_as_their_samples() {
        let open_metrics = "# HELP a_seconds Time, in all.\n# TYPE a_seconds counter\n\
                            # UNIT a_seconds seconds\n\
                            a_seconds_total{x=\"# y\"} 1.5\n# HELP b Now.\n# TYPE b gauge\nb -1\n\
                            # HELP c Times.\n# TYPE c histogram\nc_sum 1.0\nc_count 1\n\
                            c_bucket{le=\"+Inf\"} 1\n\
                            # HELP d Of what.\n# TYPE d info\nd_info{v=\"1\"} 1\n\
                            # TYPE e unknown\ne 1\n# EOF\n";
        let expected = "# HELP a_seconds_total Time, in all.\n# TYPE a_seconds_total counter\n\
                        a_seconds_total{x=\"# y\"} 1.5\n\
                        # HELP b Now.\n# TYPE b gauge\nb -1\n\
                        # HELP c Times.\n# TYPE c histogram\nc_sum 1.0\nc_count 1\n\
                        c_bucket{le=\"+Inf\"} 1\n\
                        # HELP d_info Of what.\n# TYPE d_info gauge\nd_info{v=\"1\"} 1\n\
                        # HELP e \n# TYPE e untyped\ne 1\n";
        assert_eq!(to_classic(open_metrics), expected);
    }
}
