//! No message, log line or debug text shows a secret.

use super::loading::{fault, fault_of, faults, printed, run, start};
use super::samples::{ALERT_URL, APPS, SECRET, SECRETS, TOKEN, secret_of};
use crate::folder::Folder;

#[test]
fn a_secret_is_nowhere_to_be_seen() {
    for (name, file_name) in SECRETS {
        let folder = Folder::new();
        let key = name.to_lowercase();
        let secret_file = folder.file("secret", TOKEN);
        let in_file = folder.file("settings", format!("{key} = '{TOKEN}'"));
        for given in [
            format!("{name}={TOKEN}"),
            format!("{file_name}={secret_file}"),
            format!("CONFIG_FILE={in_file}"),
        ] {
            let env = [given.as_str()];
            let settings = run("", &env);
            assert_eq!(secret_of(&settings, name).as_deref(), Some(TOKEN));
            assert!(settings.describe().contains(&format!(" {key}=set ")));
            let changes = run("", &[]).diff(&settings);
            assert_eq!(
                changes.needs_restart.len() + changes.applied.len(),
                1 + usize::from(given.starts_with("CONFIG"))
            );
            let text = printed("--print-config", &env);
            let is_shown = given.starts_with(file_name);
            let hidden = format!("\n{name}=*** # ");
            assert_eq!(text.contains(&hidden), !is_shown, "{text}");
            let newer = run("", &[&format!("{name}={TOKEN}-another")]);
            let both = [settings.diff(&newer), newer.diff(&settings)];
            let seen = [
                format!("{settings:?} {settings:#?} {changes:?} {both:?}"),
                format!("{:?} {:#?}", settings.credentials(), settings.credentials()),
                format!(
                    "{0} {0:?}",
                    settings
                        .admin_token
                        .clone()
                        .or(settings.auth_jwt_secret.clone())
                        .unwrap()
                ),
                format!("{:?}", start("", &env)),
                format!("{:?}", start("--check", &env)),
                settings.describe(),
                text,
                printed("--help-all", &env),
                faults("--frobnicate --admin-addr=x", &env).join("\n"),
            ];
            for seen in seen {
                assert!(!seen.contains("s3cret"), "{seen}");
            }
        }
        assert!(run("", &[]).describe().contains(&format!(" {key}=none ")));
        let again = format!("{name}=***");
        let told = format!("{name}=\"***\" (env): must be");
        assert!(fault("", &[&again]).starts_with(&told));
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
    let folder = Folder::new();
    let file = folder.file("settings", format!("alert_webhook_url = '{ALERT_URL}'"));
    let from_file = run("", &[&format!("CONFIG_FILE={file}")]);
    assert_eq!(from_file.alerts, settings.alerts);
    let seen = [
        format!("{settings:?} {settings:#?} {:?}", settings.alerts),
        format!("{:?}", run("", &[]).diff(&settings)),
        settings.describe(),
        printed("--print-config", &env),
    ];
    assert!(seen[2].contains(" alert_webhook_url=set "), "{}", seen[2]);
    assert!(
        seen[3].contains("\nALERT_WEBHOOK_URL=*** # env\n"),
        "{}",
        seen[3]
    );
    for text in seen {
        assert!(!text.contains("s3cret"), "{text}");
    }
    for wrong in [
        "ftp://s3cret.example.org/",
        "https://user:s3cret@example.org/",
        "s3cret",
        "https://",
        "https://example.org/#s3cret",
    ] {
        assert_eq!(
            faults("", &[&format!("ALERT_WEBHOOK_URL={wrong}")]),
            [
                "ALERT_WEBHOOK_URL=\"***\" (env): must be a URL with http:// or https:// and a \
                 host, without a user name; not as a flag, because other processes could read it"
            ]
        );
    }
}
