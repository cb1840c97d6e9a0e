//! Hand-written requests to the admin listener, so that a test can send invalid ones, too.

use super::{Gateway, PATIENCE, Response};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

impl Gateway {
    fn admin_addr(&self) -> SocketAddr {
        self.admin.expect("ADMIN_ADDR is not off")
    }

    /// Connects to the admin listener.
    pub fn admin_stream(&self) -> TcpStream {
        let stream = TcpStream::connect(self.admin_addr()).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// Sends these bytes, and reads the answer until the end of the stream.
    #[track_caller]
    pub fn admin_raw(&self, request: &[u8]) -> Response {
        let mut stream = self.admin_stream();
        // It may be refused before all of it is sent.
        let _ = stream.write_all(request);
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        let text = String::from_utf8(bytes).expect("UTF-8");
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no answer ({read:?}): {text:?}"));
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
        Response {
            status: status.expect("a status"),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    /// Sends a request with more header lines (each ended by CRLF) and a body.
    #[track_caller]
    pub fn admin_request(&self, method: &str, path: &str, headers: &str, body: &str) -> Response {
        let host = self.admin_addr();
        let length = match body {
            "" => String::new(),
            body => format!("Content-Length: {}\r\n", body.len()),
        };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        self.admin_raw(format!("{head}{headers}{length}\r\n{body}").as_bytes())
    }

    /// Returns the body of a path; asserts the status 200.
    #[track_caller]
    pub fn api(&self, path: &str) -> Value {
        let response = self.admin_request("GET", path, "", "");
        assert_eq!(response.status, 200, "{path}: {response:?}");
        json(&response)
    }

    /// Returns the result of an action.
    #[track_caller]
    pub fn act(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let headers = match body {
            "" => "",
            _ => "Content-Type: application/json\r\n",
        };
        let response = self.admin_request(method, path, headers, body);
        let answer = if response.body.is_empty() {
            Value::Null
        } else {
            json(&response)
        };
        (response.status, answer)
    }

    /// Returns `/metrics` as a map from a name with its labels to the value.
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        let accept = "Accept: application/openmetrics-text\r\n";
        let response = self.admin_request("GET", "/metrics", accept, "");
        assert_eq!(response.status, 200, "{response:?}");
        assert!(response.body.ends_with("# EOF\n"), "{}", response.body);
        Metrics(response.body)
    }

    /// Returns the only connection that matches these parameters.
    #[track_caller]
    pub fn connection(&self, parameters: &str) -> Value {
        let list = self.api(&format!("/api/v1/connections?{parameters}"));
        assert_eq!(list["matched"], 1, "{parameters}: {list}");
        list["connections"][0].clone()
    }
}

/// The text of a scrape.
pub struct Metrics(pub String);

impl Metrics {
    /// Returns the value of `name{labels}`, or of `name`.
    #[track_caller]
    pub fn get(&self, series: &str) -> f64 {
        let value = self.samples().find(|(name, _)| *name == series);
        value
            .unwrap_or_else(|| panic!("no {series} in\n{}", self.0))
            .1
    }

    /// Returns the sum over all series with this prefix.
    pub fn sum(&self, prefix: &str) -> f64 {
        let those = self.samples().filter(|(name, _)| name.starts_with(prefix));
        those.map(|(_, value)| value).sum()
    }

    pub fn samples(&self) -> impl Iterator<Item = (&str, f64)> {
        let lines = self.0.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').expect("a sample");
            (name, value.parse().expect("a number"))
        })
    }
}

#[track_caller]
pub fn json(response: &Response) -> Value {
    let kind = response.header("content-type");
    assert_eq!(kind, Some("application/json"), "{response:?}");
    serde_json::from_str(&response.body).unwrap_or_else(|e| panic!("{e}: {response:?}"))
}
