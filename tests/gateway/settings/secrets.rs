//! Secrets: from a variable or a file, their bounds, and what happens if one was not filled in.

use super::loading::{fault, fault_of, run};
use super::samples::{APPS, SECRET, SECRETS, TOKEN, addr_of, least_of, secret_of, spaces_of};
use crate::folder::Folder;
use std::fs;

#[test]
fn a_secret_is_given_by_itself_or_in_a_file() {
    for (name, file_name) in SECRETS {
        let folder = Folder::new();
        let given = |args: &str, env: &[&str]| secret_of(&run(args, env), name);
        let variable = format!("{name}={TOKEN}");
        assert_eq!(given("", &[]), None);
        assert_eq!(given("", &[&variable]).as_deref(), Some(TOKEN));
        let file_flag = format!("--{}", file_name.to_lowercase().replace('_', "-"));
        for content in [
            TOKEN.to_owned(),
            format!("{TOKEN}\n"),
            format!("{TOKEN} \t\r\n\n"),
        ] {
            let file = folder.file("secret", content);
            let flag = format!("{file_flag} {file}");
            assert_eq!(given(&flag, &[]).as_deref(), Some(TOKEN));
            let key = file_name.to_lowercase();
            let settings = folder.file("settings", format!("{key} = '{file}'"));
            let flag = format!("--config-file {settings}");
            assert_eq!(given(&flag, &[]).as_deref(), Some(TOKEN));
        }
        let padded = format!("{TOKEN}{}", "\n".repeat((64 << 10) - TOKEN.len()));
        let file = folder.file("secret", &padded);
        let flag = format!("{file_flag} {file}");
        assert_eq!(given(&flag, &[]).as_deref(), Some(TOKEN));

        let told = |must: &str| format!("{file_name}={file:?} (flag): must be {must}");
        folder.file("secret", padded + "\n");
        assert_eq!(fault(&flag, &[]), told("a file of at most 65536 bytes"));
        let min = least_of(name);
        let with = spaces_of(name);
        let holds =
            &format!("a file that holds {min} to 512 visible ASCII characters {with} spaces");
        for content in [
            "",
            "\n",
            &"x".repeat(min - 1),
            "s3cret\ts3cret\ts3cret",
            "s3cret-s3cret-s3cr\u{e9}t",
            &"x".repeat(513),
        ] {
            folder.file("secret", content);
            assert_eq!(fault(&flag, &[]), told(holds), "{content:?}");
        }
        folder.file("secret", b"s3cret-s3cret-s3cret\xff");
        assert_eq!(fault(&flag, &[]), told(holds));
        folder.file("secret", TOKEN);
        assert_eq!(
            fault(&flag, &[&variable]),
            told(&format!("left out, because {name} is set as well (env)"))
        );
        fs::remove_file(&file).unwrap();
        let missing = "a readable file: No such file or directory (os error 2)";
        assert_eq!(fault(&flag, &[]), told(missing));
        assert_eq!(
            fault(&format!("{flag} --{} 0.0.0.0:1", addr_of(name)), &[]),
            told(missing),
            "there is to be a secret: one fault"
        );
    }
}

#[test]
fn a_secret_has_its_bounds_and_is_never_a_flag() {
    for (name, _) in SECRETS {
        let min = least_of(name);
        let allowed = format!(
            "must be {min} to 512 visible ASCII characters {} spaces; not as a flag, because \
             other processes could read it",
            spaces_of(name)
        );
        let told = |origin: &str| format!("{name}=\"***\" ({origin}): {allowed}");
        for (length, right) in [(min - 1, false), (min, true), (512, true), (513, false)] {
            let variable = format!("{name}={}", "x".repeat(length));
            if right {
                run("", &[&variable]);
            } else {
                assert_eq!(fault("", &[&variable]), told("env"));
            }
        }
        for secret in [
            "s3cret\ts3cret\ts3cret",
            "s3cret-s3cret-s3cret\n",
            "s3cret-s3cret-s3cr\u{e9}t",
        ] {
            assert_eq!(fault("", &[&format!("{name}={secret}")]), told("env"));
        }
        let key = name.to_lowercase();
        assert_eq!(fault_of(format!("{key} = 's3cret'")), told("file"));
        let flag = format!("--{}", key.replace('_', "-"));
        let never = format!(
            "{flag} (flag): is a secret, and other processes could read a flag; set the variable \
             {name} instead"
        );
        for args in [
            format!("{flag} s3cret-s3cret-s3cret"),
            format!("{flag}=s3cret-s3cret-s3cret"),
            format!("{flag} --s3cret-s3cret-s3cret"),
            flag.clone(),
        ] {
            assert_eq!(fault(&args, &[]), never, "{args}");
        }
        assert_eq!(
            fault(&format!("{name}=s3cret-s3cret-s3cret"), &[]),
            format!(
                "{name:?} (argument): is neither a flag nor the value of one; --help-all lists all \
                 flags"
            )
        );
    }
}

/// `AUTH_JWT_SECRET=$SECRET` where `SECRET` is not set.
#[test]
fn a_credential_that_was_not_filled_in_does_not_open_the_gateway() {
    let folder = Folder::new();
    let (apps, secret) = (folder.file("apps", APPS), folder.file("secret", SECRET));
    let apps = format!("APPS_FILE={apps}");
    for (name, allowed) in [
        (
            "AUTH_JWT_SECRET",
            "8 to 512 visible ASCII characters or spaces",
        ),
        ("AUTH_JWT_SECRET_FILE", "the path of a file"),
        ("APPS_FILE", "the path of a file"),
    ] {
        let wanted = format!(
            "{name}=\"\" (env): must be {allowed}, or not be set at all: an empty variable is \
             probably a mistake"
        );
        let emptied = format!("{name}=");
        for args in ["", "--check", "--allow-unauthenticated"] {
            assert_eq!(fault(args, &[&emptied]), wanted);
        }
        if name != "APPS_FILE" {
            assert_eq!(
                fault("", &[&emptied, &apps]),
                wanted,
                "no glasses could connect"
            );
        }
    }
    // If the secret is given in another way, nothing is open.
    let file = format!("AUTH_JWT_SECRET_FILE={secret}");
    for given in [file, format!("AUTH_JWT_SECRET={SECRET}")] {
        for emptied in ["AUTH_JWT_SECRET=", "AUTH_JWT_SECRET_FILE=", "APPS_FILE="] {
            if !given.starts_with(emptied) {
                assert!(
                    !run("", &[emptied, &given]).credentials().is_open(),
                    "{emptied}"
                );
            }
        }
    }
    let settings = folder.file("toml", format!("auth_jwt_secret = {SECRET:?}\n"));
    assert!(
        !run(&format!("--config-file {settings}"), &["AUTH_JWT_SECRET="])
            .credentials()
            .is_open()
    );
}

/// `ADMIN_TOKEN=$TOKEN` where `TOKEN` is not set.
#[test]
fn a_token_that_was_not_filled_in_does_not_open_the_admin_listener() {
    let folder = Folder::new();
    let file = folder.file("token", TOKEN);
    for (name, allowed) in [
        (
            "ADMIN_TOKEN",
            "16 to 512 visible ASCII characters without spaces",
        ),
        ("ADMIN_TOKEN_FILE", "the path of a file"),
    ] {
        let emptied = format!("{name}=");
        for args in ["", "--check", "--admin-addr 127.0.0.1:0"] {
            let told = fault(args, &[&emptied]);
            let wanted = format!(
                "{name}=\"\" (env): must be {allowed}, or not be set at all: an empty variable is \
                 probably a mistake"
            );
            assert_eq!(told, wanted);
        }
        // Nothing is open if there is no admin listener, or if the token is given in another way.
        run("--admin-addr off", &[&emptied]);
        for given in [
            format!("ADMIN_TOKEN_FILE={file}"),
            format!("ADMIN_TOKEN={TOKEN}"),
        ] {
            if !given.starts_with(&emptied) {
                assert!(run("", &[&emptied, &given]).admin_token.is_some());
            }
        }
    }
    // If it is not set at all, nothing changes.
    assert!(run("", &[]).admin_token.is_none());
}
