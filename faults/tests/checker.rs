//! Histories that are good, and histories that must be found bad: each names what a checker has to see.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use confab_faults::checker::{BEHIND_AT_MOST_MS, Report, check};
use confab_faults::history::{At, Durability, Event, Forfeit, History, Seen, What, text_of};

/// A history of one room, written by hand. Every event is 10 ms after the one before.
#[derive(Default)]
struct Script {
    at: u64,
    history: History,
}

impl Script {
    fn event(mut self, client: Option<usize>, room: &str, what: What) -> Self {
        self.at += 10;
        self.history.push(Event { at: self.at, client, room: room.to_owned(), what });
        self
    }

    fn client(self, client: usize, what: What) -> Self {
        self.event(Some(client), "tea", what)
    }

    fn run(self, what: What) -> Self {
        self.event(None, "", what)
    }

    fn later(mut self, ms: u64) -> Self {
        self.at += ms;
        self
    }

    fn open(self, client: usize) -> Self {
        let user = format!("u{client}");
        let opened = self.client(client, What::Open { instance: "one".to_owned(), user });
        opened.client(client, What::Join { from: 0 })
    }

    fn invoke(self, client: usize, key: &str) -> Self {
        self.client(client, What::Invoke { key: key.to_owned() })
    }

    fn ok_as(self, client: usize, key: &str, at: At, durability: Durability) -> Self {
        self.client(client, What::Ok { key: key.to_owned(), at, durability })
    }

    fn ok(self, client: usize, key: &str, offset: u64) -> Self {
        self.ok_as(client, key, at(offset), Durability::Replicated)
    }

    fn write(self, client: usize, key: &str, offset: u64) -> Self {
        self.invoke(client, key).ok(client, key, offset)
    }

    fn receive(self, client: usize, offset: u64, key: &str) -> Self {
        self.client(client, What::Receive(seen(at(offset), key)))
    }

    /// The end: the log, and both clients at its top.
    fn end(self, keys: &[&str]) -> Report {
        let top = at(keys.len() as u64);
        self.log(keys).finals(&top).report()
    }

    fn log(mut self, keys: &[&str]) -> Self {
        for (index, key) in keys.iter().enumerate() {
            self = self.event(None, "tea", What::Kept(seen(at(index as u64 + 1), key)));
        }
        self.event(None, "tea", What::Top(at(keys.len() as u64)))
    }

    fn finals(mut self, top: &At) -> Self {
        let members = vec!["u1".to_owned(), "u2".to_owned()];
        for client in [1, 2] {
            let (user, at, members) = (format!("u{client}"), top.clone(), Some(members.clone()));
            self = self.client(client, What::Final { user, at, members });
        }
        self
    }

    fn report(self) -> Report {
        check(&self.history)
    }
}

/// A position of the one log that most histories have.
fn at(offset: u64) -> At {
    At { offset, chain: format!("c{offset}") }
}

fn seen(at: At, key: &str) -> Seen {
    Seen { at, key: key.to_owned(), text: text_of(key) }
}

/// Two members, two messages that both saw.
fn chat() -> Script {
    let script = Script::default().open(1).open(2).write(1, "a", 1).write(2, "b", 2);
    script.receive(1, 1, "a").receive(2, 1, "a").receive(1, 2, "b").receive(2, 2, "b")
}

/// What a report counted: lost, duplicates, inversions, gaps, other.
fn counts(report: &Report) -> [usize; 5] {
    [report.lost, report.duplicates, report.inversions, report.gaps, report.other]
}

#[test]
fn a_good_history_is_clean() {
    let report = chat().end(&["a", "b"]);
    assert_eq!(counts(&report), [0; 5], "{:?}", report.violations);
    assert_eq!((report.acknowledged, report.delivered, report.forfeited), (2, 4, 0));
}

#[test]
fn an_acknowledged_write_that_the_log_lacks_is_lost() {
    let report = chat().write(1, "c", 3).end(&["a", "b"]);
    assert_eq!(counts(&report), [1, 0, 0, 0, 0], "{:?}", report.violations);
}

#[test]
fn an_acknowledged_write_whose_place_another_one_has_is_lost() {
    let script = chat().write(1, "c", 3).invoke(2, "d").receive(1, 3, "d").receive(2, 3, "d");
    assert_eq!(script.end(&["a", "b", "d"]).lost, 1);
}

#[test]
fn two_writes_acknowledged_at_one_position_are_a_loss() {
    assert!(chat().write(1, "c", 3).write(2, "d", 3).end(&["a", "b", "c"]).lost > 0);
}

#[test]
fn an_unanswered_write_may_be_in_the_log_or_not() {
    let info = What::Info { key: "c".to_owned(), code: "closed".to_owned() };
    let script = || chat().invoke(1, "c").client(1, info.clone());
    let report = script().end(&["a", "b"]);
    assert!(report.is_clean(), "{:?}", report.violations);
    let report = script().receive(1, 3, "c").receive(2, 3, "c").end(&["a", "b", "c"]);
    assert!(report.is_clean(), "{:?}", report.violations);
}

#[test]
fn a_refused_write_that_is_stored_is_found() {
    let fail = What::Fail { key: "c".to_owned(), code: "overloaded".to_owned() };
    let script = chat().invoke(1, "c").client(1, fail).receive(1, 3, "c").receive(2, 3, "c");
    assert_eq!(counts(&script.end(&["a", "b", "c"])), [0, 0, 0, 0, 1]);
}

#[test]
fn a_write_that_was_refused_and_then_left_without_an_answer_may_be_stored() {
    let fail = What::Fail { key: "c".to_owned(), code: "overloaded".to_owned() };
    let script = chat().invoke(1, "c").client(1, fail).invoke(1, "c").receive(1, 3, "c").receive(2, 3, "c");
    let report = script.end(&["a", "b", "c"]);
    assert!(report.is_clean(), "{:?}", report.violations);
}

#[test]
fn an_entry_that_nobody_wrote_is_found() {
    assert_eq!(counts(&chat().receive(1, 3, "z").receive(2, 3, "z").end(&["a", "b", "z"])), [0, 0, 0, 0, 1]);
}

#[test]
fn another_text_than_was_sent_is_found() {
    let wrong = Seen { at: at(3), key: "c".to_owned(), text: "message a".to_owned() };
    let script = chat().write(1, "c", 3).client(1, What::Receive(wrong.clone())).client(2, What::Receive(wrong));
    assert!(script.end(&["a", "b", "c"]).other > 0);
}

#[test]
fn a_retry_that_made_a_second_message_is_a_duplicate() {
    let script = chat().invoke(1, "c").invoke(1, "c").ok(1, "c", 4);
    let script = script.receive(1, 3, "c").receive(2, 3, "c").receive(1, 4, "c").receive(2, 4, "c");
    assert!(script.end(&["a", "b", "c", "c"]).duplicates >= 1);
}

#[test]
fn a_retry_may_make_a_second_message_only_of_a_write_whose_key_was_lost() {
    let lost = What::Forfeit { what: Forfeit::Keys };
    let before = chat().run(lost.clone()).write(1, "a", 3).receive(1, 3, "a").receive(2, 3, "a").end(&["a", "b", "a"]);
    assert_eq!((counts(&before), before.seen("second message")), ([0; 5], 1), "{:?}", before.violations);
    let answered = chat().write(1, "a", 3).run(lost.clone()).receive(1, 3, "a").receive(2, 3, "a");
    // Acknowledged at two positions, twice in the log, twice on each screen.
    assert_eq!(counts(&answered.end(&["a", "b", "a"])), [0, 4, 0, 0, 0]);
    let after = chat().run(lost.clone()).write(1, "c", 3).write(1, "c", 4).receive(1, 3, "c").receive(2, 3, "c");
    assert_eq!(counts(&after.receive(1, 4, "c").receive(2, 4, "c").end(&["a", "b", "c", "c"])), [0, 4, 0, 0, 0]);
    // Nothing else is taken back.
    assert_eq!(counts(&chat().run(lost).end(&["a"]))[0], 1);
}

#[test]
fn a_key_acknowledged_at_two_positions_is_a_duplicate() {
    let report = chat().write(1, "c", 3).ok(1, "c", 4).end(&["a", "b", "c", "c"]);
    assert!(report.duplicates >= 2, "{:?}", report.violations);
}

#[test]
fn a_log_in_another_order_than_real_time_is_an_inversion() {
    // "c" was acknowledged before "d" was first tried.
    let script = chat().write(1, "c", 4).write(2, "d", 3);
    let script = script.receive(1, 3, "d").receive(2, 3, "d").receive(1, 4, "c").receive(2, 4, "c");
    assert_eq!(counts(&script.end(&["a", "b", "d", "c"])), [0, 0, 1, 0, 0]);
}

#[test]
fn writes_under_way_at_the_same_time_may_come_in_any_order() {
    let script = chat().invoke(1, "c").invoke(2, "d").ok(1, "c", 4).ok(2, "d", 3);
    let script = script.receive(1, 3, "d").receive(2, 3, "d").receive(1, 4, "c").receive(2, 4, "c");
    let report = script.end(&["a", "b", "d", "c"]);
    assert!(report.is_clean(), "{:?}", report.violations);
}

#[test]
fn a_client_that_gets_entries_backwards_is_an_inversion() {
    let script = Script::default().open(1).open(2).write(1, "a", 1).write(2, "b", 2);
    let script = script.receive(1, 1, "a").receive(1, 2, "b").receive(2, 2, "b").receive(2, 1, "a");
    assert_eq!(script.end(&["a", "b"]).inversions, 1);
}

#[test]
fn a_jump_is_a_gap() {
    let script = chat().write(1, "c", 3).write(1, "d", 4).receive(1, 3, "c").receive(1, 4, "d").receive(2, 4, "d");
    assert_eq!(counts(&script.end(&["a", "b", "c", "d"])), [0, 0, 0, 1, 0]);
}

#[test]
fn a_restart_without_a_reason_is_a_gap_and_one_with_a_reason_is_not() {
    let reset = |reason: &str| What::Reset { reason: reason.to_owned(), from: 0 };
    let script = |what| chat().client(1, what).receive(1, 1, "a").receive(1, 2, "b").end(&["a", "b"]);
    assert_eq!(counts(&script(What::Join { from: 0 })), [0, 0, 0, 1, 0]);
    assert_eq!(counts(&script(reset(""))), [0, 0, 0, 1, 0]);
    assert_eq!(counts(&script(reset("diverged"))), [0; 5]);
}

#[test]
fn a_client_that_stays_behind_is_a_gap() {
    let script = chat().write(1, "c", 3).receive(1, 3, "c").log(&["a", "b", "c"]);
    let report = script.finals(&at(2)).report();
    assert_eq!(report.gaps, 2, "{:?}", report.violations);
}

#[test]
fn a_client_that_ends_in_another_log_is_a_gap() {
    let report = chat().log(&["a", "b"]).finals(&At { offset: 2, chain: "other".to_owned() }).report();
    assert_eq!(report.gaps, 2, "{:?}", report.violations);
}

#[test]
fn two_entries_at_one_offset_are_found_unless_the_log_was_replaced() {
    let fork = || {
        let script = chat().invoke(1, "c").receive(1, 3, "c").invoke(2, "d");
        script.client(2, What::Receive(seen(At { offset: 3, chain: "fork".to_owned() }, "d")))
    };
    assert!(fork().log(&["a", "b", "c"]).report().other > 0);
    let forfeit = What::Forfeit { what: Forfeit::Stored };
    let script = fork().run(forfeit).client(2, What::Reset { reason: "diverged".to_owned(), from: 0 });
    let script = script.receive(2, 1, "a").receive(2, 2, "b").receive(2, 3, "c");
    let report = script.end(&["a", "b", "c"]);
    assert!(report.is_clean(), "{:?}", report.violations);
}

#[test]
fn a_promotion_forfeits_what_only_the_primary_had_and_nothing_else() {
    let forfeit = || What::Forfeit { what: Forfeit::Stored };
    let script = |durability| chat().invoke(1, "c").ok_as(1, "c", at(3), durability);
    let report = script(Durability::Stored).run(forfeit()).end(&["a", "b"]);
    assert_eq!((report.lost, report.forfeited), (0, 1), "{:?}", report.violations);
    let report = script(Durability::Replicated).run(forfeit()).end(&["a", "b"]);
    assert_eq!((report.lost, report.forfeited), (1, 0));
    // What was acknowledged after it is no part of it.
    let report = chat().run(forfeit()).invoke(1, "c").ok_as(1, "c", at(3), Durability::Stored).end(&["a", "b"]);
    assert_eq!((report.lost, report.forfeited), (1, 0));
}

#[test]
fn an_emptied_store_forfeits_everything_before() {
    let emptied = What::Forfeit { what: Forfeit::Everything };
    let lost = || What::Reset { reason: "lost".to_owned(), from: 0 };
    let first = At { offset: 1, chain: "n1".to_owned() };
    let script = chat().run(emptied).client(1, lost()).client(2, lost());
    let script = script.invoke(1, "c").ok_as(1, "c", first.clone(), Durability::Stored);
    let script = script.client(1, What::Receive(seen(first.clone(), "c")));
    let script = script.client(2, What::Receive(seen(first.clone(), "c")));
    let script = script.event(None, "tea", What::Kept(seen(first.clone(), "c")));
    let report = script.event(None, "tea", What::Top(first.clone())).finals(&first).report();
    assert!(report.is_clean(), "{:?}", report.violations);
    assert_eq!(report.forfeited, 2);
}

#[test]
fn trimmed_entries_count_as_kept_where_somebody_saw_them() {
    let script = |shown: bool| {
        let script = chat().write(1, "c", 3);
        let script = if shown { script.receive(1, 3, "c").receive(2, 3, "c") } else { script };
        let script = script.invoke(2, "d").ok(2, "d", 4);
        let script = if shown { script.receive(1, 4, "d").receive(2, 4, "d") } else { script };
        let script = script.event(None, "tea", What::Kept(seen(at(4), "d"))).event(None, "tea", What::Top(at(4)));
        script.report()
    };
    let report = script(true);
    assert!(report.is_clean(), "{:?}", report.violations);
    assert_eq!(script(false).lost, 1);
}

#[test]
fn a_log_with_a_hole_or_another_end_than_it_says_is_found() {
    let kept = |script: Script, offset: u64, key: &str| script.event(None, "tea", What::Kept(seen(at(offset), key)));
    let script = kept(kept(chat().write(1, "c", 3), 1, "a"), 3, "c").event(None, "tea", What::Top(at(3)));
    assert!(script.report().gaps > 0);
    let script = kept(kept(chat(), 1, "a"), 2, "b").event(None, "tea", What::Top(at(5)));
    assert!(script.report().gaps > 0);
    assert!(chat().report().other > 0, "a log that was not read");
}

#[test]
fn a_member_who_is_silently_behind_is_found_unless_something_was_broken() {
    let late = |script: Script| {
        let script = script.later(BEHIND_AT_MOST_MS + 1_000).receive(2, 3, "c");
        script.end(&["a", "b", "c"])
    };
    let written = || chat().write(1, "c", 3).receive(1, 3, "c");
    assert_eq!(late(written()).other, 1);
    // That nothing is broken at the end explains nothing.
    let healed = written().later(BEHIND_AT_MOST_MS + 1_000).run(What::Heal).receive(2, 3, "c");
    assert_eq!(healed.end(&["a", "b", "c"]).other, 1);
    let broken = written().run(What::Fault { what: "cut".to_owned() }).later(BEHIND_AT_MOST_MS).run(What::Heal);
    let report = broken.later(2_000).receive(2, 3, "c").end(&["a", "b", "c"]);
    assert!(report.is_clean(), "{:?}", report.violations);
    // Somebody who was away gets it on return.
    let away = written().later(BEHIND_AT_MOST_MS + 1_000).client(2, What::Resume).receive(2, 3, "c");
    let report = away.end(&["a", "b", "c"]);
    assert!(report.is_clean(), "{:?}", report.violations);
}

#[test]
fn a_write_without_an_outcome_in_the_end_is_found() {
    let script = chat().invoke(1, "c").log(&["a", "b"]).finals(&at(2));
    assert_eq!(script.client(1, What::Unsettled { key: "c".to_owned() }).report().other, 1);
}

#[test]
fn members_that_nobody_agrees_on_are_found() {
    let members = vec!["u1".to_owned()];
    let script = chat().log(&["a", "b"]).finals(&at(2));
    let script = script.client(2, What::Final { user: "u2".to_owned(), at: at(2), members: Some(members) });
    assert_eq!(script.report().other, 1);
}

#[test]
fn a_leave_told_twice_and_ones_own_join_are_found() {
    let left = || What::Left { user: "u2".to_owned() };
    let joined = |user: &str| What::Joined { user: user.to_owned() };
    let report = chat().client(1, left()).client(1, joined("u2")).client(1, left()).end(&["a", "b"]);
    assert!(report.is_clean(), "{:?}", report.violations);
    assert_eq!(chat().client(1, left()).client(1, left()).end(&["a", "b"]).other, 1);
    assert_eq!(chat().client(1, joined("u1")).end(&["a", "b"]).other, 1);
}

#[test]
fn pauses_and_recoveries_are_measured() {
    let script = chat().run(What::Accepting).later(2_000).write(1, "c", 3);
    let script = script.receive(1, 3, "c").receive(2, 3, "c").run(What::Quiet).later(60_000);
    let report = script.end(&["a", "b", "c"]);
    assert_eq!(report.longest_recovery_ms, Some(2_020));
    assert!((2_000..3_000).contains(&report.longest_pause_ms), "{}", report.longest_pause_ms);
}

#[test]
fn a_history_is_the_same_after_it_was_written_and_read() {
    let history = chat().run(What::Forfeit { what: Forfeit::Everything }).log(&["a", "b"]).finals(&at(2)).history;
    for event in history {
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event, "{line}");
    }
}

/// A Socket.IO client, 3, that signed in at the beginning and saw one message.
fn with_socketio() -> Script {
    let script = chat().client(3, What::Connected).client(3, What::Join { from: 0 });
    script.receive(3, 1, "a")
}

fn confirmed(key: &str) -> What {
    What::Confirmed { key: key.to_owned() }
}

#[test]
fn an_acknowledgement_without_a_position_counts_like_any_other() {
    let told = with_socketio().receive(3, 2, "b").invoke(3, "io-3-1").client(3, confirmed("io-3-1"));
    let report = told.end(&["a", "b"]);
    assert_eq!(counts(&report), [1, 0, 0, 0, 0], "{:?}", report.violations);
    let stored = with_socketio().receive(3, 2, "b").invoke(3, "io-3-1").client(3, confirmed("io-3-1"));
    let stored = [1, 2, 3].into_iter().fold(stored, |script, client| script.receive(client, 3, "io-3-1"));
    let report = stored.end(&["a", "b", "io-3-1"]);
    assert!(report.is_clean(), "{:?}", report.violations);
    assert_eq!((report.acknowledged, report.seen("confirmed")), (3, 1));
    let twice = with_socketio().invoke(3, "io-3-1").client(3, confirmed("io-3-1"));
    assert_eq!(twice.end(&["a", "io-3-1", "io-3-1"]).duplicates, 1);
}

#[test]
fn it_is_worth_what_the_least_one_of_the_run_was_worth() {
    let lost = |script: Script| {
        let script = script.invoke(3, "io-3-1").client(3, confirmed("io-3-1"));
        script.run(What::Forfeit { what: Forfeit::Stored }).receive(3, 2, "b").end(&["a", "b"]).lost
    };
    assert_eq!(lost(with_socketio()), 1);
    let stored = with_socketio().client(1, What::Invoke { key: "a".to_owned() });
    assert_eq!(lost(stored.ok_as(1, "a", at(1), Durability::Stored)), 0);
}

#[test]
fn a_socketio_client_goes_on_where_it_was_without_a_hole_or_a_repeat() {
    let back = || with_socketio().client(3, What::Close { code: 1006 }).client(3, What::Recovered);
    let report = back().receive(3, 2, "b").end(&["a", "b"]);
    assert!(report.is_clean(), "{:?}", report.violations);
    assert_eq!((report.seen("recovered"), report.returns_ms.len()), (1, 1));
    let hole = back().receive(3, 3, "c").write(1, "c", 3).receive(1, 3, "c").receive(2, 3, "c");
    assert_eq!(hole.end(&["a", "b", "c"]).gaps, 1);
    let repeat = back().receive(3, 1, "a").receive(3, 2, "b").end(&["a", "b"]);
    assert_eq!((repeat.inversions, repeat.duplicates), (1, 1), "{:?}", repeat.violations);
}

#[test]
fn a_socketio_client_may_be_lost_only_where_something_was() {
    let back = |script: Script| script.client(3, What::Unrecovered).receive(3, 2, "b").end(&["a", "b"]);
    assert_eq!(back(with_socketio()).gaps, 1);
    let report = back(with_socketio().run(What::Forfeit { what: Forfeit::Stored }));
    assert!(report.is_clean(), "{:?}", report.violations);
}

#[test]
fn whoever_goes_over_to_another_log_without_a_word_is_found() {
    let over = || chat().invoke(2, "x").run(What::Forfeit { what: Forfeit::Stored });
    let other = At { offset: 3, chain: "other".to_owned() };
    let goes = |script: Script| {
        let script = script.client(1, What::Receive(seen(other.clone(), "x"))).write(2, "c", 3).write(2, "d", 4);
        script.receive(2, 3, "c").receive(2, 4, "d")
    };
    let silent = goes(over()).receive(1, 4, "d").end(&["a", "b", "c", "d"]);
    assert_eq!(silent.gaps, 1, "{:?}", silent.violations);
    let told = goes(over()).client(1, What::Reset { reason: "diverged".to_owned(), from: 2 });
    let report = told.receive(1, 3, "c").receive(1, 4, "d").end(&["a", "b", "c", "d"]);
    assert!(report.is_clean(), "{:?}", report.violations);
}

#[test]
fn a_socketio_client_jumps_only_where_its_log_is_gone() {
    let forfeited = || with_socketio().run(What::Forfeit { what: Forfeit::Everything });
    // It was in the log that is there: it must have gone on from there.
    let hole = forfeited().receive(3, 3, "c").write(1, "c", 3).receive(1, 3, "c").receive(2, 3, "c");
    assert_eq!(hole.end(&["a", "b", "c"]).gaps, 1);
    // It saw an entry that another one has taken the place of.
    let other = At { offset: 2, chain: "other".to_owned() };
    let elsewhere = forfeited().invoke(2, "x").client(3, What::Receive(seen(other, "x")));
    let report = elsewhere.receive(3, 2, "b").end(&["a", "b"]);
    assert!(report.is_clean(), "{:?}", report.violations);
}
