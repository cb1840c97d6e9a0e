//! What is printed: the settings, the line of the start, and the table of the handbook.

use super::loading::{faults, printed, run};
use crate::folder::Folder;
use pulsegate::config::{Audience, CliAction, Fallback, SETTINGS, ValueKind, load, markdown_table};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

#[test]
fn the_printed_settings_say_where_they_come_from_and_can_be_read_back() {
    let env = ["HEARTBEAT_INTERVAL_MS=2000", "REUSE_PORT=true"];
    let args = "--app-heartbeat-interval-ms 3000 --log-level WARN";
    let text = printed(&format!("--print-config {args}"), &env);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), SETTINGS.len());
    for line in [
        "LISTEN_ADDR=127.0.0.1:8002 # default",
        "HEARTBEAT_INTERVAL_MS=2000 # env",
        "REUSE_PORT=1 # env",
        "LOG_LEVEL=warn # flag",
        "APP_HEARTBEAT_INTERVAL_MS=3000 # flag",
        "GLASSES_HEARTBEAT_INTERVAL_MS=2000 # default: HEARTBEAT_INTERVAL_MS",
        "#ADMIN_TOKEN= # default: none",
        "#ADMIN_TOKEN_FILE= # default: none",
        "ALLOWED_ORIGINS= # default: none",
        "APP_WEBSOCKET_URL= # default: ws://LISTEN_ADDR/app-ws",
        "REPLAY_SKIP=VAD,location_update,head_position # default",
        "REPLAY_UNCONFIRMED=off # default",
        "TRUSTED_PROXIES= # default: none",
        "MAX_CONNECTIONS= # default: what the limit of file descriptors allows",
        "MAX_BUFFERED_BYTES= # default: what memory allows",
        "MAX_PENDING_BYTES=4194304 # default: 4194304, or twice MAX_MESSAGE_BYTES if that is more",
    ] {
        assert!(lines.contains(&line), "{line}\n{text}");
    }
    let again: Vec<&str> = lines
        .iter()
        .map(|line| line.split_once(" # ").expect("an origin").0)
        .collect();
    assert_eq!(run("", &again), run(args, &env));
    assert_eq!(faults("--print-config", &["DRAIN_MS=x"]).len(), 1);
}

#[test]
fn a_file_is_checked_and_printed_too() {
    let folder = Folder::new();
    let file = folder.file(
        "it's # one.toml",
        "trusted_proxies = ['10.0.0.1', '::1']\nLOG_LEVEL = 'Warn'\nreuse_port = true\n",
    );
    let args = |first: &str| [first, "--config-file", &file].map(OsString::from);
    let Ok(CliAction::Print(text)) = load(args("--print-config"), |_| None) else {
        panic!("no text");
    };
    let quoted = format!("CONFIG_FILE='{}' # flag", file.replace('\'', "'\\''"));
    for line in [
        quoted.as_str(),
        "TRUSTED_PROXIES=10.0.0.1/32,::1/128 # file",
        "LOG_LEVEL=warn # file",
        "REUSE_PORT=1 # file",
        "ADMIN_ADDR=127.0.0.1:9002 # default",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    let Ok(CliAction::Check(settings)) = load(args("--check"), |_| None) else {
        panic!("not checked");
    };
    assert!(
        settings
            .describe()
            .starts_with(&format!("config_file={file:?} listen_addr="))
    );
    fs::write(&file, "reuse_port = 2").unwrap();
    let told =
        format!("1 setting is wrong:\n  REUSE_PORT=\"2\" ({file}:1): must be 0, 1, false or true");
    for ask in ["--check", "--print-config"] {
        let faults = load(args(ask), |_| None).expect_err("a fault");
        assert_eq!(faults.to_string(), told);
    }
}

#[test]
fn the_table_is_fit_to_be_shown() {
    let basic = SETTINGS.partition_point(|s| s.audience == Audience::Basic);
    assert!(
        SETTINGS[basic..]
            .iter()
            .all(|s| s.audience == Audience::Advanced)
    );
    for (at, setting) in SETTINGS.iter().enumerate() {
        let name = setting.name;
        assert!(
            !SETTINGS[..at].iter().any(|other| other.name == name),
            "{name} twice"
        );
        assert!(
            name.chars().all(|c| c.is_ascii_uppercase() || c == '_'),
            "{name}"
        );
        assert!(
            setting.help.ends_with('.') && setting.help.len() <= 300,
            "{name}"
        );
        if let ValueKind::Number { min, max, .. } = setting.kind {
            assert!(min < max, "{name}");
        }
        if let Fallback::SameAs(general) = setting.default {
            assert!(name.ends_with(general), "{name}");
        }
        assert!(
            !setting.allowed().contains('|') && !setting.help.contains('|'),
            "{name}"
        );
    }
}

#[test]
fn the_start_line_describes_every_setting_that_holds() {
    let mut settings = run("--reuse-port --log-level=trace", &[]);
    for key in ["max_connections", "max_buffered_bytes"] {
        let unknown = format!(" {key}=unknown ");
        assert!(settings.describe().contains(&unknown), "{key}");
    }
    settings.max_connections = Some(1_000);
    settings.max_buffered_bytes = Some(5_000_000);
    let line = settings.describe();
    // A value with spaces is in quotes.
    let words = "all but link-local and metadata addresses";
    assert!(line.contains(&format!(" webhook_allow=\"{words}\" ")));
    let line = line.replace(&format!("\"{words}\""), "words");
    let pairs: HashMap<_, _> = line
        .split(' ')
        .map(|p| p.split_once('=').unwrap())
        .collect();
    for setting in SETTINGS {
        let general = matches!(
            setting.name,
            "HEARTBEAT_INTERVAL_MS" | "CONNECTION_TIMEOUT_MS" | "ALIVE_BY" | "LATE"
        );
        assert_eq!(
            pairs.contains_key(setting.key().as_str()),
            !general,
            "{}",
            setting.name
        );
    }
    assert_eq!(pairs["max_connections"], "1000");
    assert_eq!(pairs["app_connection_timeout_ms"], "45000");
    assert_eq!(pairs["log_level"], "trace");
    assert_eq!(pairs["reuse_port"], "1");
}

#[test]
fn the_documentation_has_the_table() {
    assert_in_docs("docs/operations.md", "settings", &markdown_table());
}

/// Asserts that a page has this table between two marks. With `UPDATE_DOCS=1` it is written there
/// instead.
#[track_caller]
pub fn assert_in_docs(page: &str, mark: &str, table: &str) {
    let [begin, end] = ["begin", "end"].map(|edge| format!("<!-- {mark}:{edge} -->\n"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(&path).expect("a page");
    let (before, rest) = text.split_once(&begin).expect("the mark of the beginning");
    let (section, after) = rest.split_once(&end).expect("the mark of the end");
    let wanted = format!("\n{table}\n");
    if std::env::var_os("UPDATE_DOCS").is_some_and(|v| v == "1") {
        fs::write(&path, [before, &begin, &wanted, &end, after].concat()).expect("a page");
    } else {
        assert_eq!(
            section, wanted,
            "run UPDATE_DOCS=1 cargo test --all-features --test gateway settings"
        );
    }
}
