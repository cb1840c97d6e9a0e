//! Tests of storing, counting and removing user agents.

use super::*;

fn id(slot: usize) -> ConnId {
    format!("{slot}.1").parse().expect("an id")
}

fn asked(agents: &mut UserAgents, slot: usize, name: &str) {
    agents.on_request(id(slot), &request(name));
}

fn request(name: &str) -> Request {
    let head = format!("GET /glasses-ws HTTP/1.1\r\nHost: a\r\nUser-Agent: {name}\r\n\r\n");
    Request::of(&head)
}

/// A connection arrives and is identified.
fn came(agents: &mut UserAgents, slot: usize, name: &str) {
    asked(agents, slot, name);
    agents.on_identified(id(slot), None);
}

fn name(agents: &UserAgents, slot: usize) -> Option<&str> {
    agents.name(id(slot))
}

/// The most frequent user agents of two classes.
fn top(agents: &UserAgents) -> [Vec<AgentCount>; 2] {
    agents.top(2).try_into().expect("two classes")
}

#[test]
fn a_user_agent_is_cut_and_escaped() {
    assert_eq!(
        escape_user_agent(b"glasses-os/3.2 (rev 7)").as_deref(),
        Some("glasses-os/3.2 (rev 7)")
    );
    assert_eq!(
        escape_user_agent("Zoë\t\u{1b}[31m\r\n2026 [WARN] x".as_bytes()).as_deref(),
        Some("Zo%C3%AB%09%1B[31m%0D%0A2026 [WARN] x")
    );
    for empty in [&b""[..], b"  ", b"\t "] {
        assert_eq!(escape_user_agent(empty), None);
    }
    assert_eq!(escape_user_agent(&[b'x'; 4_000]), Some("x".repeat(128)));
    // Not cut within an escape.
    let escaped = escape_user_agent(&[&[b'x'; 3][..], &[0xff; 100]].concat()).expect("not empty");
    assert_eq!(escaped.len(), 126);
    assert!(escaped.ends_with("%FF"));
    // A filter may name it as sent or as shown.
    for sent in [
        "Zoë 1",
        "a\\b \"c\" <d>",
        &"é".repeat(99),
        "100 % new",
        "glasses/1",
    ] {
        let kept = escape_user_agent(sent.as_bytes()).expect("not empty");
        assert_eq!(normalize_user_agent(sent), kept);
        assert_eq!(normalize_user_agent(&kept), kept);
    }
}

#[test]
fn invented_user_agents_fill_the_table_only_while_they_are_here() {
    let mut agents = UserAgents::default();
    came(&mut agents, 0, "glasses/1");
    for n in 1..USER_AGENTS_MAX + 100 {
        came(&mut agents, n, &format!("random/{n}"));
    }
    assert_eq!(
        (agents.len(), agents.overflowed()),
        (USER_AGENTS_MAX, 100),
        "its bound holds"
    );
    assert_eq!(name(&agents, USER_AGENTS_MAX), Some("other"));
    // Names of identified connections are not affected.
    came(&mut agents, 9_000, "glasses/1");
    assert_eq!(name(&agents, 9_000), Some("glasses/1"));
    let ended = agents.remove(id(1), true).expect("it had one");
    assert_eq!(&*ended, "random/1");
    came(&mut agents, 1, "glasses/2");
    assert_eq!(name(&agents, 1), Some("glasses/2"), "there is room again");
    for n in 2..USER_AGENTS_MAX + 100 {
        agents.remove(id(n), true);
    }
    assert_eq!(agents.len(), 2);
    let memory = agents.entries.len();
    for n in 0..10 * USER_AGENTS_MAX {
        came(&mut agents, 2, &format!("later/{n}"));
        assert_eq!(name(&agents, 2), Some(&*format!("later/{n}")));
        agents.remove(id(2), true);
    }
    assert_eq!(agents.entries.len(), memory, "entries are used again");
    assert_eq!(&*ended, "random/1", "a record keeps its text");
}

#[test]
fn names_that_strangers_invent_leave_room_for_others() {
    let mut agents = UserAgents::default();
    for n in 0..1_000 {
        asked(&mut agents, n, &format!("random/{n}"));
    }
    assert_eq!(agents.len(), STRANGER_NAMES_MAX);
    assert_eq!(name(&agents, 999), Some("other"));
    // One of them is identified, which makes room for another.
    agents.on_identified(id(0), None);
    asked(&mut agents, 1_000, "glasses/2");
    assert_eq!(name(&agents, 1_000), Some("glasses/2"));
    // One is identified at its request.
    asked(&mut agents, 1_001, "glasses/3");
    assert_eq!(name(&agents, 1_001), Some("other"));
    agents.on_identified(id(1_001), Some(&request("glasses/3")));
    assert_eq!(name(&agents, 1_001), Some("glasses/3"));
    agents.remove(id(0), true);
    agents.remove(id(1_001), true);
    for n in 1..=1_000 {
        agents.remove(id(n), false);
    }
    assert_eq!((agents.len(), agents.stranger_names), (0, 0));
}

#[test]
fn what_a_client_calls_other_is_other() {
    let mut agents = UserAgents::default();
    came(&mut agents, 0, "other");
    assert_eq!(name(&agents, 0), Some("other"));
    agents.on_open(id(0), Class(0));
    assert_eq!((agents.len(), agents.top(2)[0].len()), (0, 0));
    agents.remove(id(0), true);
    assert_eq!(name(&agents, 0), None);
    // A request without a user agent, after another connection in the same slot.
    came(&mut agents, 0, "a");
    came(&mut agents, 0, "");
    assert_eq!((name(&agents, 0), agents.len()), (None, 0));
}

#[test]
fn open_connections_are_counted_by_class_and_user_agent() {
    let mut agents = UserAgents::default();
    for slot in 0..300 {
        came(&mut agents, slot, &format!("agent/{}", slot % 100));
        agents.on_open(id(slot), Class((slot % 2) as u8));
    }
    // It was never open.
    came(&mut agents, 300, "agent/1");
    agents.remove(id(300), true);
    for slot in 0..50 {
        agents.remove(id(slot), true);
    }
    for slot in 300..310 {
        came(&mut agents, slot, "agent/40");
        agents.on_open(id(slot), Class(0));
    }
    let [glasses, apps] = top(&agents);
    let most = glasses.iter().max_by_key(|count| count.open);
    assert_eq!(
        most,
        Some(&AgentCount {
            name: "agent/40".into(),
            open: 12,
            suspects: 0
        })
    );
    assert_eq!((glasses.len(), apps.len()), (50, 50));
    assert_eq!(apps.iter().map(|count| count.open).sum::<u64>(), 125);
}

#[test]
fn suspects_are_counted_until_they_are_heard_or_end() {
    let mut agents = UserAgents::default();
    // Seventy frequent ones, and one that is not.
    for slot in 0..141 {
        came(
            &mut agents,
            slot,
            &format!("agent/{}", slot % 70 + slot / 140 * 100),
        );
        agents.on_open(id(slot), Class(0));
    }
    let suspects = |agents: &UserAgents, name: &str| {
        let [glasses, _] = top(agents);
        assert!(glasses.len() <= TOP_MAX + 1);
        glasses
            .iter()
            .find(|count| *count.name == *name)
            .map(|count| count.suspects)
    };
    agents.on_health(id(140), HealthState::Suspect, false);
    assert_ne!(suspects(&agents, "agent/100"), Some(1), "of a stranger");
    agents.on_health(id(140), HealthState::Suspect, true);
    agents.on_health(id(140), HealthState::Suspect, true);
    assert_eq!(suspects(&agents, "agent/100"), Some(1), "told, though rare");
    agents.on_health(id(140), HealthState::Healthy, true);
    agents.on_health(id(140), HealthState::Healthy, true);
    for slot in [3, 73] {
        agents.on_health(id(slot), HealthState::Suspect, true);
    }
    assert_eq!(suspects(&agents, "agent/3"), Some(2));
    agents.remove(id(3), true);
    assert_eq!(suspects(&agents, "agent/3"), Some(1));
    // A connection that was never open is not counted.
    came(&mut agents, 3, "agent/3");
    agents.on_health(id(3), HealthState::Suspect, true);
    assert_eq!(suspects(&agents, "agent/3"), Some(1));
}

#[test]
fn each_of_256_classes_is_counted() {
    let mut agents = UserAgents::default();
    for class in 0..=255_u8 {
        agents.on_request(id(usize::from(class)), &request("phone"));
        agents.on_identified(id(usize::from(class)), None);
        agents.on_open(id(usize::from(class)), Class(class));
        agents.on_health(id(usize::from(class)), HealthState::Suspect, true);
    }
    let counted = agents.top(256);
    for of_class in &counted {
        assert_eq!((of_class[0].open, of_class[0].suspects), (1, 1));
    }
    for class in 0..=255_u8 {
        agents.remove(id(usize::from(class)), true);
    }
    assert!(agents.top(256).iter().all(Vec::is_empty));
    assert_eq!(agents.len(), 0);
}
