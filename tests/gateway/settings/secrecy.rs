//! No message, log line or debug text shows a secret.

use super::loading::{fault, fault_of, faults, printed, run, run_with_file, start};
use super::samples::{ALERT_URL, APPS, SECRET, SECRETS, TOKEN, secret_of};
use crate::folder::Folder;

/// Calls `check` with each secret, the setting for its file, and each way to give it: a variable, a
/// file of its own, the settings file.
fn for_each_way(check: impl Fn(&str, &str, &str)) {
    for (name, file_name) in SECRETS {
        let folder = Folder::new();
        let secret_file = folder.file("secret", TOKEN);
        let line = format!("{} = '{TOKEN}'", name.to_lowercase());
        let settings_file = folder.file("settings", line);
        check(name, file_name, &format!("{name}={TOKEN}"));
        check(name, file_name, &format!("{file_name}={secret_file}"));
        check(name, file_name, &format!("CONFIG_FILE={settings_file}"));
    }
}

#[track_caller]
fn assert_hidden(seen: &[String]) {
    for text in seen {
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[test]
fn debug_texts_show_no_secret() {
    for_each_way(|name, _, given| {
        let settings = run("", &[given]);
        assert_eq!(secret_of(&settings, name).as_deref(), Some(TOKEN));
        let secrets = [
            &settings.admin_token,
            &settings.auth_jwt_secret,
            &settings.events_secret,
        ];
        let secret = secrets.into_iter().flatten().next().expect("a secret");
        assert_hidden(&[
            format!("{settings:?} {settings:#?}"),
            format!("{:?} {:#?}", settings.credentials(), settings.credentials()),
            format!("{:?}", settings.event_settings()),
            format!("{secret} {secret:?}"),
            format!("{:?}", start("", &[given])),
            format!("{:?}", start("--check", &[given])),
        ]);
    });
}

#[test]
fn what_a_reload_would_change_shows_no_secret() {
    for_each_way(|name, _, given| {
        let settings = run("", &[given]);
        let changes = run("", &[]).diff(&settings);
        let many = changes.needs_restart.len() + changes.applied.len();
        assert_eq!(many, 1 + usize::from(given.starts_with("CONFIG")));
        let newer = run("", &[&format!("{name}={TOKEN}-another")]);
        let both = [settings.diff(&newer), newer.diff(&settings)];
        assert_hidden(&[format!("{changes:?} {both:?}")]);
    });
}

#[test]
fn what_is_printed_shows_no_secret() {
    for_each_way(|name, file_name, given| {
        let line = run("", &[given]).describe();
        let key = name.to_lowercase();
        assert!(line.contains(&format!(" {key}=set ")), "{line}");
        let text = printed("--print-config", &[given]);
        let is_in_its_file = given.starts_with(file_name);
        let hidden = format!("\n{name}=*** # ");
        assert_eq!(text.contains(&hidden), !is_in_its_file, "{text}");
        let help = printed("--help-all", &[given]);
        let faults = faults("--frobnicate --admin-addr=x", &[given]);
        assert_hidden(&[line, text, help, faults.join("\n")]);
        let none = run("", &[]).describe();
        assert!(none.contains(&format!(" {key}=none ")), "{none}");
    });
}

#[test]
fn a_hidden_secret_cannot_be_read_back() {
    for (name, _) in SECRETS {
        let told = fault("", &[&format!("{name}=***")]);
        let hidden = format!("{name}=\"***\" (env): must be");
        assert!(told.starts_with(&hidden), "{told}");
    }
}

/// After any one-character change of a settings file, the message does not show its secret.
#[test]
fn no_slip_in_the_file_shows_its_secret() {
    let folder = Folder::new();
    let file = format!(
        "admin_addr = \"0.0.0.0:1\"\nadmin_token = \"{TOKEN}\"\n\nlog_level = 'info'\n\
         auth_jwt_secret = \"{SECRET}\"\nreplay_skip = ['VAD']\n"
    );
    let at_secret = |at: usize| {
        [TOKEN, SECRET].iter().any(|secret| {
            let found = file.find(secret);
            found.is_some_and(|s| (s..s + secret.len()).contains(&at))
        })
    };
    let mut told = 0;
    for at in 0..file.len() {
        let (before, after) = (&file[..at], &file[at..]);
        let mut slips: Vec<String> = [
            "\"", "\"\"\"", "'''", "\n", "=", "[", "{", ".", "#", "\\", "\0", "\u{e9}",
        ]
        .iter()
        .flat_map(|slip| {
            [
                format!("{before}{slip}{after}"),
                format!("{before}{slip}{}", &after[1..]),
            ]
        })
        .collect();
        slips.extend([before.to_owned(), format!("{before}{}", &after[1..])]);
        for slip in slips.iter().filter(|_| !at_secret(at)) {
            let path = folder.file("settings", slip);
            let read = start("--print-config", &[&format!("CONFIG_FILE={path}")]);
            let seen = match &read {
                Ok(command) => format!("{command:?}"),
                Err(faults) => format!("{faults} {faults:?}"),
            };
            told += usize::from(read.is_err());
            assert!(!seen.contains("s3cret"), "{slip}\n{seen}");
        }
    }
    assert!(told > 500, "{told}");
    let open = format!("log_level = '''info\nadmin_token = \"{TOKEN}\"\n'''");
    assert_eq!(
        fault_of(open),
        "LOG_LEVEL=\"info…\" (file): must be error, warn, info, debug or trace"
    );
}

/// After any one-character change of the apps file, the message shows no key.
#[test]
fn no_slip_in_the_apps_shows_a_key() {
    let folder = Folder::new();
    let mut told = 0;
    for at in 0..APPS.len() {
        let (before, after) = (&APPS[..at], &APPS[at..]);
        for slip in [
            "\"", ",", ":", "[", "{", "}", "\\", "\n", "\0", "\u{e9}", "",
        ] {
            for rest in [after, &after[1..]] {
                let path = folder.file("apps.json", format!("{before}{slip}{rest}"));
                let read = start("", &[&format!("APPS_FILE={path}")]);
                let seen = match &read {
                    Ok(command) => format!("{command:?}"),
                    Err(faults) => format!("{faults} {faults:?}"),
                };
                told += usize::from(read.is_err());
                assert!(!seen.contains("s3cret"), "{before}{slip}{rest}\n{seen}");
            }
        }
    }
    assert!(told > 1_000, "{told}");
}

#[test]
fn the_url_that_alerts_are_posted_to_is_shown_as_little_as_a_password() {
    let given = format!("ALERT_WEBHOOK_URL={ALERT_URL}");
    let env = [given.as_str()];
    let settings = run("", &env);
    let from_file = run_with_file(format!("alert_webhook_url = '{ALERT_URL}'"));
    assert_eq!(from_file.alerts, settings.alerts);
    let line = settings.describe();
    assert!(line.contains(" alert_webhook_url=set "), "{line}");
    let text = printed("--print-config", &env);
    let hidden = "\nALERT_WEBHOOK_URL=*** # env\n";
    assert!(text.contains(hidden), "{text}");
    assert_hidden(&[
        format!("{settings:?} {settings:#?} {:?}", settings.alerts),
        format!("{:?}", run("", &[]).diff(&settings)),
        line,
        text,
    ]);
}

#[test]
fn a_wrong_url_for_alerts_is_not_shown_either() {
    let refused = |url: &str| {
        assert_eq!(
            fault("", &[&format!("ALERT_WEBHOOK_URL={url}")]),
            "ALERT_WEBHOOK_URL=\"***\" (env): must be a URL with http:// or https:// and a host, \
             without a user name; not as a flag, because other processes could read it"
        );
    };
    refused("ftp://s3cret.example.org/");
    refused("https://user:s3cret@example.org/");
    refused("s3cret");
    refused("https://");
    refused("https://example.org/#s3cret");
}
