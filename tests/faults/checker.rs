//! Looks through a recorded history for what must not happen.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use crate::world::{History, Line, ROOMS, Seen, What};

/// Nobody may be behind for longer than the position check takes, and a reading or two.
const BEHIND_AT_MOST_MS: u64 = 21_000;

#[derive(Debug, Default)]
pub struct Report {
    pub acknowledged: usize,
    pub delivered: usize,
    pub repeated: usize,
    pub restarts: usize,
    pub resumed: usize,
    pub longest_lag_ms: u64,
    pub violations: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} acknowledged, {} delivered, {} repeated on the wire, {} resumed, {} restarts, longest lag {} ms",
            self.acknowledged, self.delivered, self.repeated, self.resumed, self.restarts, self.longest_lag_ms
        )
    }
}

pub fn check(history: &History) -> Report {
    let mut report = Report::default();
    for room in ROOMS {
        let lines: Vec<&Line> = history.lines.iter().filter(|line| line.room == room).collect();
        check_room(history, room, &lines, &mut report);
    }
    report
}

fn check_room(history: &History, room: &str, lines: &[&Line], report: &mut Report) {
    let mut entries: BTreeMap<u64, &Seen> = BTreeMap::new();
    let mut offset_of: HashMap<&str, u64> = HashMap::new();
    let mut acknowledged: BTreeMap<u64, (&str, u64)> = BTreeMap::new();
    let mut invoked: BTreeSet<&str> = BTreeSet::new();
    let mut wrong = |text: String| report.violations.push(format!("{room}: {text}"));

    // One log: whoever sees an offset sees the same entry there, and a key has one offset.
    for line in lines {
        match &line.what {
            What::Received(seen) | What::Repeated(seen) => {
                if let Some(known) = entries.insert(seen.offset, seen)
                    && (known.chain != seen.chain || known.key != seen.key || known.text != seen.text)
                {
                    wrong(format!("two entries at one offset: {known:?} and {seen:?}"));
                }
                if let Some(known) = offset_of.insert(&seen.key, seen.offset)
                    && known != seen.offset
                {
                    wrong(format!("a retry made a second message: {} at {known} and {}", seen.key, seen.offset));
                }
                if seen.text.as_deref() != Some(&format!("message {}", seen.key)) {
                    wrong(format!("another text than was sent: {seen:?}"));
                }
            }
            What::Acknowledged { key, position, .. } => {
                report.acknowledged += 1;
                if let Some((other, _)) = acknowledged.insert(position.offset, (key, line.at))
                    && other != key
                {
                    wrong(format!("two writes were acknowledged at {}", position.offset));
                }
            }
            What::Invoke { key } => {
                invoked.insert(key);
            }
            _ => {}
        }
    }
    for key in offset_of.keys().filter(|key| !invoked.contains(*key)) {
        wrong(format!("{key} was delivered and nobody wrote it"));
    }
    for (offset, (key, _)) in &acknowledged {
        if entries.get(offset).is_some_and(|seen| seen.key != **key) {
            wrong(format!("{key} was acknowledged at {offset}, where another entry is"));
        }
        if offset_of.get(key).is_some_and(|seen| seen != offset) {
            wrong(format!("{key} was acknowledged at {offset} and delivered elsewhere"));
        }
        if !offset_of.contains_key(key) {
            wrong(format!("{key} was acknowledged at {offset} and nobody ever saw it"));
        }
    }

    // One screen per client: contiguous, in order, restarts announced.
    let mut at: HashMap<usize, u64> = HashMap::new();
    let mut received_at: HashMap<(usize, u64), u64> = HashMap::new();
    let mut connected: HashMap<usize, bool> = HashMap::new();
    for line in lines {
        match &line.what {
            What::Restarted { from, announced } => {
                report.restarts += 1;
                if !announced {
                    wrong(format!("client {} restarted without a reason", line.client));
                }
                at.insert(line.client, from.offset);
                connected.insert(line.client, true);
            }
            What::Resumed => report.resumed += 1,
            What::Received(seen) => {
                report.delivered += 1;
                let before = at.insert(line.client, seen.offset);
                if before != Some(seen.offset - 1) {
                    wrong(format!(
                        "client {} saw {} after {before:?}: a gap nobody announced",
                        line.client, seen.offset
                    ));
                }
                received_at.entry((line.client, seen.offset)).or_insert(line.at);
            }
            What::Repeated(_) => report.repeated += 1,
            _ => {}
        }
    }

    // In the end everybody is where the log is, and sees the same members.
    let top = history.tops.iter().find(|(name, _)| *name == room).map(|(_, top)| *top);
    let finals: Vec<_> = history.finals.iter().filter(|(_, name, ..)| *name == room).collect();
    for (client, _, position, _) in &finals {
        if Some(*position) != top {
            wrong(format!("client {client} ended at {position:?}, the log at {top:?}"));
        }
    }
    let mut everybody: Vec<_> = finals.iter().map(|(client, ..)| format!("user-{client}")).collect();
    everybody.sort();
    for (client, _, _, members) in &finals {
        let members: Vec<_> = members.iter().map(|user| user.as_str().to_owned()).collect();
        if members != everybody {
            wrong(format!("client {client} ended with the members {members:?}, not {everybody:?}"));
        }
    }

    // Nobody is silently behind: whatever was acknowledged before the faults ended was seen by all soon after, unless
    // the client restarted behind it.
    for (offset, (key, acked_at)) in &acknowledged {
        for (client, ..) in &finals {
            let Some(seen_at) = received_at.get(&(*client, *offset)) else { continue };
            let lag = seen_at.saturating_sub(*acked_at);
            // A client that was away gets it when it comes back.
            let away = lines.iter().any(|line| {
                line.client == *client
                    && line.at >= *acked_at
                    && line.at <= *seen_at
                    && matches!(line.what, What::Members(_))
            });
            if !away {
                report.longest_lag_ms = report.longest_lag_ms.max(lag);
                if lag > BEHIND_AT_MOST_MS {
                    wrong(format!("client {client} saw {key} {lag} ms after its acknowledgement"));
                }
            }
        }
    }

    // Somebody leaves once: no two announcements of one leave without a join between them.
    let mut present: HashMap<(usize, &str), bool> = HashMap::new();
    for line in lines {
        match &line.what {
            What::Members(members) => {
                present.retain(|(client, _), _| *client != line.client);
                present.extend(members.iter().map(|user| ((line.client, user.as_str()), true)));
            }
            What::Joined(user) => {
                if user.as_str() == format!("user-{}", line.client) {
                    wrong(format!("client {} was told that it joined itself", line.client));
                }
                present.insert((line.client, user.as_str()), true);
            }
            What::Left(user) if present.insert((line.client, user.as_str()), false) == Some(false) => {
                wrong(format!("client {} was told twice that {} left", line.client, user.as_str()));
            }
            _ => {}
        }
    }
}
