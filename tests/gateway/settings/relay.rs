//! Settings of the relay: apps, origins of pages, what is kept for an absent peer, and the state file.

use super::loading::{classes, fault, fault_of, faults, printed, run};
use super::samples::APPS;
use crate::folder::Folder;
use pulsegate::gateway::{Admission, AppRegistry};
use pulsegate::time::Micros;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

#[test]
fn the_apps_are_those_of_their_file() {
    let folder = Folder::new();
    let file = folder.file("apps.json", APPS);
    let in_file = folder.file("settings", format!("apps_file = '{file}'"));
    let variable = format!("APPS_FILE={file}");
    for (args, env) in [
        (String::new(), [variable.as_str()].as_slice()),
        (format!("--apps-file {file}"), &[]),
        (format!("--config-file {in_file}"), &[]),
    ] {
        let settings = run(&args, env);
        assert_eq!(
            settings.apps,
            Some(AppRegistry::parse(APPS.as_bytes()).unwrap())
        );
        let credentials = settings.credentials();
        assert!(
            credentials.is_app_key("org.a", "s3cret-a")
                && credentials.is_app_key("org.b", "s3cret-b")
        );
        assert!(
            !credentials.is_app_key("org.a", "s3cret-b") && !credentials.is_app_key("org.c", "")
        );
        assert_eq!(
            credentials.webhook_url("org.a"),
            Some("http://a:3000/webhook")
        );
        assert_eq!(credentials.admission(), Admission::Started);
        assert!(settings.describe().contains(&format!(" apps_file={file} ")));
        let text = printed(&format!("--print-config {args}"), env);
        assert!(text.contains(&format!("\nAPPS_FILE={file} # ")));
        let seen = format!(
            "{settings:?} {credentials:?} {text} {}",
            settings.describe()
        );
        assert!(!seen.contains("s3cret"), "{seen}");
    }
    let key = ["APP_ADMISSION=key", &variable];
    assert_eq!(run("", &key).credentials().admission(), Admission::Key);
}

#[test]
fn what_is_wrong_with_the_apps_is_told_with_all_else() {
    let folder = Folder::new();
    let file = folder.file(
        "apps.json",
        r#"[{"package": "", "api_key": "s3cret"}, {"package": "a", "key": "s3cret"}]"#,
    );
    let flag = format!("--apps-file {file}");
    let told = |must: &str| format!("APPS_FILE={file:?} (flag): must be {must}");
    let apps = "a list of apps without faults: app 1: package is not a string of 1 to 256 bytes \
                without control characters, app 2: has a field other than package, api_key, \
                webhook_url and may_send, app 2: api_key is not a string of 1 to 512 bytes without \
                control characters";
    assert_eq!(
        faults(
            &format!("{flag} --drain-ms x"),
            &["CONNECTION_TIMEOUT_MS=15000"]
        ),
        [
            "DRAIN_MS=\"x\" (flag): must be a whole number of milliseconds from 0 to 86400000, or \
             with a unit (15s, 2m)",
            &told(apps),
            "CONNECTION_TIMEOUT_MS=\"15000\" (env): \
             must be more than HEARTBEAT_INTERVAL_MS, which is 15000 (default)",
        ]
    );
    folder.file("apps.json", "{}");
    assert_eq!(fault(&flag, &[]), told("a JSON array of apps"));
    folder.file("apps.json", "[");
    assert_eq!(
        fault(&flag, &[]),
        told("a file in JSON, which line 1, column 1 is not")
    );
    let full = format!("[{}]", " ".repeat((16 << 20) - 2));
    folder.file("apps.json", &full);
    assert_eq!(run(&flag, &[]).apps, Some(AppRegistry::default()));
    folder.file("apps.json", full + " ");
    assert_eq!(fault(&flag, &[]), told("a file of at most 16777216 bytes"));
    fs::remove_file(&file).unwrap();
    assert_eq!(
        fault(&flag, &[]),
        told("a readable file: No such file or directory (os error 2)")
    );
    assert_eq!(
        fault("--apps-file /dev/zero", &[]),
        "APPS_FILE=\"/dev/zero\" (flag): must be a regular file"
    );
}

#[test]
fn pages_are_named_by_their_origins() {
    let allowed = "up to 64 origins, separated by commas, such as \
                   https://app.example.org,http://localhost:3000,file://,null, spelt as clients \
                   send them; * is not allowed";
    let origins = |env: &str| {
        let origins = run("", &[&format!("ALLOWED_ORIGINS={env}")]).allowed_origins;
        origins.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(origins("HTTPS://A.example:443"), ["https://a.example"]);
    assert_eq!(
        origins("https://a, http://b:1"),
        ["https://a", "http://b:1"]
    );
    assert_eq!(origins(&vec!["https://a"; 64].join(",")).len(), 64);
    let many = vec!["https://a"; 65].join(",");
    assert_eq!(
        origins("file://,null,https://A/Path,a.example"),
        ["file://", "null", "https://A/Path", "a.example"],
        "what no browser's page has is compared as it is"
    );
    for wrong in ["*", "https://*.example", "https://a b", "https://a,", &many] {
        assert_eq!(
            fault("", &[&format!("ALLOWED_ORIGINS={wrong}")]),
            format!("ALLOWED_ORIGINS={wrong:?} (env): must be {allowed}")
        );
    }
    assert_eq!(
        run("--allowed-origins=", &["ALLOWED_ORIGINS=http://a"]).allowed_origins,
        []
    );
    let folder = Folder::new();
    let file = folder.file("settings", "allowed_origins = ['https://A', 'http://b:80']");
    let env = [&*format!("CONFIG_FILE={file}")];
    let text = printed("--print-config", &env);
    assert!(
        text.contains("\nALLOWED_ORIGINS=https://a,http://b # file\n"),
        "{text}"
    );
    assert_eq!(
        fault_of("allowed_origins = 5"),
        format!("ALLOWED_ORIGINS (file): is an integer; it must be {allowed}")
    );
}

#[test]
fn where_the_state_is_to_be_kept_is_looked_at_before_the_start() {
    let folder = Folder::new();
    let told = |path: &str, must: &str| {
        let wanted = format!("STATE_FILE={path:?} (env): must be {must}");
        for args in ["", "--check"] {
            assert_eq!(fault(args, &[&format!("STATE_FILE={path}")]), wanted);
        }
    };
    let missing = "a file in an existing folder: No such file or directory (os error 2)";
    let no_folder = "a file in an existing folder: Not a directory (os error 20)";
    let special = "a regular file, or one that does not exist yet";
    told(&folder.path("none/state.json"), missing);
    told(&folder.path(""), special);
    told("/dev/zero", special);
    let file = folder.file("file", "");
    told(&format!("{file}/state.json"), no_folder);
    symlink("later.json", folder.path("to-later")).expect("a link");
    for path in [folder.path("later.json"), folder.path("to-later"), file] {
        let settings = run("", &[&format!("STATE_FILE={path}")]);
        assert_eq!(settings.state_file.as_deref(), Some(Path::new(&path)));
    }
    assert!(
        !Path::new(&folder.path("later.json")).exists(),
        "only looked"
    );
}

#[test]
fn what_is_not_kept_is_named_by_its_type_or_nothing_is() {
    let skipped = |args: &str, env: &[&str]| run(args, env).replay_skip.join(" ");
    assert_eq!(skipped("", &[]), "VAD location_update head_position");
    assert_eq!(skipped("", &["REPLAY_SKIP=VAD"]), "VAD");
    assert_eq!(skipped("", &["REPLAY_SKIP=VAD , a:b"]), "VAD a:b");
    assert_eq!(
        skipped("", &["REPLAY_SKIP="]),
        "VAD location_update head_position"
    );
    let folder = Folder::new();
    let empty = folder.file("settings", "replay_skip = []");
    for (args, env) in [
        ("--replay-skip=", [].as_slice()),
        ("--replay-skip none", &[]),
        (&format!("--config-file {empty}"), &[]),
        ("", &["REPLAY_SKIP=None"]),
    ] {
        assert_eq!(skipped(args, env), "");
        let text = printed(&format!("--print-config {args}"), env);
        assert!(text.contains("\nREPLAY_SKIP=none # "), "{text}");
    }
    let long = "x".repeat(129);
    let many = vec!["a"; 65].join(",");
    for wrong in ["a b", "a,,b", "\u{e9}", &long, &many] {
        assert_eq!(
            fault("", &[&format!("REPLAY_SKIP={wrong}")]),
            format!(
                "REPLAY_SKIP={wrong:?} (env): must be up to 64 types of frames, separated by \
                 commas, each of up to 128 visible ASCII characters; or none"
            )
        );
    }
}

#[test]
fn apps_are_told_a_websocket_to_connect_to() {
    let url = |url: &str| run("", &[&format!("APP_WEBSOCKET_URL={url}")]).app_websocket_url;
    for right in [
        "ws://127.0.0.1:8002/app-ws",
        "wss://gateway.example.org/app-ws",
        "WSS://[::1]:1/",
        "ws://a/b/c?d=e&f=%20",
    ] {
        assert_eq!(url(right).as_deref(), Some(right));
    }
    for wrong in [
        "gateway.example.org/app-ws",
        "http://a/app-ws",
        "ws://a",
        "ws://a?b",
        "ws:///app-ws",
        "ws://user:password@a/app-ws",
        "ws://a/app-ws#b",
        "ws://a/ b",
    ] {
        assert_eq!(
            fault("", &[&format!("APP_WEBSOCKET_URL={wrong}")]),
            format!(
                "APP_WEBSOCKET_URL={wrong:?} (env): must be a URL with ws:// or wss://, a host \
                 and a path, such as wss://gateway.example.org/app-ws"
            )
        );
    }
    let described = run("", &["APP_WEBSOCKET_URL=ws://a/b?c=d"]).describe();
    assert!(
        described.contains(" app_websocket_url=\"ws://a/b?c=d\" "),
        "{described}"
    );
}

#[test]
fn the_first_word_of_an_app_has_its_time_and_that_of_glasses_has_none() {
    let settings = run("--app-init-timeout-ms 500", &[]);
    let classes = settings.engine_config(&classes()).classes;
    let timeouts: Vec<_> = classes
        .iter()
        .map(|c| c.policy.first_message_timeout)
        .collect();
    assert_eq!(timeouts, [None, Some(Micros::from_millis(500))]);
    let path = run("--state-file state.json", &[]).state_file;
    assert_eq!(path.as_deref(), Some(Path::new("state.json")));
    assert_eq!(
        fault("", &["REPLAY_UNCONFIRMED=1"]),
        "REPLAY_UNCONFIRMED=\"1\" (env): must be off or on"
    );
    assert_eq!(
        fault("", &["APP_ADMISSION=open"]),
        "APP_ADMISSION=\"open\" (env): must be started or key"
    );
    assert_eq!(
        fault("", &["FLAPPING_LIMIT=-1"]),
        "FLAPPING_LIMIT=\"-1\" (env): must be a whole number of connections per minute from 0 to \
         100000"
    );
    assert_eq!(
        fault("", &["REPLAY_MAX_MESSAGES=100001"]),
        "REPLAY_MAX_MESSAGES=\"100001\" (env): must be a whole number of messages from 0 to 100000"
    );
    assert_eq!(
        fault("", &["REPLAY_MAX_BYTES=67108865"]),
        "REPLAY_MAX_BYTES=\"67108865\" (env): must be a whole number of bytes from 0 to 67108864; \
         at most half of MAX_PENDING_BYTES"
    );
    assert_eq!(
        fault("--replay-max-bytes 2097153", &[]),
        "REPLAY_MAX_BYTES=\"2097153\" (flag): \
         must be at most half of MAX_PENDING_BYTES, which is 4194304 (default)"
    );
    let small = run(
        "--max-pending-bytes 70000 --max-message-bytes 1000 --max-buffered-bytes 1000000",
        &[],
    );
    assert_eq!(small.replay.max_bytes, 35_000);
    assert_eq!(
        run("", &[]).replay.max_bytes,
        262_144,
        "what was to be compared"
    );
}
