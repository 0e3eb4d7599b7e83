//! Looks through a recorded history for what must not happen. A pure function: no I/O, no clock.
//!
//! What it holds against the history is the service's contract: an acknowledged write is in the log in the end, once,
//! where it was acknowledged; the log's order agrees with real time; every client sees one contiguous log, and where it
//! doesn't it was told why; in the end everybody is where the log is. What an acknowledgement was worth counts:
//! [`Forfeit`] says which ones a fault may take back.
//!
//! Socket.IO clients are told less, so less is held against what they see: their acknowledgements name no position and
//! are worth what the run's least one was, and no word of theirs announces another log. They may go on elsewhere only
//! where the log that they were in is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::history::{At, Durability, Event, Forfeit, Seen, What, text_of};

/// Nobody who is connected may be behind for longer: the position check of quiet rooms, and a reading or two.
pub const BEHIND_AT_MOST_MS: u64 = 21_000;

/// Violations that are kept in words; all are counted.
const WORDS: usize = 20;

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// Writes that were acknowledged.
    pub acknowledged: usize,
    /// Of those, the ones that a fault took back as announced.
    pub forfeited: usize,
    /// Of those, the ones that are gone and shouldn't be.
    pub lost: usize,
    /// Second messages made by a retry.
    pub duplicates: usize,
    /// Pairs whose order in the log contradicts real time, and entries that a client got backwards.
    pub inversions: usize,
    /// Jumps and restarts that nobody announced, and clients that ended elsewhere than the log.
    pub gaps: usize,
    /// Everything else that must not be.
    pub other: usize,
    /// The longest time without an acknowledgement while somebody wrote.
    pub longest_pause_ms: u64,
    /// The longest time from an acknowledgement to a connected client that was behind.
    pub longest_lag_ms: u64,
    /// The longest time from a store that takes writes again to the next acknowledgement.
    pub longest_recovery_ms: Option<u64>,
    /// The longest time from an attempt to its answer, of those that got one.
    pub longest_answer_ms: u64,
    /// How long each lost connection was missed: from its end to the client's next join, in order.
    pub returns_ms: Vec<u64>,
    /// Entries that clients received.
    pub delivered: usize,
    /// What else was seen, by name: `reset lost`, `close 4008`, `fail overloaded`, `resume`, …
    pub seen: BTreeMap<String, usize>,
    /// The violations in words, the first few.
    pub violations: Vec<String>,
}

impl Report {
    /// Whether nothing was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost + self.duplicates + self.inversions + self.gaps + self.other == 0
    }

    fn wrong(&mut self, kind: Kind, text: impl FnOnce() -> String) {
        let count = match kind {
            Kind::Lost => &mut self.lost,
            Kind::Duplicate => &mut self.duplicates,
            Kind::Inversion => &mut self.inversions,
            Kind::Gap => &mut self.gaps,
            Kind::Other => &mut self.other,
        };
        *count += 1;
        if self.violations.len() < WORDS {
            self.violations.push(format!("{kind:?}: {}", text()));
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Lost,
    Duplicate,
    Inversion,
    Gap,
    Other,
}

/// Judges a history.
#[must_use]
pub fn check(history: &[Event]) -> Report {
    let mut report = Report::default();
    count(history, &mut report);
    let rooms: BTreeSet<&str> =
        history.iter().map(|event| event.room.as_str()).filter(|room| !room.is_empty()).collect();
    for room in rooms {
        Room::read(room, history, &mut report).check(&mut report);
    }
    report
}

/// What concerns no room, and the figures.
fn count(history: &[Event], report: &mut Report) {
    let mut last: Option<u64> = None;
    let mut quiet = false;
    let mut accepting: Option<u64> = None;
    let mut closed: HashMap<usize, u64> = HashMap::new();
    let mut tried: HashMap<&str, u64> = HashMap::new();
    for event in history {
        match &event.what {
            What::Invoke { key } => {
                tried.insert(key, event.at);
            }
            // What no instance said is no answer.
            What::Info { key, code } if ["closed", "moved"].contains(&code.as_str()) => {
                tried.remove(key.as_str());
            }
            What::Ok { key, .. } | What::Confirmed { key } | What::Fail { key, .. } | What::Info { key, .. } => {
                let answer = tried.remove(key.as_str()).map_or(0, |at| event.at - at);
                report.longest_answer_ms = report.longest_answer_ms.max(answer);
            }
            _ => {}
        }
        if let Some(client) = event.client {
            if matches!(event.what, What::Close { .. }) {
                closed.entry(client).or_insert(event.at);
            } else if is_back(&event.what)
                && let Some(at) = closed.remove(&client)
            {
                report.returns_ms.push(event.at - at);
            }
        }
        let name = match &event.what {
            What::Fail { code, .. } => format!("fail {code}"),
            What::Info { code, .. } => format!("info {code}"),
            What::Repeat(_) => "repeat".to_owned(),
            What::Resume => "resume".to_owned(),
            // Then observers come and go.
            What::Left { .. } if !quiet => "left".to_owned(),
            What::Confirmed { .. } => "confirmed".to_owned(),
            What::Recovered => "recovered".to_owned(),
            What::Unrecovered => "unrecovered".to_owned(),
            What::Connected => "connected".to_owned(),
            What::Reset { reason, .. } => format!("reset {reason}"),
            What::Open { .. } => "open".to_owned(),
            What::Close { code } => format!("close {code}"),
            What::Goaway { reason } => format!("goaway {reason}"),
            What::Degraded { on } => format!("degraded {on}"),
            What::Mode { durability } => format!("mode {durability:?}").to_lowercase(),
            What::Fault { .. } => "fault".to_owned(),
            What::Accepting => {
                accepting = Some(event.at);
                continue;
            }
            What::Invoke { .. } => {
                last = last.or(Some(event.at));
                continue;
            }
            What::Ok { durability, .. } => {
                let pause = event.at - last.unwrap_or(event.at);
                report.longest_pause_ms = report.longest_pause_ms.max(pause);
                last = last.map(|_| event.at);
                if let Some(since) = accepting.take() {
                    report.longest_recovery_ms = report.longest_recovery_ms.max(Some(event.at - since));
                }
                format!("ok {durability:?}").to_lowercase()
            }
            What::Quiet => {
                let pause = event.at - last.unwrap_or(event.at);
                report.longest_pause_ms = report.longest_pause_ms.max(pause);
                (last, quiet) = (None, true);
                continue;
            }
            _ => continue,
        };
        *report.seen.entry(name).or_default() += 1;
    }
    report.returns_ms.sort_unstable();
}

/// Whether a client is in a room from here on.
const fn is_back(what: &What) -> bool {
    matches!(what, What::Join { .. } | What::Resume | What::Reset { .. } | What::Recovered | What::Unrecovered)
}

/// What became of one write.
#[derive(Debug, Default)]
struct Write<'a> {
    /// Index of the first attempt in the history.
    invoked: usize,
    attempts: usize,
    refused: usize,
    acknowledged: Vec<Acknowledged<'a>>,
}

#[derive(Debug)]
struct Acknowledged<'a> {
    index: usize,
    ms: u64,
    /// Where it is, if its writer was told.
    at: Option<&'a At>,
    durability: Durability,
}

/// One room of a history.
struct Room<'a> {
    name: &'a str,
    /// Index and event.
    events: Vec<(usize, &'a Event)>,
    writes: BTreeMap<&'a str, Write<'a>>,
    kept: BTreeMap<u64, &'a Seen>,
    top: Option<&'a At>,
    /// Until when what may be lost.
    forfeits: Vec<(u64, Forfeit)>,
    /// Index of each time at which the keys of earlier writes were lost.
    keyless: Vec<usize>,
}

impl<'a> Room<'a> {
    fn read(name: &'a str, history: &'a [Event], report: &mut Report) -> Self {
        let events =
            history.iter().enumerate().filter(|(_, event)| event.room == name || event.room.is_empty()).collect();
        let mut room = Self {
            name,
            events,
            writes: BTreeMap::new(),
            kept: BTreeMap::new(),
            top: None,
            forfeits: Vec::new(),
            keyless: Vec::new(),
        };
        let mut twice = Vec::new();
        let worths = history.iter().filter_map(|event| match event.what {
            What::Ok { durability, .. } => Some(durability),
            _ => None,
        });
        let least = worths.min().unwrap_or(Durability::Memory);
        for (index, event) in &room.events {
            match &event.what {
                What::Invoke { key } => {
                    let write = room.writes.entry(key).or_insert_with(|| Write { invoked: *index, ..Write::default() });
                    write.attempts += 1;
                }
                What::Fail { key, .. } => {
                    if let Some(write) = room.writes.get_mut(key.as_str()) {
                        write.refused += 1;
                    }
                }
                What::Ok { key, .. } | What::Confirmed { key } => match room.writes.get_mut(key.as_str()) {
                    Some(write) => {
                        let (at, durability) = match &event.what {
                            What::Ok { at, durability, .. } => (Some(at), *durability),
                            _ => (None, least),
                        };
                        write.acknowledged.push(Acknowledged { index: *index, ms: event.at, at, durability });
                    }
                    None => report.wrong(Kind::Other, || format!("{name}: {key} was acknowledged and nobody wrote it")),
                },
                What::Kept(seen) => twice.extend(room.kept.insert(seen.at.offset, seen).map(|seen| seen.at.offset)),
                What::Top(at) => room.top = Some(at),
                What::Forfeit { what: Forfeit::Keys } => room.keyless.push(*index),
                What::Forfeit { what } => room.forfeits.push((event.at, *what)),
                _ => {}
            }
        }
        for offset in twice {
            report.wrong(Kind::Other, || format!("{name}: the log holds two entries at {offset}"));
        }
        room
    }

    fn check(&self, report: &mut Report) {
        self.check_log(report);
        self.check_entries(report);
        self.check_acknowledgements(report);
        self.check_real_time(report);
        self.check_screens(report);
        self.check_ends(report);
        self.check_lag(report);
        self.check_presence(report);
    }

    fn received(&self) -> impl Iterator<Item = (&'a Event, &'a Seen)> {
        self.events.iter().filter_map(|(_, event)| match &event.what {
            What::Receive(seen) => Some((*event, seen)),
            _ => None,
        })
    }

    fn oldest(&self) -> u64 {
        self.kept.keys().next().copied().unwrap_or_else(|| self.top.map_or(0, |top| top.offset) + 1)
    }

    /// The log as it was read in the end is dense, and holds no key twice and nothing that nobody wrote.
    fn check_log(&self, report: &mut Report) {
        let name = self.name;
        let Some(top) = self.top else {
            return report.wrong(Kind::Other, || format!("{name}: the log was not read in the end"));
        };
        let mut expected = self.oldest();
        let mut offset_of: HashMap<&str, u64> = HashMap::new();
        for (offset, seen) in &self.kept {
            if *offset != expected {
                report.wrong(Kind::Gap, || format!("{name}: the log has {offset} where {expected} should be"));
            }
            expected = offset + 1;
            let first = offset_of.insert(&seen.key, *offset);
            if first.is_some() && self.may_be_doubled(&seen.key) {
                *report.seen.entry("second message".to_owned()).or_default() += 1;
            } else if let Some(first) = first {
                report.wrong(Kind::Duplicate, || format!("{name}: {} is in the log at {first} and {offset}", seen.key));
            }
        }
        let last = self.kept.values().next_back().map(|seen| &seen.at);
        if last.is_some_and(|last| last != top) {
            report.wrong(Kind::Gap, || format!("{name}: the log ends with {last:?}, and says {top:?}"));
        }
    }

    /// A position names one entry, which says what its writer said; without a forfeit, so does an offset.
    fn check_entries(&self, report: &mut Report) {
        let name = self.name;
        let one_log = self.forfeits.is_empty();
        let mut entries: HashMap<(u64, &str), &Seen> = HashMap::new();
        let mut offsets: HashMap<u64, &Seen> = HashMap::new();
        let mut told: HashSet<&str> = HashSet::new();
        for (_, event) in &self.events {
            let (What::Receive(seen) | What::Repeat(seen) | What::Kept(seen)) = &event.what else { continue };
            let known = *entries.entry((seen.at.offset, &seen.at.chain)).or_insert(seen);
            if known.key != seen.key || known.text != seen.text {
                report.wrong(Kind::Other, || format!("{name}: two entries at one position: {known:?} and {seen:?}"));
            }
            let known = *offsets.entry(seen.at.offset).or_insert(seen);
            if one_log && known.at.chain != seen.at.chain {
                report.wrong(Kind::Other, || format!("{name}: two entries at one offset: {known:?} and {seen:?}"));
            }
            if !told.insert(&seen.key) {
                continue;
            }
            if seen.text != text_of(&seen.key) {
                report.wrong(Kind::Other, || format!("{name}: another text than was sent: {seen:?}"));
            }
            match self.writes.get(seen.key.as_str()) {
                None => report.wrong(Kind::Other, || format!("{name}: {} was stored and nobody wrote it", seen.key)),
                Some(write) if write.refused == write.attempts && write.acknowledged.is_empty() => {
                    report.wrong(Kind::Other, || format!("{name}: {} was refused for good, and stored", seen.key));
                }
                Some(_) => {}
            }
        }
    }

    /// Whether the write's key was lost between its first attempt and its last acknowledgement.
    fn may_be_doubled(&self, key: &str) -> bool {
        let Some(write) = self.writes.get(key) else { return false };
        let acknowledged = write.acknowledged.last().map_or(0, |last| last.index);
        self.keyless.iter().any(|lost| (write.invoked..acknowledged).contains(lost))
    }

    fn is_forfeited(&self, acknowledged: &Acknowledged<'_>) -> bool {
        self.forfeits.iter().any(|(until, what)| {
            acknowledged.ms <= *until
                && (*what == Forfeit::Everything || acknowledged.durability != Durability::Replicated)
        })
    }

    /// What was acknowledged is in the log, where it was acknowledged; or was trimmed, and seen before.
    fn check_acknowledgements(&self, report: &mut Report) {
        let name = self.name;
        let oldest = self.oldest();
        let received: HashSet<(u64, &str)> =
            self.received().map(|(_, seen)| (seen.at.offset, seen.at.chain.as_str())).collect();
        let kept: HashSet<&str> = self.kept.values().map(|seen| seen.key.as_str()).collect();
        let trimmed: HashSet<&str> =
            self.received().filter(|(_, seen)| seen.at.offset < oldest).map(|(_, seen)| seen.key.as_str()).collect();
        let mut owner: HashMap<&At, &str> = HashMap::new();
        for (key, write) in &self.writes {
            let Some(last) = write.acknowledged.last() else { continue };
            report.acknowledged += 1;
            for one in &write.acknowledged {
                if one.at != last.at && !self.is_forfeited(one) && !self.may_be_doubled(key) {
                    let (one, last) = (one.at, last.at);
                    report.wrong(Kind::Duplicate, || format!("{name}: {key} was acknowledged at {one:?} and {last:?}"));
                }
                if let Some(other) = one.at.and_then(|at| owner.insert(at, key)).filter(|other| other != key) {
                    report.wrong(Kind::Lost, || format!("{name}: {key} and {other} were acknowledged at one position"));
                }
            }
            let is_there = match last.at {
                Some(at) => {
                    let there = self.kept.get(&at.offset).is_some_and(|seen| seen.at == *at && seen.key == **key);
                    there || (at.offset < oldest && received.contains(&(at.offset, at.chain.as_str())))
                }
                None => kept.contains(key) || trimmed.contains(key),
            };
            if is_there {
                continue;
            }
            if self.is_forfeited(last) {
                report.forfeited += 1;
            } else {
                report.wrong(Kind::Lost, || {
                    let Acknowledged { at, ms, durability, .. } = last;
                    let place = at.map_or_else(String::new, |at| format!(" at {at:?}"));
                    format!("{name}: {key} was acknowledged as {durability:?}{place} after {ms} ms")
                });
            }
        }
    }

    /// What was acknowledged before something else was first tried is before it in the log.
    fn check_real_time(&self, report: &mut Report) {
        // From the top down: the earliest acknowledgement of anything above.
        let mut earliest: Option<(usize, &str)> = None;
        for seen in self.kept.values().rev() {
            let Some(write) = self.writes.get(seen.key.as_str()) else { continue };
            if let Some((acknowledged, above)) = earliest
                && acknowledged < write.invoked
            {
                report.wrong(Kind::Inversion, || {
                    let (name, key) = (self.name, &seen.key);
                    format!("{name}: {above} was acknowledged before {key} was first tried, and comes after it")
                });
            }
            let here = write.acknowledged.iter().filter(|one| one.at.is_none_or(|at| at == &seen.at));
            let acknowledged = here.map(|one| one.index).min();
            if let Some(index) = acknowledged
                && earliest.is_none_or(|(known, _)| index < known)
            {
                earliest = Some((index, &seen.key));
            }
        }
    }

    /// One screen per client: contiguous, in order, each key once, restarts announced.
    fn check_screens(&self, report: &mut Report) {
        struct Screen<'a> {
            at: At,
            keys: HashMap<&'a str, u64>,
        }
        impl Screen<'_> {
            fn behind(offset: u64) -> Self {
                Self { at: At { offset, chain: String::new() }, keys: HashMap::new() }
            }
        }
        let name = self.name;
        let mut screens: BTreeMap<usize, Screen<'_>> = BTreeMap::new();
        let mut socketio: HashSet<usize> = HashSet::new();
        for (_, event) in &self.events {
            let Some(client) = event.client else { continue };
            match &event.what {
                What::Connected => {
                    socketio.insert(client);
                }
                What::Unrecovered if self.forfeits.is_empty() => {
                    report.wrong(Kind::Gap, || format!("{name}: client {client} was not recognised"));
                }
                What::Join { from } => {
                    let fresh = Screen::behind(*from);
                    if screens.insert(client, fresh).is_some() {
                        report.wrong(Kind::Gap, || format!("{name}: client {client} restarted and nobody said why"));
                    }
                }
                What::Reset { reason, from } => {
                    if !matches!(reason.as_str(), "lost" | "diverged" | "trimmed") {
                        report.wrong(Kind::Gap, || format!("{name}: client {client} was reset for {reason:?}"));
                    }
                    screens.insert(client, Screen::behind(*from));
                }
                What::Receive(seen) => {
                    report.delivered += 1;
                    let offset = seen.at.offset;
                    let Some(screen) = screens.get_mut(&client) else {
                        report.wrong(Kind::Gap, || format!("{name}: client {client} saw {offset} before it joined"));
                        continue;
                    };
                    if offset != screen.at.offset + 1 && socketio.contains(&client) && self.is_gone(&screen.at) {
                        *screen = Screen::behind(offset - 1);
                    }
                    if self.is_another_log(&screen.at, &seen.at) && !socketio.contains(&client) {
                        let before = &screen.at;
                        report.wrong(Kind::Gap, || {
                            format!("{name}: client {client} went from {before:?} to another log's {:?}", seen.at)
                        });
                    }
                    let before = std::mem::replace(&mut screen.at, seen.at.clone()).offset;
                    if offset <= before {
                        report
                            .wrong(Kind::Inversion, || format!("{name}: client {client} saw {offset} after {before}"));
                    } else if offset > before + 1 {
                        report.wrong(Kind::Gap, || format!("{name}: client {client} saw {offset} after {before}"));
                    }
                    if let Some(first) = screen.keys.insert(&seen.key, offset)
                        && !self.may_be_doubled(&seen.key)
                    {
                        let key = &seen.key;
                        report.wrong(Kind::Duplicate, || {
                            format!("{name}: client {client} saw {key} at {first} and {offset}")
                        });
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether an entry is of the log that is there in the end, and what was seen before it isn't.
    fn is_another_log(&self, before: &At, entry: &At) -> bool {
        let is_kept = |at: &At| self.kept.get(&at.offset).map(|seen| seen.at == *at);
        !before.chain.is_empty() && is_kept(entry) == Some(true) && is_kept(before) == Some(false)
    }

    /// Whether the log that had this position isn't the one that is there in the end.
    fn is_gone(&self, at: &At) -> bool {
        match self.kept.get(&at.offset) {
            Some(seen) if !at.chain.is_empty() => seen.at.chain != at.chain,
            _ => !self.forfeits.is_empty(),
        }
    }

    /// In the end everybody is where the log is, and shows the same members.
    fn check_ends(&self, report: &mut Report) {
        let name = self.name;
        let mut finals = Vec::new();
        let mut everybody = BTreeSet::new();
        for (_, event) in &self.events {
            if let What::Unsettled { key } = &event.what {
                report.wrong(Kind::Other, || format!("{name}: {key} has no outcome in the end"));
            }
            if let (What::Final { user, at, members }, Some(client)) = (&event.what, event.client) {
                finals.push((client, at, members));
                everybody.insert(user);
            }
        }
        for (client, at, members) in finals {
            if self.top.is_some_and(|top| !top.agrees(at)) {
                report
                    .wrong(Kind::Gap, || format!("{name}: client {client} ended at {at:?}, the log at {:?}", self.top));
            }
            let Some(members) = members else { continue };
            let shown: BTreeSet<_> = members.iter().collect();
            if shown != everybody || shown.len() != members.len() {
                let missing: Vec<_> = everybody.difference(&shown).collect();
                let extra: Vec<_> = shown.difference(&everybody).collect();
                report.wrong(Kind::Other, || {
                    format!("{name}: client {client} ended without the members {missing:?}, and with {extra:?}")
                });
            }
        }
    }

    /// Nobody who is connected is behind for long without a fault that explains it.
    fn check_lag(&self, report: &mut Report) {
        let name = self.name;
        let mut acknowledged: HashMap<(u64, &str), u64> = HashMap::new();
        for one in self.writes.values().flat_map(|write| &write.acknowledged) {
            let Some(at) = one.at else { continue };
            let first = acknowledged.entry((at.offset, &at.chain)).or_insert(one.ms);
            *first = one.ms.min(*first);
        }
        // Since when the client is there without a break, and since when nothing is broken.
        let mut there: HashMap<usize, u64> = HashMap::new();
        let mut whole: Option<u64> = Some(0);
        for (_, event) in &self.events {
            match (&event.what, event.client) {
                (What::Fault { .. }, _) => whole = None,
                // Where nothing was broken, nothing is better from here on.
                (What::Heal, _) => whole = whole.or(Some(event.at)),
                (what, Some(client)) if is_back(what) || matches!(what, What::Close { .. }) => {
                    there.insert(client, event.at);
                }
                (What::Receive(seen), Some(client)) => {
                    let Some(acked) = acknowledged.get(&(seen.at.offset, seen.at.chain.as_str())) else { continue };
                    let (Some(whole), Some(there)) = (whole, there.get(&client)) else { continue };
                    if there > acked {
                        continue;
                    }
                    let lag = event.at.saturating_sub(whole.max(*acked));
                    report.longest_lag_ms = report.longest_lag_ms.max(lag);
                    if lag > BEHIND_AT_MOST_MS {
                        report
                            .wrong(Kind::Other, || format!("{name}: client {client} was behind by {lag} ms: {seen:?}"));
                    }
                }
                _ => {}
            }
        }
    }

    /// Somebody leaves once: no two announcements of one leave without a join between them.
    fn check_presence(&self, report: &mut Report) {
        let name = self.name;
        let mut own: HashMap<usize, &str> = HashMap::new();
        let mut present: HashMap<(usize, &str), bool> = HashMap::new();
        for (_, event) in &self.events {
            let Some(client) = event.client else { continue };
            match &event.what {
                What::Open { user, .. } => {
                    own.insert(client, user);
                }
                What::Members { users } => {
                    present.retain(|(of, _), _| *of != client);
                    present.extend(users.iter().map(|user| ((client, user.as_str()), true)));
                }
                What::Joined { user } => {
                    if own.get(&client) == Some(&user.as_str()) {
                        report.wrong(Kind::Other, || format!("{name}: client {client} was told that it joined itself"));
                    }
                    present.insert((client, user), true);
                }
                What::Left { user } if present.insert((client, user), false) == Some(false) => {
                    report.wrong(Kind::Other, || format!("{name}: client {client} was told twice that {user} left"));
                }
                _ => {}
            }
        }
    }
}
