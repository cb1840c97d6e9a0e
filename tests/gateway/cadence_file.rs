//! The file of what was learned about idle gaps: it survives a restart, and never stops the
//! gateway.

use crate::folder::Folder;
use crate::sockets::Gateway;

/// A cohort that has survived gaps of up to 45 s.
const LEARNED: &str = r#"{"version":1,"cohorts":[
{"class":"glasses","block":"192.0.2.0/24","survived":[200,200,200,200,0,0,0,0,0,0,0,0,0,0,0,0],"died":[0,0,0,0,1,0,0,0,0,0,0,0,0,0,0,0],"safe":3,"explored":4,"failures":1,"pause_secs":0,"unpaid_secs":0}]}
"#;

#[test]
fn what_was_learned_survives_restarts() {
    let folder = Folder::new();
    let file = folder.file("cadence.json", LEARNED);
    let settings = [
        ("DRAIN_MS", "0"),
        ("ADAPTIVE_CADENCE", "1"),
        ("CADENCE_FILE", &*file),
    ];
    for _ in 0..2 {
        let gateway = Gateway::start(&settings);
        gateway.line(&["cadence_file", "cohorts=1 unused=0"]);
        gateway.end();
        let text = std::fs::read_to_string(&file).expect("it was written");
        assert_eq!(text, LEARNED);
    }
}

#[test]
fn a_file_that_cannot_be_used_stops_nothing() {
    let folder = Folder::new();
    let broken = folder.file("broken.json", "{\"version\":1,");
    for (path, line) in [
        (&*broken, "moved_to="),
        ("/dev/null/cadence.json", "intervals are learned anew"),
        ("/proc/cadence.json", "intervals are learned anew"),
    ] {
        let settings = [
            ("DRAIN_MS", "0"),
            ("ADAPTIVE_CADENCE", "1"),
            ("CADENCE_FILE", path),
        ];
        let gateway = Gateway::start(&settings);
        gateway.line(&["[ERROR] cadence_file", line]);
        assert_eq!(gateway.health(), 200);
        gateway.end();
    }
}
