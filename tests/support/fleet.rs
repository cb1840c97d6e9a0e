//! A fleet on virtual time: the gateway, and peers that speak the contract.
#![allow(dead_code)] // each test file uses what it needs

use crate::tokens::token;
use pulsegate::gateway::{
    Admission, AppRegistry, CAUSES, ClassInfo, Credentials, Gateway, GatewayOptions, Job,
    JobReceiver, ProxyProtocol, RELAY_CLASSES, Reconfiguration, RelaySettings, RelayStats,
    StartOutcome, StateJob, WebhookJob,
};
use pulsegate::testing::{Net, PeerId, Received};
use pulsegate::{Cause, ClassConfig, Config, EndCode, Ending, Message, Micros, Policy};
use serde_json::{Value, json as object};

/// The key of tokens in these tests.
pub const SECRET: &str = "a-secret-that-nobody-knows-anywhere";

pub struct Fleet {
    pub net: Net<Gateway>,
    jobs: JobReceiver,
    taken: Vec<Job>,
    closed: bool,
}

/// Users and packages.
pub type Noted = Vec<(String, String)>;

/// Returns a frame of the glasses with a number.
pub fn button(n: u64) -> Value {
    object!({"type":"button_press","buttonId":"a","pressType":"short","n":n})
}

/// Returns the number of a [`button`] that an app got.
pub fn number(text: &str) -> Option<u64> {
    json(text)["data"]["n"].as_u64()
}

#[track_caller]
pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Returns the types of these frames.
pub fn texts(frames: &[String]) -> Vec<String> {
    let kind = |text: &String| json(text)["type"].as_str().unwrap_or_default().to_owned();
    frames.iter().map(kind).collect()
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
            restored: Vec::new(),
            health_path: "/healthz".into(),
            relay_serves: true,
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

    // ---- peers ----

    /// Connects glasses, with a token if one is needed.
    #[track_caller]
    pub fn glasses(&mut self, user: &str) -> PeerId {
        let path = if self.closed {
            format!("/glasses-ws?token={}", token(user, SECRET))
        } else {
            format!("/glasses-ws?user={user}")
        };
        let peer = self.net.connect(&path);
        assert!(self.net.is_open(peer), "{:?}", self.net.response(peer));
        peer
    }

    /// Connects an app by its query, and reads its ack.
    #[track_caller]
    pub fn app(&mut self, user: &str, package: &str) -> PeerId {
        let peer = self.app_again(user, package);
        assert_eq!(self.next(peer)["type"], "tpa_connection_ack");
        peer
    }

    /// Connects an app by its query; reads nothing yet.
    #[track_caller]
    pub fn app_again(&mut self, user: &str, package: &str) -> PeerId {
        let path = format!("/app-ws?user={user}&package={package}");
        let peer = self.net.connect(&path);
        assert!(self.net.is_open(peer), "{:?}", self.net.response(peer));
        peer
    }

    /// Connects an app and sends its init message.
    pub fn init(&mut self, user: &str, package: &str, key: &str) -> PeerId {
        let peer = self.net.connect("/app-ws");
        let session = format!("{user}-{package}");
        self.say(
            peer,
            object!({
                "type": "tpa_connection_init", "sessionId": session, "packageName": package,
                "apiKey": key,
            }),
        );
        peer
    }

    /// The glasses start an app, it connects, and its server answers.
    pub fn started(&mut self, glasses: PeerId, user: &str, package: &str) -> PeerId {
        self.say(glasses, object!({"type":"start_app","packageName":package}));
        let app = self.init(user, package, &format!("key-of-{package}"));
        assert_eq!(self.next(app)["type"], "tpa_connection_ack");
        let starts = self.starts();
        assert_eq!(starts.len(), 1);
        assert_eq!(self.cancelled(), starts);
        self.answer(starts[0]);
        app
    }

    /// Connects glasses; `None` if they are refused.
    pub fn try_glasses(&mut self, user: &str) -> Option<PeerId> {
        let peer = self
            .net
            .connect(&format!("/glasses-ws?token={}", token(user, SECRET)));
        self.net.is_open(peer).then_some(peer)
    }

    /// Sends a frame; returns whether the gateway received it. Frames of a muted peer are lost.
    pub fn say_heard(&mut self, peer: PeerId, frame: Value) -> bool {
        let before = self.received();
        self.say(peer, frame);
        self.received() > before
    }

    fn received(&self) -> u64 {
        self.net.engine().stats().messages_in
    }

    /// Replaces the subscriptions of an app.
    pub fn subscribe(&mut self, app: PeerId, streams: &[&str]) {
        self.say(
            app,
            object!({ "type": "subscription_update", "subscriptions": streams }),
        );
    }

    pub fn say(&mut self, peer: PeerId, frame: Value) {
        self.say_text(peer, &frame.to_string());
    }

    pub fn say_text(&mut self, peer: PeerId, text: &str) {
        self.net.send(peer, Message::text(text));
        self.net.settle();
    }

    pub fn binary(&mut self, peer: PeerId, bytes: &[u8]) {
        self.net.send(peer, Message::binary(bytes.to_vec()));
        self.net.settle();
    }

    /// Ends a peer's connection; the gateway has noticed when this returns.
    pub fn lose(&mut self, peer: PeerId, how: &str) {
        match how {
            "reset" => self.net.reset(peer),
            "close" => self.net.send(peer, Message::Close(None)),
            "freeze" => {
                self.net.mute(peer);
                self.net.settle();
                while self.net.is_open(peer) {
                    self.net.advance(10);
                }
            }
            other => panic!("{other}"),
        }
        self.net.settle();
        self.net.advance(10);
        assert!(!self.net.is_open(peer));
    }

    // ---- what peers received ----

    fn messages(&mut self, peer: PeerId) -> Vec<Message> {
        let received = self.net.received(peer).into_iter();
        received
            .filter_map(|r| match r {
                Received::Message(message) => Some(message),
                Received::Fragment(..)
                | Received::Ping(_)
                | Received::Pong(_)
                | Received::Close(..) => None,
            })
            .collect()
    }

    /// Returns all texts since the last call.
    pub fn texts(&mut self, peer: PeerId) -> Vec<String> {
        let texts = self.messages(peer).into_iter();
        texts
            .filter_map(|m| match m {
                Message::Text(text) => Some(text.to_string()),
                _ => None,
            })
            .collect()
    }

    pub fn binaries(&mut self, peer: PeerId) -> Vec<Vec<u8>> {
        let messages = self.messages(peer).into_iter();
        messages
            .filter_map(|m| match m {
                Message::Binary(bytes) => Some(bytes.to_vec()),
                _ => None,
            })
            .collect()
    }

    /// Returns the first text since the last call; drops the others.
    #[track_caller]
    pub fn next(&mut self, peer: PeerId) -> Value {
        let texts = self.texts(peer);
        json(texts.first().expect("a text"))
    }

    pub fn drain(&mut self, peer: PeerId) {
        self.net.received(peer);
    }

    pub fn silent(&mut self, peer: PeerId) -> bool {
        self.messages(peer).is_empty()
    }

    pub fn is_open(&self, peer: PeerId) -> bool {
        self.net.is_open(peer)
    }

    pub fn ending(&self, peer: PeerId) -> &Ending {
        self.net.ending(peer).expect("an end")
    }

    #[track_caller]
    pub fn expect_closed(&self, peer: PeerId, cause: Cause) {
        self.net.expect_closed(peer, cause);
    }

    /// Asserts that it is closed for this cause, with this code; the peer need not have answered
    /// yet.
    #[track_caller]
    pub fn expect_closing(&mut self, peer: PeerId, cause: Cause, code: u16) {
        self.advance(3_000);
        let end = self.ending(peer);
        assert_eq!(
            (end.cause, end.code),
            (cause, EndCode::Close(code)),
            "{end:?}"
        );
    }

    /// Returns the status and head of a response that is not an upgrade.
    pub fn refused(&mut self, path: &str) -> (u16, String) {
        let peer = self.net.connect(path);
        let head = self.net.response(peer).expect("an answer").to_owned();
        (head[9..12].parse().expect("a status"), head)
    }

    // ---- the gateway ----

    pub fn advance(&mut self, ms: u64) {
        self.net.advance(ms);
    }

    pub fn stats(&mut self) -> RelayStats {
        self.net.with_io(|gateway, io| gateway.snapshot(io)).relay
    }

    /// Returns what the relay has charged to the loop; asserts that it equals a fresh sum.
    #[track_caller]
    pub fn charged(&mut self) -> u64 {
        self.net.with_io(|gateway, io| {
            let charged = io.stats().host_bytes;
            assert_eq!(charged, gateway.recount());
            charged
        })
    }

    /// Returns the bytes that the relay keeps of messages that their connections hold.
    pub fn held(&mut self) -> u64 {
        self.net.with_io(|gateway, _| gateway.recount_held())
    }

    pub fn sessions(&mut self) -> usize {
        self.net
            .with_io(|gateway, io| gateway.snapshot(io))
            .sessions
    }

    // ---- jobs ----

    fn jobs(&mut self, pick: impl Fn(&Job) -> Option<u64>) -> Vec<u64> {
        self.taken.extend(self.jobs.take());
        let picked: Vec<u64> = self.taken.iter().filter_map(&pick).collect();
        self.taken.retain(|job| pick(job).is_none());
        picked
    }

    /// Returns the numbers of starts requested since the last call.
    pub fn starts(&mut self) -> Vec<u64> {
        self.jobs(|job| match job {
            Job::Webhook(WebhookJob::Start { number, .. }) => Some(*number),
            _ => None,
        })
    }

    /// Returns the numbers of starts cancelled since the last call.
    pub fn cancelled(&mut self) -> Vec<u64> {
        self.jobs(|job| match job {
            Job::Webhook(WebhookJob::Cancel { number }) => Some(*number),
            _ => None,
        })
    }

    /// Returns the number of stops requested since the last call.
    pub fn stops(&mut self) -> usize {
        self.jobs(|job| matches!(job, Job::Webhook(WebhookJob::Stop { .. })).then_some(0))
            .len()
    }

    /// Returns what the state file should remember and forget, since the last call.
    pub fn noted(&mut self) -> (Noted, Noted) {
        self.taken.extend(self.jobs.take());
        let mut noted = (Vec::new(), Vec::new());
        for job in std::mem::take(&mut self.taken) {
            match job {
                Job::State(StateJob::Remember { user, package }) => {
                    noted.0.push((user.into(), package.into()))
                }
                Job::State(StateJob::Forget { user, package }) => {
                    noted.1.push((user.into(), package.into()))
                }
                _ => {}
            }
        }
        noted
    }

    /// Returns what the state file should remember, since the last call.
    pub fn remembered(&mut self) -> Vec<(String, String)> {
        self.noted().0
    }

    /// Reloads the settings, with these apps.
    pub fn reload_apps(&mut self, packages: &[&str]) {
        self.reload(packages, |_| {});
    }

    /// Reloads the settings, with these apps and another change.
    pub fn reload(&mut self, packages: &[&str], change: impl FnOnce(&mut Reconfiguration)) {
        self.begin_reload(packages, change);
        self.rest();
    }

    /// Like [`reload`](Self::reload), but the loop has not turned since.
    pub fn begin_reload(&mut self, packages: &[&str], change: impl FnOnce(&mut Reconfiguration)) {
        let mut newer = Reconfiguration {
            engine: config(),
            max_connections: 100_000,
            stats_interval: Micros::from_secs(60),
            trusted_proxies: Vec::new(),
            relay: RelaySettings::default(),
            credentials: credentials(packages, Admission::Started),
        };
        change(&mut newer);
        let done = self
            .net
            .with_io(|gateway, io| gateway.reconfigure(io, newer));
        done.expect("valid settings");
    }

    /// Runs one turn. Returns the work units that it spent.
    pub fn turn(&mut self) -> u64 {
        let before = self.work_units();
        self.net.run_turn();
        self.work_units() - before
    }

    /// Returns the work units since the start.
    pub fn work_units(&mut self) -> u64 {
        self.net.with_io(|_, io| io.stats().work_units)
    }

    /// Runs turns until all work that takes several turns is done.
    pub fn rest(&mut self) {
        self.net.settle();
        let mut idle = 0;
        while idle < 3 {
            idle = if self.turn() == 0 { idle + 1 } else { 0 };
        }
    }

    pub fn answer(&mut self, number: u64) {
        self.done(number, StartOutcome::Answered);
    }

    pub fn fail(&mut self, number: u64, why: &str) {
        self.done(number, StartOutcome::Failed(why.into()));
    }

    /// Reports that the server failed, and is asked again after this many ms.
    pub fn again(&mut self, number: u64, ms: u64) {
        let after = Micros::from_millis(ms);
        self.done(number, StartOutcome::Again { after });
    }

    pub fn done(&mut self, number: u64, outcome: StartOutcome) {
        self.net
            .with_io(|gateway, io| gateway.finish_start(io, number, &outcome));
        self.net.settle();
    }
}

/// Returns apps with keys, and with webhooks except for `p.bare`.
pub fn credentials(packages: &[&str], admission: Admission) -> Credentials {
    credentials_at(&[], packages, admission)
}

/// Returns credentials of some apps whose servers have moved, and of others.
pub fn credentials_at(moved: &[&str], packages: &[&str], admission: Admission) -> Credentials {
    let app = |package: &str, port: u16| {
        let mut app = object!({"package":package,"api_key":format!("key-of-{package}")});
        if package != "p.bare" {
            app["webhook_url"] = format!("http://127.0.0.1:{port}/{package}").into();
        }
        app
    };
    let moved = moved.iter().map(|package| app(package, 8));
    let apps = moved.chain(packages.iter().map(|package| app(package, 9)));
    let apps: Vec<Value> = apps.collect();
    let apps = AppRegistry::parse(Value::from(apps).to_string().as_bytes()).expect("apps");
    Credentials::new(Some(SECRET), Some(apps), admission, Vec::new())
}

/// The classes of the gateway with their default policies.
fn config() -> Config {
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
