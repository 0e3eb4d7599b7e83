//! The session alone: packets and times in, actions out.

use std::sync::Arc;

use confab::domain::{Limits, Position, RoomId, User, UserId, UserName};
use confab::protocol::socketio::{Call, Pid, Place, Purpose, Record, Said};
use confab::protocol::{Close, Goaway};
use confab::session::Timing;
use confab::session::socketio::{Action, Join, JoinEnd, Recalled, Session, WAITING_CALLS};

const TIMING: Timing = Timing {
    hello_timeout_ms: 10_000,
    heartbeat_ms: 25_000,
    heartbeat_timeout_ms: 10_000,
    rotate_after_ms: None,
    rotate_in_ms: 0,
    store_away_limit_ms: 300_000,
};

const RENEW_AFTER_MS: u64 = 20 * 60 * 1_000;

/// A session and what it has decided.
struct Driven {
    session: Session,
    now: u64,
}

impl Driven {
    fn new() -> Self {
        Self::with(TIMING)
    }

    fn with(timing: Timing) -> Self {
        let guest = UserId::parse("guest").unwrap();
        Self { session: Session::new(Arc::new(Limits::default()), timing, RENEW_AFTER_MS, guest, true, 0), now: 0 }
    }

    fn connected() -> Self {
        let mut driven = Self::new();
        assert_eq!(driven.says(Said::Connect { pid: None, offset: None }), [Action::Connected]);
        driven
    }

    /// In a room.
    fn member() -> Self {
        let mut driven = Self::connected();
        let join = driven.joins(sign_in("Ada", "R"));
        assert_eq!(driven.ends(&join, JoinEnd::Joined), []);
        driven
    }

    fn says(&mut self, said: Said) -> Vec<Action> {
        let mut actions = Vec::new();
        self.session.receive(said, self.now, &mut actions);
        actions
    }

    fn calls(&mut self, call: Call) -> Vec<Action> {
        self.says(Said::Call { call: Ok(call), ack: Some(1) })
    }

    fn joins(&mut self, call: Call) -> Join {
        match self.calls(call).pop() {
            Some(Action::Join(join)) => join,
            other => panic!("{other:?}"),
        }
    }

    fn ends(&mut self, join: &Join, end: JoinEnd) -> Vec<Action> {
        let mut actions = Vec::new();
        self.session.join_ended(join, end, self.now, &mut actions);
        actions
    }

    fn ticks(&mut self, at: u64) -> Vec<Action> {
        self.now = at;
        let mut actions = Vec::new();
        self.session.tick(at, &mut actions);
        actions
    }
}

fn user(name: &str) -> UserName {
    UserName::parse(name, 64).unwrap()
}

fn room(name: &str) -> RoomId {
    RoomId::parse(name, 128).unwrap()
}

fn sign_in(name: &str, to: &str) -> Call {
    Call::SignIn { user: user(name), room: room(to) }
}

fn update(name: &str, to: &str) -> Call {
    Call::UpdateSocketId { user: user(name), room: room(to) }
}

fn message(text: &str) -> Call {
    Call::SendMessage { text: text.into() }
}

fn answer(error: &'static str) -> Action {
    Action::Answer { ack: 1, error: Some(error.into()) }
}

fn record() -> Record {
    let user = User { id: UserId::parse("before").unwrap(), name: user("Ada") };
    Record { user, room: room("R"), place: Place { position: Position { offset: 7, ..Position::ZERO }, at: 7 } }
}

#[test]
fn a_second_sign_in_leaves_the_first_room_once_it_is_in_the_second() {
    let mut driven = Driven::member();
    let join = driven.joins(sign_in("Ada", "S"));
    let actions = driven.ends(&join, JoinEnd::Joined);
    assert!(matches!(&actions[..], [Action::Leave { room: left, .. }] if *left == room("R")), "{actions:?}");
    assert!(matches!(&driven.calls(message("x"))[..], [Action::Write { room: to, .. }] if *to == room("S")));
}

#[test]
fn a_second_sign_in_that_is_refused_leaves_the_client_where_it_was() {
    for end in [JoinEnd::Refused("no".into()), JoinEnd::Unavailable] {
        let mut driven = Driven::member();
        let join = driven.joins(sign_in("Ada", "S"));
        let actions = driven.ends(&join, end);
        assert!(matches!(&actions[..], [Action::Answer { error: Some(_), .. }]), "{actions:?}");
        assert!(matches!(&driven.calls(message("x"))[..], [Action::Write { room: to, .. }] if *to == room("R")));
    }
}

#[test]
fn the_same_room_under_another_name_is_left_before_it_is_joined() {
    let mut driven = Driven::member();
    let actions = driven.calls(sign_in("Eve", "R"));
    assert!(matches!(&actions[..], [Action::Leave { .. }, Action::Join(_)]), "{actions:?}");
}

#[test]
fn the_same_sign_in_again_only_joins() {
    let mut driven = Driven::member();
    assert!(matches!(&driven.calls(sign_in("Ada", "R"))[..], [Action::Join(_)]));
}

#[test]
fn calls_wait_for_a_join_in_their_order_and_a_message_does_not_overtake_a_sign_in() {
    let mut driven = Driven::connected();
    let first = driven.joins(sign_in("Ada", "R"));
    assert_eq!(driven.calls(message("to R")), []);
    assert_eq!(driven.calls(sign_in("Ada", "S")), []);
    assert_eq!(driven.calls(message("to S")), []);
    let actions = driven.ends(&first, JoinEnd::Joined);
    let [Action::Write { room: to, .. }, Action::Join(second)] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(*to, room("R"));
    let second = second.clone();
    let actions = driven.ends(&second, JoinEnd::Joined);
    let [Action::Leave { .. }, Action::Write { room: to, text, .. }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((to, &**text), (&room("S"), "to S"));
}

#[test]
fn a_message_behind_a_sign_in_that_is_refused_is_refused_too() {
    let mut driven = Driven::connected();
    let join = driven.joins(sign_in("Ada", "R"));
    assert_eq!(driven.calls(message("x")), []);
    assert_eq!(driven.ends(&join, JoinEnd::Refused("no".into())), [answer("no"), answer("User session not found.")]);
}

#[test]
fn a_client_that_disconnects_in_a_join_leaves_both_rooms() {
    let mut driven = Driven::member();
    driven.joins(sign_in("Ada", "S"));
    let actions = driven.says(Said::Disconnect);
    let [Action::Abandon, Action::Leave { room: first, .. }, Action::Leave { room: second, .. }] = &actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!((first, second), (&room("R"), &room("S")));
}

#[test]
fn not_more_calls_than_the_limit_wait() {
    let mut driven = Driven::connected();
    driven.joins(sign_in("Ada", "R"));
    for _ in 0..WAITING_CALLS {
        assert_eq!(driven.calls(sign_in("Ada", "S")), []);
    }
    assert_eq!(driven.calls(sign_in("Ada", "S")), [answer("Too many events wait for a room. Slow down.")]);
}

#[test]
fn a_refused_sign_in_is_answered_and_is_nowhere() {
    let mut driven = Driven::connected();
    let join = driven.joins(sign_in("Ada", "R"));
    let actions = driven.ends(&join, JoinEnd::Refused("no".into()));
    assert_eq!(actions, [answer("no")]);
    assert_eq!(driven.calls(message("x")), [answer("User session not found.")]);
}

#[test]
fn update_socket_id_of_where_it_is_does_nothing() {
    let mut driven = Driven::member();
    assert_eq!(driven.calls(update("Ada", "R")), [Action::Answer { ack: 1, error: None }]);
}

#[test]
fn a_record_that_is_found_is_resumed_and_its_identity_goes_on() {
    let mut driven = Driven::new();
    let pid = Pid::parse("a.b").unwrap();
    let recall = Action::Recall { pid: pid.clone(), offset: None };
    assert_eq!(driven.says(Said::Connect { pid: Some(pid), offset: None }), [recall]);
    let mut actions = Vec::new();
    driven.session.recalled(Recalled::Found(record()), 0, &mut actions);
    let [Action::Join(join)] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((join.purpose, &join.user, join.since), (Purpose::Resume, &record().user, Some(record().place)));
    let join = join.clone();
    assert_eq!(driven.ends(&join, JoinEnd::Joined), []);
    assert!(matches!(&driven.calls(message("on"))[..], [Action::Write { user, .. }] if *user == record().user));
}

#[test]
fn who_is_too_fast_for_ten_seconds_is_closed() {
    let mut driven = Driven::member();
    let mut closed_at = None;
    while closed_at.is_none() && driven.now < 30_000 {
        driven.now += 1;
        let actions = driven.calls(message("x"));
        closed_at = actions.contains(&Action::Close(Close::Budget, Some(10_000))).then_some(driven.now);
    }
    let closed_at = closed_at.expect("a thousand events a second are too many");
    assert!((10_000..11_000).contains(&closed_at), "{closed_at}");
}

#[test]
fn readings_of_records_count_as_events() {
    let mut driven = Driven::new();
    for _ in 0..=Limits::default().command_burst {
        match &driven.says(Said::Connect { pid: Pid::parse("a.b"), offset: None })[..] {
            [Action::Recall { .. }] => driven.says(Said::Disconnect),
            last => return assert_eq!(last, [Action::Close(Close::Budget, Some(10_000))]),
        };
    }
    panic!("more readings than events are allowed");
}

#[test]
fn where_the_log_does_not_continue_update_socket_id_reads_from_the_old_place() {
    let mut driven = Driven::new();
    driven.says(Said::Connect { pid: Pid::parse("a.b"), offset: None });
    let mut actions = Vec::new();
    driven.session.recalled(Recalled::Found(record()), 0, &mut actions);
    let Some(Action::Join(join)) = actions.pop() else { panic!("a join") };
    assert_eq!(driven.ends(&join, JoinEnd::NotContinued), [Action::Connected]);
    let join = driven.joins(update("Ada", "R"));
    assert_eq!((&join.user, join.since), (&record().user, Some(record().place)));
}

#[test]
fn while_the_store_is_away_who_must_come_back_is_closed_and_others_are_told() {
    let mut driven = Driven::new();
    driven.says(Said::Connect { pid: Pid::parse("a.b"), offset: None });
    let mut actions = Vec::new();
    driven.session.recalled(Recalled::Unavailable, 0, &mut actions);
    assert!(matches!(&actions[..], [Action::Close(Close::StoreAway, Some(_))]));
    let mut driven = Driven::member();
    driven.session.reachable(false, 0);
    let error = "The store can't be reached. Try again.";
    assert_eq!(driven.calls(message("x")), [Action::NotStored { ack: Some(1), error }]);
    assert_eq!(driven.calls(sign_in("Ada", "S")), [answer(error)]);
    assert!(matches!(&driven.calls(update("Ada", "S"))[..], [Action::Close(Close::StoreAway, _)]));
    assert!(matches!(&driven.ticks(300_000)[..], [Action::Close(Close::StoreAway, _)]));
}

#[test]
fn deadlines_are_met() {
    let mut driven = Driven::new();
    assert_eq!(driven.session.due(), 10_000);
    assert_eq!(driven.ticks(10_000), [Action::Close(Close::NoHello, None)]);
    let mut driven = Driven::member();
    assert_eq!(driven.ticks(25_000), [Action::Ping]);
    driven.session.pong();
    assert_eq!(driven.ticks(50_000), [Action::Ping]);
    assert_eq!(driven.ticks(60_000), [Action::Close(Close::Heartbeat, None)]);
    let mut driven = Driven::with(Timing { rotate_after_ms: Some(5_000), ..TIMING });
    assert_eq!(driven.ticks(5_000), [Action::Close(Close::Rotate, None)]);
    let mut driven = Driven::member();
    driven.session.go_away(Goaway::Drain, 300, 0);
    assert_eq!(driven.session.due(), 300);
    assert_eq!(driven.ticks(300), [Action::Close(Close::Drain, None)]);
}

#[test]
fn a_record_is_renewed_and_calls_wait_for_it() {
    let mut driven = Driven::member();
    driven.session.pong();
    let actions = driven.ticks(RENEW_AFTER_MS);
    assert!(actions.contains(&Action::Renew), "{actions:?}");
    assert_eq!(driven.calls(sign_in("Ada", "S")), []);
    let mut actions = Vec::new();
    driven.session.renewed(RENEW_AFTER_MS, &mut actions);
    assert!(matches!(&actions[..], [Action::Join(_)]));
}

#[test]
fn a_client_that_disconnects_leaves_at_once_and_drops_what_is_under_way() {
    let mut driven = Driven::member();
    assert!(matches!(&driven.says(Said::Disconnect)[..], [Action::Abandon, Action::Leave { .. }]));
    assert_eq!(driven.says(Said::Disconnect), [Action::Close(Close::Protocol, None)]);
}
