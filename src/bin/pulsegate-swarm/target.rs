//! The server to connect to, the paths, and the source addresses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

/// The server, resolved once.
#[derive(Debug, Clone)]
pub struct Target {
    /// The host as written in the URL, for the `Host` header.
    pub host: String,
    pub addr: SocketAddr,
}

impl Target {
    /// Parses `ws://HOST:PORT`. A path belongs in `--path`, and TLS is not supported.
    pub fn parse(url: &str) -> Result<Target, String> {
        let Some(rest) = url.strip_prefix("ws://") else {
            return Err(format!("--target {url}: not a ws:// URL"));
        };
        let host = rest.strip_suffix('/').unwrap_or(rest);
        if host.contains(['/', '?', '#', '@']) || host.chars().any(char::is_whitespace) {
            return Err(format!(
                "--target {url}: give host and port here, the path with --path"
            ));
        }
        let with_port = match host.rsplit_once(':') {
            Some((name, _)) if !name.is_empty() && !host.ends_with(']') => host.to_owned(),
            _ => format!("{host}:80"),
        };
        let addr = with_port
            .to_socket_addrs()
            .map_err(|error| format!("--target {url}: {error}"))?
            .next()
            .ok_or_else(|| format!("--target {url}: no address"))?;
        Ok(Target {
            host: host.to_owned(),
            addr,
        })
    }

    /// Returns whether traffic to the server stays on this machine.
    pub fn is_local(&self) -> bool {
        self.addr.ip().to_canonical().is_loopback()
    }
}

/// Parses `--sources`: addresses separated by commas, or a number K for 127.0.0.2 and the K - 1
/// addresses after it.
///
/// Each source address has its own range of ports (28 000 by default) to the same server.
pub fn parse_sources(text: &str, target: &Target) -> Result<Vec<IpAddr>, String> {
    const MOST: u8 = 250;
    let sources: Vec<IpAddr> = match text.parse::<u8>() {
        Ok(count @ 1..=MOST) => (2..2 + count)
            .map(|last| Ipv4Addr::new(127, 0, 0, last).into())
            .collect(),
        Ok(_) => return Err(format!("--sources {text}: a count is 1 to {MOST}")),
        Err(_) => text
            .split(',')
            .map(|one| {
                one.trim()
                    .parse()
                    .map_err(|_| format!("--sources {one}: not an address"))
            })
            .collect::<Result<_, _>>()?,
    };
    match sources
        .iter()
        .find(|source| source.is_ipv4() != target.addr.is_ipv4())
    {
        Some(source) => Err(format!(
            "--sources {source}: another family than the target's"
        )),
        None => Ok(sources),
    }
}

/// Checks `--path`: it must be absolute, and contain nothing that would end a request line.
pub fn parse_path(text: String) -> Result<String, String> {
    if text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(text)
    } else {
        Err(format!(
            "--path {text}: must start with / and be printable ASCII without spaces"
        ))
    }
}

/// Returns the path of connection `number`: each `{n}` in the template becomes the number.
pub fn path_of(template: &str, number: u32) -> String {
    template.replace("{n}", &number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_loopback_address_is_local() {
        for (url, local) in [
            ("ws://127.0.0.1:8002", true),
            ("ws://127.9.9.9:1/", true),
            ("ws://[::1]:8002", true),
            ("ws://[::ffff:127.0.0.1]:8002", true),
            ("ws://192.0.2.1:8002", false),
            ("ws://0.0.0.0:8002", false),
        ] {
            assert_eq!(Target::parse(url).expect(url).is_local(), local, "{url}");
        }
        assert_eq!(
            Target::parse("ws://127.0.0.1")
                .expect("no port")
                .addr
                .port(),
            80
        );
        assert_eq!(
            Target::parse("ws://[::1]").expect("no port").addr.port(),
            80
        );
    }

    #[test]
    fn a_target_is_host_and_port_only() {
        for url in [
            "wss://127.0.0.1",
            "127.0.0.1:1",
            "ws://127.0.0.1:1/x",
            "ws://a@127.0.0.1:1",
        ] {
            assert!(Target::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn sources_are_a_list_or_a_count() {
        let target = Target::parse("ws://127.0.0.1:1").expect("a target");
        let of = |text| parse_sources(text, &target);
        assert_eq!(of("2"), of("127.0.0.2,127.0.0.3"));
        assert_eq!(of("2").map(|s| s.len()), Ok(2));
        assert!(of("0").is_err() && of("255").is_err() && of("::1").is_err() && of("x").is_err());
    }

    #[test]
    fn a_template_takes_the_number() {
        assert_eq!(
            path_of("/a?user=u-{n}&package=p{n}", 17),
            "/a?user=u-17&package=p17"
        );
        assert!(parse_path("/a b".into()).is_err() && parse_path("a".into()).is_err());
    }
}
