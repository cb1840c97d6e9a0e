//! Tests of user tokens: which are valid, and the users they name.

use super::super::*;
use super::requests::*;
use crate::base::time::UnixMillis;
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};

#[test]
fn the_user_is_the_email_of_the_token() {
    let plain = token(json!({"email": "ann-lee@example.org"}));
    assert_eq!(user(&plain).as_deref(), Ok("ann-lee@example.org"));
    let others = json!({"email": "a@b", "sub": 7, "aud": "someone", "iss": "x", "iat": "then"});
    assert_eq!(user(&token(others)).as_deref(), Ok("a@b"));
    // Signed by another program.
    let known = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJlbWFpbCI6ImFAYiJ9.JXJtSJRJF2zng5QWOXESRN-P1kM0qDZMLb19Ysuin60";
    assert_eq!(user(known).as_deref(), Ok("a@b"));
    for email in [
        json!({}),
        json!({"email": ""}),
        json!({"email": null}),
        json!({"email": 5}),
        json!({"email": ["a@b"]}),
        json!({"email": "x".repeat(257)}),
        json!({"Email": "a@b"}),
        json!({"sub": "a@b"}),
    ] {
        assert_eq!(
            user(&token(email.clone())),
            Err(TokenFault::NoEmail),
            "{email}"
        );
    }
    let longest = "x".repeat(256);
    assert_eq!(user(&token(json!({"email": longest}))), Ok(longest));
}

#[test]
fn only_our_signature_by_hs256_counts() {
    let claims = r#"{"email":"a@b"}"#;
    let good = signed::<Sha256>(HEADER, claims, SECRET);
    let [header, payload, signature] = parts(&good);

    let other = signed::<Sha256>(HEADER, claims, "another-s3cret-of-ours");
    assert_eq!(user(&other), Err(TokenFault::Signature));
    for stronger in [
        signed::<Sha384>(r#"{"alg":"HS384"}"#, claims, SECRET),
        signed::<Sha512>(r#"{"alg":"HS512"}"#, claims, SECRET),
    ] {
        assert_eq!(user(&stronger), Err(TokenFault::Algorithm));
    }
    // Signed with our secret, but for or with another algorithm than the header names.
    for (header, fault) in [
        (r#"{"alg":"HS384"}"#, TokenFault::Algorithm),
        (r#"{"alg":"none"}"#, TokenFault::Malformed),
        (r#"{"alg":"HS256","alg":"none"}"#, TokenFault::Malformed),
        (r#"{"alg":"none","alg":"HS256"}"#, TokenFault::Malformed),
        (r#"{"typ":"JWT"}"#, TokenFault::Malformed),
        (r#"{"alg":256}"#, TokenFault::Malformed),
        (r#"{"alg":null}"#, TokenFault::Malformed),
        (r#"["HS256"]"#, TokenFault::Malformed),
        (r#"["HS256",null,{}]"#, TokenFault::Malformed),
        (r#""HS256""#, TokenFault::Malformed),
        (r#"{"alg":"HS256"}{}"#, TokenFault::Malformed),
        (r#"{"alg":"HS256","crit":["exp"]}"#, TokenFault::Malformed),
        (r#"{"alg":"HS256","crit":[]}"#, TokenFault::Malformed),
        (r#"{"alg":"HS256","crit":"exp"}"#, TokenFault::Malformed),
    ] {
        let token = signed::<Sha256>(header, claims, SECRET);
        assert_eq!(user(&token), Err(fault), "{header}");
    }
    for header in [
        r#"{"alg":"HS256"}"#,
        r#" { "kid" : "7", "alg" : "HS256", "x": [1, {}] } "#,
    ] {
        assert!(user(&signed::<Sha256>(header, claims, SECRET)).is_ok());
    }
    let by_another = signed::<Sha512>(HEADER, claims, SECRET);
    assert_eq!(user(&by_another), Err(TokenFault::Signature));
    // The signed header is not the sent one.
    for alg in ["RS256", "ES256", "EdDSA", "PS256", "HS512"] {
        let header = base64(format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#));
        let token = format!("{header}.{payload}.{signature}");
        assert_eq!(user(&token), Err(TokenFault::Algorithm), "{alg}");
    }
    let tampered = base64(r#"{"email":"c@d"}"#);
    assert_eq!(
        user(&format!("{header}.{tampered}.{signature}")),
        Err(TokenFault::Signature)
    );
    for alg in ["none", "None", "NONE", "", "hs256", "HS255"] {
        let header = base64(format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#));
        for signature in ["", signature] {
            let token = format!("{header}.{payload}.{signature}");
            assert_eq!(user(&token), Err(TokenFault::Malformed), "{alg}");
        }
    }
    assert_eq!(
        user(&format!("{header}.{payload}.")),
        Err(TokenFault::Signature)
    );
    // Every truncation of a valid token, and every flipped character.
    for at in 0..good.len() {
        assert!(user(&good[..at]).is_err(), "{at}");
        let flipped = if &good[at..=at] == "A" { "B" } else { "A" };
        let flipped = format!("{}{flipped}{}", &good[..at], &good[at + 1..]);
        assert!(user(&flipped).is_err(), "{flipped}");
    }
    // A signature has exactly its bytes, without padding.
    assert_eq!(user(&format!("{good}=")), Err(TokenFault::Malformed));
    let bytes = data_encoding::BASE64URL_NOPAD.decode(signature.as_bytes());
    let bytes = [bytes.expect("bytes"), vec![0; 32]].concat();
    for len in (0..64).filter(|len| *len != 32) {
        let token = format!("{header}.{payload}.{}", base64(&bytes[..len]));
        assert_eq!(user(&token), Err(TokenFault::Signature), "{len}");
    }
}

fn parts(token: &str) -> [&str; 3] {
    let parts: Vec<_> = token.split('.').collect();
    parts.try_into().expect("three parts")
}

#[test]
fn a_token_counts_from_its_beginning_until_its_end() {
    let with = |name: &str, value: Value| token(json!({"email": "a@b", name: value}));
    let ms = |offset: i64| UnixMillis(NOW.0.saturating_add_signed(offset));
    for (name, value) in [("exp", json!(NOW_S)), ("exp", json!(NOW_S as f64))] {
        let token = with(name, value);
        assert!(user_at(&token, ms(-1)).is_ok());
        assert_eq!(user_at(&token, ms(0)), Err(TokenFault::Expired));
        assert_eq!(user_at(&token, ms(1)), Err(TokenFault::Expired));
        assert_eq!(
            user_at(&token, UnixMillis(u64::MAX)),
            Err(TokenFault::Expired)
        );
    }
    let token = with("exp", json!(NOW_S as f64 + 0.5));
    assert!(user_at(&token, ms(499)).is_ok());
    assert_eq!(user_at(&token, ms(500)), Err(TokenFault::Expired));
    let token = with("nbf", json!(NOW_S));
    assert_eq!(user_at(&token, ms(-1)), Err(TokenFault::NotYet));
    assert!(user_at(&token, ms(0)).is_ok());
    for past in [
        json!(0),
        json!(-1),
        json!(i64::MIN),
        json!(-0.5),
        json!(-1e300),
    ] {
        assert_eq!(user(&with("exp", past)), Err(TokenFault::Expired));
    }
    for future in [json!(u64::MAX), json!(1e300)] {
        assert!(user(&with("exp", future.clone())).is_ok());
        assert_eq!(user(&with("nbf", future)), Err(TokenFault::NotYet));
    }
    for name in ["exp", "nbf"] {
        for no_time in [
            json!(null),
            json!("1764000000"),
            json!(true),
            json!([]),
            json!({}),
        ] {
            assert_eq!(user(&with(name, no_time)), Err(TokenFault::Malformed));
        }
    }
}

#[test]
fn what_is_no_token_is_malformed() {
    let [header, payload, signature] = [r#"{"alg":"HS256"}"#, r#"["a@b"]"#, "x"].map(base64);
    for token in [
        "x",
        ".",
        "..",
        "...",
        "a.b.c",
        "a b",
        "Bearer x",
        &format!("{header}.{payload}"),
        &format!("{header}.{payload}.{signature}.{signature}"),
        &format!("{header}.{payload}.%%%"),
        &"x".repeat(7_000),
        &format!(
            "{}.{}.{}",
            "a".repeat(2_000),
            "b".repeat(2_000),
            "c".repeat(2_000)
        ),
    ] {
        assert_eq!(user(token), Err(TokenFault::Malformed), "{token}");
    }
    let signed = |payload: &str| signed::<Sha256>(HEADER, payload, SECRET);
    assert!(user(&signed(r#"{"email":"a@b"}"#)).is_ok());
    for payload in [
        r#"["a@b"]"#,
        r#""a@b""#,
        "null",
        "",
        "{",
        "{\"email\":\"a\",}",
    ] {
        assert_eq!(
            user(&signed(payload)),
            Err(TokenFault::Malformed),
            "{payload}"
        );
    }
    // As long as a request head allows.
    let long = token(json!({"email": "a@b", "x": "x".repeat(5_000)}));
    assert!(long.len() > 6_000 && user(&long).is_ok());
}

#[test]
fn the_token_is_in_the_header_or_else_in_the_query() {
    let [good, other] = ["a@b", "c@d"].map(|email| token(json!({"email": email})));
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    let asked = |query: &str, lines: &[&str]| {
        let request = request(&format!("/glasses-ws{query}"), lines);
        credentials().authenticate(&request, NOW).map(String::from)
    };
    let a = || Ok("a@b".to_owned());
    let missing = Err(TokenFault::Missing);
    let malformed = Err(TokenFault::Malformed);
    assert_eq!(asked(&format!("?token={good}"), &[]), a());
    assert_eq!(asked(&format!("?x=y&token={good}&livekit=true"), &[]), a());
    assert_eq!(
        asked(&format!("?token={}", good.replace('.', "%2E")), &[]),
        a()
    );
    assert_eq!(asked("", &[&bearer(&good)]), a());
    for scheme in ["bearer", "BEARER", "bEaReR"] {
        assert_eq!(
            asked("", &[&format!("authorization: {scheme} {good}")]),
            a()
        );
    }
    assert_eq!(
        asked("", &[&format!("Authorization: Bearer   {good} ")]),
        a()
    );
    // With a token in both places the header's is used, valid or not.
    let in_query = format!("?token={other}");
    assert_eq!(asked(&in_query, &[&bearer(&good)]), a());
    assert_eq!(asked(&in_query, &[&bearer("x")]), malformed);
    // With another scheme, or none, the query's is used.
    for line in [
        "Authorization: Basic eDp5",
        "Authorization: Bearer",
        "Authorization:",
    ] {
        assert_eq!(asked(&format!("?token={good}"), &[line]), a());
        assert_eq!(asked("", &[line]), missing);
    }
    for query in [
        "",
        "?",
        "?token",
        "?token=",
        "?Token=x",
        "?user=a@b",
        "?tokens=x",
    ] {
        assert_eq!(asked(query, &[]), missing, "{query}");
    }
    // Two tokens in one place are rejected, even if both are the same.
    assert_eq!(
        asked(&format!("?token={good}&token={other}"), &[]),
        malformed
    );
    assert_eq!(
        asked(&format!("?token={good}&token={good}"), &[]),
        malformed
    );
    let twice = [bearer(&good), bearer(&good)];
    assert_eq!(asked("", &[&twice[0], &twice[1]]), malformed);
    assert_eq!(asked("", &["Authorization: Bearer \u{e9}"]), malformed);
}

#[test]
fn a_fault_is_told_in_the_words_of_the_clients_and_without_the_token() {
    let reply = Credentials::unauthorized_reply(&TokenFault::Expired, NOW);
    assert_eq!(reply.status, 401);
    let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!(
        body,
        json!({
            "type": "connection_error",
            "code": "TOKEN_EXPIRED",
            "message": "the token has expired",
            "timestamp": "2025-11-24T16:00:00.000Z",
        })
    );
    assert_eq!(&*reply.reason, "the token has expired");
    let headers: Vec<_> = reply
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().expect("ASCII")))
        .collect();
    assert_eq!(headers, [("www-authenticate", "Bearer")]);
    for fault in [
        TokenFault::NoSecret,
        TokenFault::Missing,
        TokenFault::Malformed,
        TokenFault::Algorithm,
        TokenFault::Signature,
        TokenFault::Expired,
        TokenFault::NotYet,
        TokenFault::NoEmail,
    ] {
        let reply = Credentials::unauthorized_reply(&fault, UnixMillis(u64::MAX));
        let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
        assert_eq!(body["message"], fault.to_string());
        assert_eq!(body["timestamp"], "9999-12-31T23:59:59.999Z");
    }
}

// ---- the four combinations of credentials ----
