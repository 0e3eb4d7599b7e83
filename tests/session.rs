//! The session as a pure state machine: commands and times in, actions out.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

use std::sync::Arc;

use confab::domain::{Body, Key, Limits, RoomId, Text, User, UserId, UserName};
use confab::protocol::{Close, Code, Command, Event, Goaway, Refused, Request};
use confab::session::{
    Action, BAD_MESSAGES_IN_A_ROW, GOAWAY_LINGER_MS, JoinEnd, OVER_BUDGET_LIMIT_MS, Session, Timing,
};

const TIMING: Timing = Timing {
    hello_timeout_ms: 10_000,
    heartbeat_ms: 25_000,
    heartbeat_timeout_ms: 10_000,
    rotate_after_ms: None,
    rotate_in_ms: 4_000,
    store_away_limit_ms: 300_000,
};

struct Driver {
    session: Session,
    now: u64,
}

impl Driver {
    fn with(limits: Limits, timing: Timing) -> Self {
        Self { session: Session::new(Arc::new(limits), timing, true, 0), now: 0 }
    }

    fn new() -> Self {
        Self::with(Limits::default(), TIMING)
    }

    fn signed_in() -> Self {
        let mut driver = Self::new();
        driver.sign_in();
        driver
    }

    fn sign_in(&mut self) {
        let actions = self.send(Request::Hello { name: name("Ada"), token: None });
        assert!(matches!(actions[..], [Action::SignIn { .. }]), "{actions:?}");
        assert!(self.session.signed_in(user(), self.now));
    }

    fn receive(&mut self, decoded: Result<Command, Refused>) -> Vec<Action> {
        let mut out = Vec::new();
        self.session.receive(decoded, self.now, &mut out);
        out
    }

    fn send(&mut self, request: Request) -> Vec<Action> {
        self.receive(Ok(Command { id: Some(1), request }))
    }

    fn join(&mut self, room: &str) -> Vec<Action> {
        self.send(Request::Join { room: room_id(room), since: None, limit: 50 })
    }

    fn join_ended(&mut self, room: &str, may_create: bool, end: JoinEnd) -> Vec<Action> {
        let mut out = Vec::new();
        self.session.join_ended(&room_id(room), may_create, end, &mut out);
        out
    }

    fn write(&mut self, room: &str) -> Vec<Action> {
        let body = Body::Message { text: Text::Kept("hi".into()), reply_to: None };
        self.send(Request::Write { room: room_id(room), key: Key::parse("k").unwrap(), body, trace: None })
    }

    fn tick_at(&mut self, now: u64) -> Vec<Action> {
        self.now = now;
        let mut out = Vec::new();
        self.session.tick(now, &mut out);
        out
    }
}

fn room_id(name: &str) -> RoomId {
    RoomId::parse(name, 128).unwrap()
}

fn name(name: &str) -> UserName {
    UserName::parse(name, 64).unwrap()
}

fn user() -> User {
    User { id: UserId::parse("u1").unwrap(), name: name("Ada") }
}

fn code(actions: &[Action]) -> Option<Code> {
    match actions {
        [Action::Reply(Event::Error(refused)), ..] => Some(refused.code),
        _ => None,
    }
}

#[test]
fn everything_before_hello_is_refused() {
    let mut driver = Driver::new();
    assert_eq!(code(&driver.join("r")), Some(Code::NotSignedIn));
    assert_eq!(code(&driver.send(Request::Pong)), Some(Code::NotSignedIn));
    assert_eq!(code(&driver.send(Request::Typing { room: room_id("r") })), Some(Code::NotSignedIn));
}

#[test]
fn without_hello_the_socket_is_closed_with_4005() {
    let mut driver = Driver::new();
    assert_eq!(driver.session.due(), 10_000);
    assert_eq!(driver.tick_at(9_999), []);
    assert_eq!(driver.tick_at(10_000), [Action::Close(Close::NoHello, None)]);
}

#[test]
fn a_ping_without_pong_ends_with_4003_and_any_pong_in_time_does_not() {
    let mut driver = Driver::signed_in();
    assert_eq!(driver.tick_at(25_000), [Action::Reply(Event::Ping)]);
    driver.now = 30_000;
    assert_eq!(driver.send(Request::Pong), []);
    assert_eq!(driver.tick_at(35_000), []);
    assert_eq!(driver.tick_at(50_000), [Action::Reply(Event::Ping)]);
    driver.now = 59_999;
    driver.send(Request::Leave { room: room_id("no pong, only noise") });
    assert_eq!(driver.tick_at(60_000), [Action::Close(Close::Heartbeat, None)]);
}

#[test]
fn commands_need_their_room() {
    let mut driver = Driver::signed_in();
    assert_eq!(code(&driver.write("r")), Some(Code::NotJoined));
    assert_eq!(code(&driver.send(Request::Leave { room: room_id("r") })), Some(Code::NotJoined));
    assert_eq!(
        code(&driver.send(Request::History { room: room_id("r"), before: None, limit: 1 })),
        Some(Code::NotJoined)
    );
    driver.join("r");
    assert!(matches!(driver.write("r")[..], [Action::Write { .. }]), "a send may follow its join in one frame");
}

#[test]
fn one_room_too_many_is_refused_and_leaving_makes_place() {
    let limits = Limits { rooms_per_connection: 2, ..Limits::default() };
    let mut driver = Driver::with(limits, TIMING);
    driver.sign_in();
    for room in ["a", "b"] {
        assert!(matches!(driver.join(room)[..], [Action::Join(_)]));
        driver.join_ended(room, true, JoinEnd::Joined);
    }
    assert_eq!(code(&driver.join("c")), Some(Code::TooManyRooms));
    assert!(matches!(driver.join("a")[..], [Action::Join(_)]), "a joined room may be joined again");
    driver.join_ended("a", true, JoinEnd::Joined);
    let left = driver.send(Request::Leave { room: room_id("a") });
    assert!(matches!(left[..], [Action::Leave { .. }, Action::Reply(Event::Left { id: Some(1), .. })]), "{left:?}");
    assert!(matches!(driver.join("c")[..], [Action::Join(_)]));
}

#[test]
fn a_refused_join_frees_its_place_but_not_that_of_an_earlier_one() {
    let mut driver = Driver::signed_in();
    driver.join("r");
    driver.join_ended("r", true, JoinEnd::Refused);
    assert_eq!(code(&driver.write("r")), Some(Code::NotJoined));
    driver.join("r");
    driver.join_ended("r", true, JoinEnd::Joined);
    driver.join("r");
    driver.join_ended("r", true, JoinEnd::Refused);
    assert!(matches!(driver.write("r")[..], [Action::Write { .. }]), "the first join still holds");
}

#[test]
fn a_leave_waits_for_the_join_before_it() {
    let mut driver = Driver::signed_in();
    driver.join("r");
    assert_eq!(driver.send(Request::Leave { room: room_id("r") }), []);
    assert_eq!(code(&driver.write("r")), Some(Code::NotJoined));
    let ended = driver.join_ended("r", true, JoinEnd::Joined);
    assert!(matches!(ended[..], [Action::Leave { .. }, Action::Reply(Event::Left { .. })]), "{ended:?}");
    assert_eq!(driver.session.rooms().count(), 0);
}

#[test]
fn a_join_behind_a_waiting_leave_stays() {
    let mut driver = Driver::signed_in();
    driver.join("r");
    driver.send(Request::Leave { room: room_id("r") });
    let again = driver.join("r");
    assert!(matches!(again[..], [Action::Reply(Event::Left { .. }), Action::Join(_)]), "{again:?}");
    driver.join_ended("r", true, JoinEnd::Joined);
    driver.join_ended("r", true, JoinEnd::Joined);
    assert!(matches!(driver.write("r")[..], [Action::Write { .. }]));
}

#[test]
fn new_rooms_are_counted_even_when_joined_in_one_frame() {
    let limits = Limits { new_rooms_per_minute: 2, ..Limits::default() };
    let mut driver = Driver::with(limits, TIMING);
    driver.sign_in();
    let allowed: Vec<bool> = ["a", "b", "c"]
        .iter()
        .map(|room| match &driver.join(room)[..] {
            [Action::Join(join)] => join.may_create,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(allowed, [true, true, false]);
    assert!(driver.session.new_room_retry_ms(0) > 0);
    driver.join_ended("a", true, JoinEnd::Joined);
    assert!(matches!(&driver.join("d")[..], [Action::Join(join)] if join.may_create), "room a was there: given back");
}

#[test]
fn over_the_command_budget_is_refused_and_ends_with_4013_after_ten_seconds() {
    let limits = Limits { commands_per_second: 10, command_burst: 5, ..Limits::default() };
    let mut driver = Driver::with(limits, TIMING);
    driver.sign_in();
    let mut refused_at = None;
    for step in 0.. {
        driver.now = step * 10;
        let actions = driver.send(Request::Pong);
        match code(&actions) {
            Some(Code::RateLimited) => {
                refused_at.get_or_insert(driver.now);
            }
            other => assert_eq!(other, None),
        }
        if let Some(Action::Close(close, retry_ms)) = actions.last() {
            assert_eq!((*close, retry_ms.is_some()), (Close::Budget, true));
            assert_eq!(driver.now - refused_at.unwrap(), OVER_BUDGET_LIMIT_MS);
            return;
        }
        assert!(driver.now < 20_000, "the flood was never ended");
    }
}

#[test]
fn a_burst_now_and_then_is_only_refused() {
    let limits = Limits { commands_per_second: 10, command_burst: 5, ..Limits::default() };
    let mut driver = Driver::with(limits, TIMING);
    driver.sign_in();
    for second in 0..30 {
        driver.now = second * 2_000;
        for _ in 0..8 {
            let actions = driver.send(Request::Pong);
            assert!(!actions.iter().any(|action| matches!(action, Action::Close(..))), "at {}", driver.now);
        }
    }
}

#[test]
fn ten_bad_messages_in_a_row_end_with_4500() {
    let bad = || Err(Refused::new(None, Code::BadMessage, "not JSON"));
    let mut driver = Driver::signed_in();
    for _ in 1..BAD_MESSAGES_IN_A_ROW {
        assert_eq!(code(&driver.receive(bad())), Some(Code::BadMessage));
    }
    driver.send(Request::Pong);
    for _ in 1..BAD_MESSAGES_IN_A_ROW {
        assert_eq!(driver.receive(bad()).len(), 1);
    }
    assert!(matches!(driver.receive(bad())[..], [_, Action::Close(Close::BadMessages, None)]));
}

#[test]
fn while_the_store_is_away_what_needs_it_is_refused_at_once() {
    let mut driver = Driver::signed_in();
    driver.join("r");
    driver.join_ended("r", true, JoinEnd::Joined);
    let mut out = Vec::new();
    driver.session.reachable(false, 0, &mut out);
    driver.session.reachable(false, 1, &mut out);
    assert_eq!(out, [Action::Reply(Event::Degraded { on: true })], "told once");
    for actions in [
        driver.write("r"),
        driver.join("s"),
        driver.send(Request::History { room: room_id("r"), before: None, limit: 1 }),
    ] {
        assert!(
            matches!(&actions[..], [Action::Reply(Event::Error(refused))]
            if refused.code == Code::Unavailable && refused.retry_ms.is_some()),
            "{actions:?}"
        );
    }
    assert!(matches!(driver.send(Request::Leave { room: room_id("r") })[0], Action::Leave { .. }), "leave works");
    assert_eq!(driver.send(Request::Pong), []);
    out.clear();
    driver.session.reachable(true, 5, &mut out);
    assert_eq!(out, [Action::Reply(Event::Degraded { on: false })]);
    assert!(matches!(driver.join("r")[..], [Action::Join(_)]));
}

#[test]
fn with_the_store_away_too_long_the_socket_is_closed_with_4009() {
    let mut driver = Driver::with(Limits::default(), Timing { heartbeat_ms: 1_000_000, ..TIMING });
    driver.sign_in();
    let mut out = Vec::new();
    driver.session.reachable(false, 1_000, &mut out);
    assert_eq!(driver.tick_at(300_999), []);
    assert_eq!(driver.tick_at(301_000), [Action::Close(Close::StoreAway, None)]);
}

#[test]
fn rotation_says_goaway_then_closes_with_4001() {
    let mut driver = Driver::with(Limits::default(), Timing { rotate_after_ms: Some(20_000), ..TIMING });
    driver.sign_in();
    assert_eq!(driver.tick_at(20_000), [Action::Reply(Event::Goaway { in_ms: 4_000, reason: Goaway::Rotate })]);
    driver.tick_at(25_000);
    driver.send(Request::Pong);
    assert_eq!(driver.tick_at(24_000 + GOAWAY_LINGER_MS), [Action::Close(Close::Rotate, None)]);
}

#[test]
fn a_drain_overtakes_a_rotation_that_would_come_later_and_no_other() {
    let mut driver = Driver::with(Limits::default(), Timing { rotate_after_ms: Some(20_000), ..TIMING });
    driver.sign_in();
    driver.tick_at(20_000);
    let mut out = Vec::new();
    driver.session.go_away(Goaway::Drain, 5_000, 20_000, &mut out);
    assert_eq!(out, [], "the rotation ends first");
    driver.session.go_away(Goaway::Drain, 1_000, 20_000, &mut out);
    assert_eq!(out, [Action::Reply(Event::Goaway { in_ms: 1_000, reason: Goaway::Drain })]);
    assert_eq!(driver.tick_at(23_000), [Action::Close(Close::Drain, None)]);
}

#[test]
fn a_second_hello_signs_in_again_and_the_newest_name_counts() {
    let mut driver = Driver::signed_in();
    assert!(matches!(driver.send(Request::Hello { name: name("Eve"), token: None })[..], [Action::SignIn { .. }]));
    assert!(!driver.session.signed_in(User { name: name("Eve"), ..user() }, driver.now));
    driver.join("r");
    match &driver.write("r")[..] {
        [Action::Write { draft, .. }] => assert_eq!(draft.user.name, name("Eve")),
        other => panic!("{other:?}"),
    }
}
