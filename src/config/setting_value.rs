//! A checked value of a setting.

use super::lists;
use super::secret::Secret;
use crate::gateway::{
    AcceptedSubprotocols, AppRegistry, Balance, HostHeader, RouteIdentity, StickyCookie,
    UpstreamUrl, WebOrigin, WeightedUpstream,
};
use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// A checked value; prints as it is written in a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SettingValue {
    Number(u64),
    Word(&'static str),
    Switch(bool),
    Address(SocketAddr),
    Off,
    Path(PathBuf),
    /// A file and the secret in it, so that a change of either is noticed.
    SecretFile(PathBuf, Secret),
    Secret(Secret),
    Networks(Vec<IpNet>),
    Origins(Vec<WebOrigin>),
    FrameTypes(Vec<Box<str>>),
    Subprotocols(AcceptedSubprotocols),
    HostNames(Vec<Box<str>>),
    Url(String),
    Upstream(UpstreamUrl),
    HostHeader(HostHeader),
    HttpPath(Box<str>),
    Name(Box<str>),
    Upstreams(Vec<WeightedUpstream>),
    Balance(Balance),
    RouteIdentity(RouteIdentity),
    Cookie(StickyCookie),
    IpAddresses(Vec<IpAddr>),
    /// A file and the apps in it, as for a secret.
    AppsFile(PathBuf, AppRegistry),
    /// The setting was not given, and there is no default, or the default is determined later.
    Absent,
}

impl fmt::Display for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingValue::Number(number) => write!(f, "{number}"),
            SettingValue::Word(word) => f.write_str(word),
            SettingValue::Switch(on) => write!(f, "{}", u8::from(*on)),
            SettingValue::Address(address) => write!(f, "{address}"),
            SettingValue::Off => f.write_str("off"),
            SettingValue::Path(path)
            | SettingValue::SecretFile(path, _)
            | SettingValue::AppsFile(path, _) => {
                write!(f, "{}", path.display())
            }
            SettingValue::Secret(secret) => write!(f, "{secret}"),
            SettingValue::Networks(networks) => {
                let networks: Vec<_> = networks.iter().map(IpNet::to_string).collect();
                f.write_str(&networks.join(","))
            }
            SettingValue::Origins(origins) => {
                let origins: Vec<_> = origins.iter().map(WebOrigin::as_str).collect();
                f.write_str(&origins.join(","))
            }
            SettingValue::FrameTypes(types) if types.is_empty() => f.write_str(lists::NONE),
            SettingValue::Subprotocols(AcceptedSubprotocols::Any) => f.write_str(lists::ANY),
            SettingValue::Subprotocols(AcceptedSubprotocols::Only(names)) if names.is_empty() => {
                f.write_str(lists::NONE)
            }
            SettingValue::Subprotocols(AcceptedSubprotocols::Only(names)) => {
                f.write_str(&names.join(","))
            }
            SettingValue::FrameTypes(names) | SettingValue::HostNames(names) => {
                f.write_str(&names.join(","))
            }
            SettingValue::Url(url) => f.write_str(url),
            SettingValue::Upstream(url) => write!(f, "{url}"),
            SettingValue::HostHeader(rule) => write!(f, "{rule}"),
            SettingValue::HttpPath(text) | SettingValue::Name(text) => f.write_str(text),
            SettingValue::Balance(rule) => write!(f, "{rule}"),
            SettingValue::RouteIdentity(place) => write!(f, "{place}"),
            SettingValue::Cookie(cookie) => write!(f, "{cookie}"),
            SettingValue::IpAddresses(addresses) => {
                let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                f.write_str(&addresses.join(","))
            }
            SettingValue::Upstreams(upstreams) => {
                let upstreams: Vec<_> = upstreams.iter().map(ToString::to_string).collect();
                f.write_str(&upstreams.join(","))
            }
            SettingValue::Absent => Ok(()),
        }
    }
}
