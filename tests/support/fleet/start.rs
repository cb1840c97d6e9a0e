//! A fleet and its start.

use super::credentials::credentials;
use pulsegate::gateway::{
    Admission, CAUSES, ClassInfo, Credentials, Gateway, GatewayOptions, Job, JobReceiver,
    ProxyProtocol, RELAY_CLASSES, RelaySettings, ReportMode,
};
use pulsegate::testing::{Net, PeerId};
use pulsegate::{ClassConfig, Config, Micros, Policy};

pub struct Fleet {
    pub net: Net<Gateway>,
    pub(super) jobs: JobReceiver,
    pub(super) taken: Vec<Job>,
    pub(super) closed: bool,
}

impl Fleet {
    /// Creates a fleet without credentials: every peer may connect.
    pub fn open() -> Self {
        Self::with(RelaySettings::default(), None)
    }

    /// Creates a fleet where the apps `p.x` and `p.y` have keys and webhooks.
    pub fn closed(admission: Admission) -> Self {
        Self::with(RelaySettings::default(), Some(admission))
    }

    pub fn with(relay: RelaySettings, admission: Option<Admission>) -> Self {
        Self::start(relay, admission, Vec::new())
    }

    pub fn restored(restored: Vec<(Box<str>, Vec<Box<str>>)>) -> Self {
        Self::start(RelaySettings::default(), Some(Admission::Started), restored)
    }

    pub fn start(
        relay: RelaySettings,
        admission: Option<Admission>,
        restored: Vec<(Box<str>, Vec<Box<str>>)>,
    ) -> Self {
        Self::tuned(relay, admission, |options, _| options.restored = restored)
    }

    /// Creates a fleet with changed options of the gateway and the loop.
    pub fn tuned(
        relay: RelaySettings,
        admission: Option<Admission>,
        tune: impl FnOnce(&mut GatewayOptions, &mut Config),
    ) -> Self {
        let credentials = admission.map_or_else(Credentials::default, |admission| {
            credentials(&["p.x", "p.y", "p.z", "p.bare"], admission)
        });
        let mut config = config();
        let mut options = GatewayOptions {
            stats_interval: Micros::from_secs(60),
            log_dropped: Box::new(|| 0),
            proxy_protocol: ProxyProtocol::Off,
            trusted_proxies: Vec::new(),
            max_connections: 100_000,
            watchdog: None,
            relay,
            credentials,
            client_reports: ReportMode::Keep,
            restored: Vec::new(),
            health_path: "/healthz".into(),
            serves_relay: true,
            bridge: None,
            products: Vec::new(),
        };
        tune(&mut options, &mut config);
        let closed = !options.credentials.is_open();
        let gateway = Gateway::new(options);
        let jobs = gateway.jobs();
        let mut net = Net::new(config, gateway);
        net.with_io(Gateway::start);
        Fleet {
            net,
            jobs,
            taken: Vec::new(),
            closed,
        }
    }

    /// Opens a fleet with glasses of `ada` and her app `p.x`; returns it with both.
    pub fn with_app() -> (Fleet, PeerId, PeerId) {
        let mut fleet = Fleet::open();
        let glasses = fleet.glasses("ada");
        let app = fleet.app("ada", "p.x");
        (fleet, glasses, app)
    }
}

/// The classes of the gateway with their default policies.
pub(super) fn config() -> Config {
    let class = |(nth, info): (usize, &ClassInfo)| ClassConfig {
        name: info.name.to_owned(),
        policy: Policy {
            first_message_timeout: (nth == 1).then(|| Micros::from_secs(10)),
            ..Policy::default()
        },
    };
    Config {
        classes: RELAY_CLASSES.iter().enumerate().map(class).collect(),
        causes: &CAUSES,
        ..Config::default()
    }
}
