//! Settings of the relay: apps, origins of pages, what is kept for an absent peer, and the state
//! file.

use super::loading::{
    classes, fault, fault_of, faults, printed, printed_with_file, run, wrong_flag, wrong_variable,
};
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
}

#[test]
fn a_list_of_apps_is_a_small_regular_file_in_json() {
    let folder = Folder::new();
    let file = folder.file("apps.json", "{}");
    let flag = format!("--apps-file {file}");
    let told = |must: &str| format!("APPS_FILE={file:?} (flag): must be {must}");
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
    wrong_flag("APPS_FILE", "/dev/zero", "a regular file");
}

fn origins(list: &str) -> Vec<String> {
    let origins = run("", &[&format!("ALLOWED_ORIGINS={list}")]).allowed_origins;
    origins.iter().map(ToString::to_string).collect()
}

#[test]
fn pages_are_named_by_their_origins() {
    assert_eq!(origins("HTTPS://A.example:443"), ["https://a.example"]);
    let two = ["https://a", "http://b:1"];
    assert_eq!(origins("https://a, http://b:1"), two);
    // What no browser's page has is compared as it is.
    let as_given = ["file://", "null", "https://A/Path", "a.example"];
    assert_eq!(origins(&as_given.join(",")), as_given);
    assert_eq!(origins(&vec!["https://a"; 64].join(",")).len(), 64);
    let empty = run("--allowed-origins=", &["ALLOWED_ORIGINS=http://a"]);
    assert_eq!(empty.allowed_origins, []);
    let text = printed_with_file("allowed_origins = ['https://A', 'http://b:80']");
    let line = "\nALLOWED_ORIGINS=https://a,http://b # file\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn what_is_no_origin_is_refused() {
    let allowed = "up to 64 origins, separated by commas, such as \
                   https://app.example.org,http://localhost:3000,file://,null, spelt as clients \
                   send them; * is not allowed";
    let wrong = |value: &str| wrong_variable("ALLOWED_ORIGINS", value, allowed);
    wrong("*");
    wrong("https://*.example");
    wrong("https://a b");
    wrong("https://a,");
    wrong(&vec!["https://a"; 65].join(","));
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
    let path = run("--state-file state.json", &[]).state_file;
    assert_eq!(path.as_deref(), Some(Path::new("state.json")));
    let later = folder.path("later.json");
    assert!(!Path::new(&later).exists(), "only looked");
}

#[test]
fn what_is_not_kept_is_named_by_its_type_or_nothing_is() {
    let skipped = |args: &str, env: &[&str]| run(args, env).replay_skip.join(" ");
    assert_eq!(skipped("", &[]), "VAD location_update head_position");
    assert_eq!(skipped("", &["REPLAY_SKIP=VAD"]), "VAD");
    assert_eq!(skipped("", &["REPLAY_SKIP=VAD , a:b"]), "VAD a:b");
    let empty = skipped("", &["REPLAY_SKIP="]);
    assert_eq!(empty, "VAD location_update head_position");
}

#[test]
fn nothing_is_left_out_of_what_is_kept_where_the_list_is_empty() {
    let folder = Folder::new();
    let empty = folder.file("settings", "replay_skip = []");
    for (args, env) in [
        ("--replay-skip=", [].as_slice()),
        ("--replay-skip none", &[]),
        (&format!("--config-file {empty}"), &[]),
        ("", &["REPLAY_SKIP=None"]),
    ] {
        assert_eq!(run(args, env).replay_skip, []);
        let text = printed(&format!("--print-config {args}"), env);
        assert!(text.contains("\nREPLAY_SKIP=none # "), "{text}");
    }
}

#[test]
fn types_of_frames_are_words_of_bounded_length_and_number() {
    let types = "up to 64 types of frames, separated by commas, each of up to 128 visible ASCII \
                 characters; or none";
    let wrong = |value: &str| wrong_variable("REPLAY_SKIP", value, types);
    wrong("a b");
    wrong("a,,b");
    wrong("\u{e9}");
    wrong(&"x".repeat(129));
    wrong(&vec!["a"; 65].join(","));
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
    let websocket = "a URL with ws:// or wss://, a host and a path, such as \
                     wss://gateway.example.org/app-ws";
    let wrong = |value| wrong_variable("APP_WEBSOCKET_URL", value, websocket);
    wrong("gateway.example.org/app-ws");
    wrong("http://a/app-ws");
    wrong("ws://a");
    wrong("ws://a?b");
    wrong("ws:///app-ws");
    wrong("ws://user:password@a/app-ws");
    wrong("ws://a/app-ws#b");
    wrong("ws://a/ b");
    let told = run("", &["APP_WEBSOCKET_URL=ws://a/b?c=d"]).describe();
    let quoted = " app_websocket_url=\"ws://a/b?c=d\" ";
    assert!(told.contains(quoted), "{told}");
}

#[test]
fn the_first_message_of_an_app_has_a_deadline_and_that_of_glasses_has_none() {
    let settings = run("--app-init-timeout-ms 500", &[]);
    let classes = settings.engine_config(&classes()).classes;
    let timeouts: Vec<_> = classes
        .iter()
        .map(|c| c.policy.first_message_timeout)
        .collect();
    assert_eq!(timeouts, [None, Some(Micros::from_millis(500))]);
}

#[test]
fn limits_of_the_relay_have_their_bounds() {
    let connections = "a whole number of connections per minute from 0 to 100000";
    wrong_variable("FLAPPING_LIMIT", "-1", connections);
    let messages = "a whole number of messages from 0 to 100000";
    wrong_variable("REPLAY_MAX_MESSAGES", "100001", messages);
    let bytes = "a whole number of bytes from 0 to 67108864; at most half of MAX_PENDING_BYTES";
    wrong_variable("REPLAY_MAX_BYTES", "67108865", bytes);
    let half = "at most half of MAX_PENDING_BYTES, which is 4194304 (default)";
    wrong_flag("REPLAY_MAX_BYTES", "2097153", half);
}

#[test]
fn what_is_kept_for_a_peer_is_by_default_at_most_half_of_its_pending_bytes() {
    let small = run(
        "--max-pending-bytes 70000 --max-message-bytes 1000 --max-buffered-bytes 1000000",
        &[],
    );
    assert_eq!(small.replay.max_bytes, 35_000);
    assert_eq!(run("", &[]).replay.max_bytes, 262_144);
}
