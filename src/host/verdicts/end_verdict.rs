//! The verdicts, each with its meaning and what an operator does about it.

use std::fmt;

/// Why a connection really ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndVerdict {
    /// The gateway itself did not run.
    GatewayStall,
    /// The gateway closed it on purpose.
    GatewayAction,
    /// The device changed networks.
    Handover,
    /// The device had no network.
    Outage,
    /// The device slept.
    DeviceSleep,
    /// The page or program was frozen.
    AppFrozen,
    /// Something on the path answered in the client's place.
    Middlebox,
    /// A NAT forgot the idle connection.
    NatTimeout,
    /// The client's program was killed.
    AppKilled,
    /// The client came back while its dead connection still looked open.
    TakeoverOfDead,
    /// Another device of the same client took over.
    SecondDevice,
    /// The path is too slow for what is sent.
    SlowLink,
    /// The client could not reach the gateway.
    Unreachable,
    /// The path to the peer was lost.
    NetworkLost,
    /// The peer's machine was there, and its program did not answer.
    PeerSilent,
    /// A proxy ends connections at one age.
    ProxyTimeout,
    /// The connection to the upstream was lost.
    UpstreamLost,
    /// The upstream closed it.
    UpstreamClosed,
    /// The peer left.
    PeerLeft,
    /// No rule fits.
    Unknown,
}

macro_rules! verdicts {
    ($($verdict:ident, $name:literal, $meaning:literal, $action:literal;)+) => {
        impl EndVerdict {
            /// All verdicts; the position equals the number that `as usize` yields.
            pub const ALL: &[EndVerdict] = &[$(EndVerdict::$verdict),+];

            /// Returns the name in the log, metrics and the API.
            pub const fn name(self) -> &'static str {
                match self {
                    $(EndVerdict::$verdict => $name),+
                }
            }

            /// Returns what the verdict means, as a sentence without its end.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(EndVerdict::$verdict => $meaning),+
                }
            }

            /// Returns what an operator does if there are many ends with this verdict.
            pub const fn action(self) -> &'static str {
                match self {
                    $(EndVerdict::$verdict => $action),+
                }
            }
        }
    };
}

verdicts! {
    GatewayStall, "gateway_stall",
        "the gateway itself did not run for a while, and the client gave up",
        "Find out what stops the process: swap, CPU steal, a frozen cgroup, a migration of the \
         machine. See pulsegate_loop_stalls_total.";
    GatewayAction, "gateway_action",
        "the gateway closed the connection on purpose: by a rule, for an operator, or because it \
         stops",
        "See the causes in /api/v1/causes: a limit, a block, a drain, or clients that break a \
         rule.";
    Handover, "handover",
        "the device changed networks, and the old path was gone",
        "Nothing is broken: devices move. Let clients speak pulse, so that they resume at once.";
    Outage, "outage",
        "the device had no working network",
        "Compare the address blocks in /api/v1/closed. If one carrier or region stands out, tell \
         it; the gateway is not the cause.";
    DeviceSleep, "device_sleep",
        "the device slept",
        "Nothing is broken. A push message wakes a device; a shorter heartbeat does not.";
    AppFrozen, "app_frozen",
        "the client's page or program was frozen or in the background, while its machine was there",
        "Look at the client's release and platform: what stops it in the background.";
    Middlebox, "middlebox",
        "something on the path acknowledged our bytes, and the client heard nothing",
        "Look for a proxy or a firewall in front of these clients that keeps connections open \
         for peers that are gone.";
    NatTimeout, "nat_timeout",
        "a NAT or a firewall forgot the connection after an idle time",
        "Set HEARTBEAT_INTERVAL_MS, and with ADAPTIVE_CADENCE also HEARTBEAT_MAX_MS, below the \
         idle time at which connections of the block end.";
    AppKilled, "app_killed",
        "the client's program was killed or crashed, and started anew",
        "Look at the client's release and platform: crashes, and systems that kill it for memory.";
    TakeoverOfDead, "takeover_of_dead",
        "the client came back while its old connection, which was dead, still looked open",
        "The client noticed the loss before the gateway did. If there are many, look at the \
         network of these clients, or shorten CONNECTION_TIMEOUT_MS.";
    SecondDevice, "second_device",
        "another device or page of the same client took over",
        "Look for two devices or processes with one identity: \
         /api/v1/closed?verdict=second_device names the users.";
    SlowLink, "slow_link",
        "the path is too slow for what is sent",
        "Send less, or in smaller messages, to clients on slow networks.";
    Unreachable, "unreachable",
        "the client could not open a connection, several times",
        "The log names the phase that failed. dns or tcp: the name, the route or the firewall; \
         tls: the certificate; http: what is in front of the gateway.";
    NetworkLost, "network_lost",
        "the path to the peer was lost: our bytes were sent again and never acknowledged",
        "Compare the address blocks in /api/v1/closed. If one stands out, its network is the \
         cause; if all do, look at the network of the gateway.";
    PeerSilent, "peer_silent",
        "the peer's machine acknowledged our bytes, and its program did not answer",
        "Look at the client's release and platform: it is suspended, or hangs.";
    ProxyTimeout, "proxy_timeout",
        "a proxy in front ends connections at one age",
        "Raise the timeout of the proxy or load balancer in front; the log has the age.";
    UpstreamLost, "upstream_lost",
        "the connection to the upstream was lost",
        "Look at the service and its alerts, upstream_down and upstream_unresponsive.";
    UpstreamClosed, "upstream_closed",
        "the upstream closed the connection",
        "The service has decided it: see its log, and the close codes in /api/v1/closed.";
    PeerLeft, "peer_left",
        "the peer left: it closed the connection, or its program ended",
        "Usually nothing: users leave. After a release of the client, look at what it does.";
    Unknown, "unknown",
        "nothing that was seen tells why",
        "Let clients speak pulse and send reports: both sides together tell more than one.";
}

impl EndVerdict {
    /// Returns the verdict with this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|verdict| verdict.name() == name)
    }
}

impl fmt::Display for EndVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
