//! The chat, over real sockets, as `docs/protocol.md` promises it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

mod common;

use std::collections::HashMap;
use std::time::Duration;

use common::{Raw, TEXT, TestApp};
use serde_json::{Value, json};
use tokio::time::timeout;

/// Sends a command with a number of its own and returns its reply, dropping pushes.
async fn ask(client: &mut Raw, mut command: Value) -> Value {
    command["id"] = json!(99);
    client.say(&command).await;
    loop {
        let object = client.hear().await;
        if object["id"] == 99 {
            return object;
        }
    }
}

async fn send(client: &mut Raw, room: &str, key: &str, text: &str) -> Value {
    let sent = ask(client, json!({"type": "send", "room": room, "key": key, "text": text})).await;
    assert_eq!(sent["type"], "sent", "{sent}");
    sent
}

async fn join(client: &mut Raw, room: &str, since: &Value) -> Value {
    let joined = ask(client, json!({"type": "join", "room": room, "since": since})).await;
    assert_eq!(joined["type"], "joined", "{joined}");
    joined
}

fn offsets(entries: &Value) -> Vec<u64> {
    entries.as_array().unwrap().iter().map(|entry| entry["offset"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_message_reaches_everybody_and_its_sender_once_it_is_stored() {
    let app = TestApp::start().await;
    let (mut ada, mut eve) = (app.member("Ada", "tea").await, app.member("Eve", "tea").await);
    ada.say(&json!({"type": "send", "id": 3, "room": "tea", "key": "k1", "text": "hi <b>"})).await;
    let pushed = eve.hear_type("message").await;
    assert_eq!(
        (&pushed["offset"], &pushed["text"], &pushed["user"]["name"]),
        (&json!(1), &json!("hi <b>"), &json!("Ada"))
    );
    let mut seen = [ada.hear().await, ada.hear().await, ada.hear().await];
    seen.sort_by_key(|object| object["type"].to_string());
    let kinds: Vec<_> = seen.iter().map(|object| object["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["message", "presence", "sent"]);
    assert_eq!(seen[0], pushed, "the sender's own push is everybody's");
    assert_eq!(seen[2]["position"], json!({"offset": 1, "chain": pushed["chain"]}));
    assert_eq!((&seen[2]["durability"], &seen[2]["duplicate"]), (&json!("memory"), &json!(false)));
}

#[tokio::test]
async fn a_retry_is_answered_with_the_first_position_and_makes_no_second_message() {
    let app = TestApp::start().await;
    let mut ada = app.member("Ada", "tea").await;
    let first = send(&mut ada, "tea", "k", "once").await;
    let again = send(&mut ada, "tea", "k", "once").await;
    assert_eq!((&again["position"], &again["duplicate"]), (&first["position"], &json!(true)));
    let other = ask(&mut ada, json!({"type": "send", "room": "tea", "key": "k", "text": "other"})).await;
    assert_eq!((&other["code"], &other["position"]), (&json!("key_conflict"), &first["position"]));
    let page = ask(&mut ada, json!({"type": "history", "room": "tea"})).await;
    assert_eq!(offsets(&page["entries"]), [1]);
}

#[tokio::test]
async fn whoever_comes_back_gets_what_was_missed_and_nothing_else() {
    let app = TestApp::start().await;
    let mut ada = app.member("Ada", "tea").await;
    let mut positions = Vec::new();
    for number in 0..5 {
        positions.push(send(&mut ada, "tea", &format!("k{number}"), "text").await["position"].clone());
    }
    let mut eve = app.signed_in("Eve").await;
    let joined = join(&mut eve, "tea", &positions[1]).await;
    assert_eq!((&joined["recovered"], &joined["more"]), (&json!(true), &json!(false)));
    assert_eq!(offsets(&joined["entries"]), [3, 4, 5]);
    assert_eq!(joined["position"], positions[4]);
    let again = join(&mut eve, "tea", &positions[4]).await;
    assert_eq!((&again["recovered"], offsets(&again["entries"])), (&json!(true), vec![]));
    let from_nothing = join(&mut eve, "tea", &json!({"offset": 0, "chain": ""})).await;
    assert_eq!((&from_nothing["recovered"], offsets(&from_nothing["entries"])), (&json!(true), vec![1, 2, 3, 4, 5]));
}

#[tokio::test]
async fn a_second_join_reads_the_room_afresh_and_doubles_nothing() {
    let app = TestApp::start().await;
    let mut ada = app.member("Ada", "tea").await;
    let mut eve = app.member("Eve", "tea").await;
    let first = send(&mut eve, "tea", "k1", "one").await;
    send(&mut eve, "tea", "k2", "two").await;
    let again = join(&mut ada, "tea", &first["position"]).await;
    assert_eq!((offsets(&again["entries"]), &again["member_count"]), (vec![2], &json!(2)));
    send(&mut eve, "tea", "k3", "three").await;
    send(&mut eve, "tea", "k4", "four").await;
    assert_eq!([ada.hear().await["offset"].clone(), ada.hear().await["offset"].clone()], [json!(3), json!(4)]);
    assert_eq!(ask(&mut ada, json!({"type": "leave", "room": "tea"})).await["type"], "left");
    let gone = eve.hear_type("presence").await;
    assert_eq!((&gone["left"][0]["name"], &gone["member_count"]), (&json!("Ada"), &json!(1)), "one leave is enough");
    send(&mut eve, "tea", "k5", "five").await;
    let refused = ask(&mut ada, json!({"type": "leave", "room": "tea"})).await;
    assert_eq!(refused["code"], "not_joined");
    ada.say(&json!({"type": "pong", "id": 1})).await;
    ada.say(&json!({"type": "leave", "id": 5, "room": "elsewhere"})).await;
    assert_eq!(ada.hear().await["id"], 5, "nothing of the room comes after the leave");
}

#[tokio::test]
async fn a_position_of_another_log_or_of_the_future_says_so_and_brings_the_newest_page() {
    let app = TestApp::start().await;
    let mut ada = app.member("Ada", "tea").await;
    for number in 0..3 {
        send(&mut ada, "tea", &format!("k{number}"), "text").await;
    }
    for (since, reason) in [
        (json!({"offset": 2, "chain": "0123456789abcdef"}), "diverged"),
        (json!({"offset": 2, "chain": "not a chain"}), "diverged"),
        (json!({"offset": 9, "chain": "0123456789abcdef"}), "lost"),
        (json!({"offset": 9_007_199_254_740_991_u64, "chain": ""}), "lost"),
    ] {
        let joined = join(&mut ada, "tea", &since).await;
        assert_eq!((&joined["recovered"], &joined["reason"]), (&json!(false), &json!(reason)), "{since}");
        assert_eq!(offsets(&joined["entries"]), [1, 2, 3]);
    }
}

#[tokio::test]
async fn entries_that_are_no_longer_kept_are_announced_as_trimmed() {
    let app = TestApp::with(&[("LIMITS__HISTORY_ENTRIES", "10"), ("LIMITS__SEND_BURST", "1000")]).await;
    let mut ada = app.member("Ada", "tea").await;
    let first = send(&mut ada, "tea", "k", "text").await["position"].clone();
    for number in 0..150 {
        send(&mut ada, "tea", &format!("k{number}"), "text").await;
    }
    let joined = join(&mut ada, "tea", &first).await;
    assert_eq!((&joined["recovered"], &joined["reason"]), (&json!(false), &json!("trimmed")));
    let oldest = joined["oldest"].as_u64().unwrap();
    assert!((41..=142).contains(&oldest), "trimming is lazy, up to 100 entries: {oldest}");
    let trimmed = join(&mut ada, "tea", &json!({"offset": 0, "chain": ""})).await;
    assert_eq!(trimmed["reason"], "trimmed");
}

#[tokio::test]
async fn a_long_resume_goes_on_as_pushes_before_anything_newer() {
    let app = TestApp::with(&[
        ("LIMITS__COMMANDS_PER_SECOND", "1000000"),
        ("LIMITS__COMMAND_BURST", "1000000"),
        ("LIMITS__SEND_BURST", "1000"),
    ])
    .await;
    let mut ada = app.member("Ada", "tea").await;
    let first = send(&mut ada, "tea", "first", "text").await["position"].clone();
    for number in 0..950 {
        ada.say(&json!({"type": "send", "room": "tea", "key": format!("k{number}"), "text": "x".repeat(300)})).await;
    }
    while ada.hear_type("sent").await["position"]["offset"] != 951 {}
    let mut eve = app.signed_in("Eve").await;
    let joined = join(&mut eve, "tea", &first).await;
    assert_eq!((&joined["recovered"], &joined["more"]), (&json!(true), &json!(true)));
    ada.say(&json!({"type": "send", "room": "tea", "key": "newest", "text": "newest"})).await;
    let mut at = joined["position"]["offset"].as_u64().unwrap();
    assert_eq!(offsets(&joined["entries"]), (2..=at).collect::<Vec<_>>());
    while at < 952 {
        let pushed = eve.hear_type("message").await;
        at += 1;
        assert_eq!(pushed["offset"], json!(at));
    }
}

#[tokio::test]
async fn whoever_comes_back_catches_up_even_if_a_page_is_larger_than_the_outbox() {
    let settings = [("LIMITS__OUTBOX_BYTES", "8192"), ("LIMITS__PAGE_BYTES", "32768"), ("LIMITS__SEND_BURST", "1000")];
    let app = TestApp::with(&settings).await;
    let mut ada = app.member("Ada", "tea").await;
    let start = send(&mut ada, "tea", "k0", "first").await["position"].clone();
    let text = "x".repeat(3_000);
    for n in 1..=40 {
        send(&mut ada, "tea", &format!("k{n}"), &text).await;
    }
    // A reader that is behind by pages may be closed for it, but each time it has come further.
    let (mut since, mut attempts) = (start, 0);
    while since["offset"] != 41 {
        attempts += 1;
        assert!(attempts <= 41, "stuck at {since}");
        let mut eve = app.signed_in("Eve").await;
        let joined = join(&mut eve, "tea", &since).await;
        let page = joined["entries"].as_array().unwrap();
        let last = page.last().expect("a page brings something");
        since = json!({"offset": last["offset"], "chain": last["chain"]});
    }
}

#[tokio::test]
async fn edits_and_deletions_withdraw_the_old_text_for_everybody() {
    let app = TestApp::start().await;
    let (mut ada, mut eve) = (app.member("Ada", "tea").await, app.member("Eve", "tea").await);
    send(&mut ada, "tea", "k1", "first words").await;
    ask(&mut ada, json!({"type": "edit", "room": "tea", "key": "k2", "target": 1, "text": "second words"})).await;
    let edited = eve.hear_type("edited").await;
    assert_eq!((&edited["target"], &edited["text"]), (&json!(1), &json!("second words")));
    ask(&mut eve, json!({"type": "react", "room": "tea", "key": "k3", "target": 1, "emoji": "👍", "on": true})).await;
    assert_eq!(ada.hear_type("reacted").await["emoji"], "👍");
    ask(&mut ada, json!({"type": "delete", "room": "tea", "key": "k4", "target": 1})).await;
    assert_eq!(eve.hear_type("deleted").await["target"], 1);
    let page = ask(&mut eve, json!({"type": "history", "room": "tea"})).await;
    assert_eq!(offsets(&page["entries"]), [1, 2, 3, 4]);
    assert!(!page.to_string().contains("words"), "{page}");
    assert_eq!((&page["entries"][0]["deleted"], &page["entries"][1]["deleted"]), (&json!(true), &json!(true)));
    assert_eq!(page["entries"][0]["text_sha"].as_str().unwrap().len(), 40);
    let joined = join(&mut eve, "tea", &json!({"offset": 0, "chain": ""})).await;
    assert!(!joined.to_string().contains("words"), "{joined}");
}

#[tokio::test]
async fn only_the_author_changes_a_message_and_only_one_that_is_there() {
    let app = TestApp::start().await;
    let (mut ada, mut eve) = (app.member("Ada", "tea").await, app.member("Eve", "tea").await);
    send(&mut ada, "tea", "k1", "mine").await;
    for command in [
        json!({"type": "edit", "room": "tea", "key": "e", "target": 1, "text": "yours"}),
        json!({"type": "delete", "room": "tea", "key": "d", "target": 1}),
    ] {
        assert_eq!(ask(&mut eve, command).await["code"], "forbidden");
    }
    ask(&mut ada, json!({"type": "delete", "room": "tea", "key": "k2", "target": 1})).await;
    for target in [1, 2, 3, 9_007_199_254_740_991_u64] {
        let react = json!({"type": "react", "room": "tea", "key": "r", "target": target, "emoji": "x", "on": true});
        assert_eq!(ask(&mut eve, react).await["code"], "not_found", "{target}");
    }
}

#[tokio::test]
async fn history_goes_back_page_by_page() {
    let app = TestApp::start().await;
    let mut ada = app.member("Ada", "tea").await;
    for number in 0..7 {
        send(&mut ada, "tea", &format!("k{number}"), "text").await;
    }
    let newest = ask(&mut ada, json!({"type": "history", "room": "tea", "limit": 3})).await;
    assert_eq!((offsets(&newest["entries"]), &newest["more"]), (vec![5, 6, 7], &json!(true)));
    let older = ask(&mut ada, json!({"type": "history", "room": "tea", "before": 5, "limit": 3})).await;
    assert_eq!((offsets(&older["entries"]), &older["more"]), (vec![2, 3, 4], &json!(true)));
    let oldest = ask(&mut ada, json!({"type": "history", "room": "tea", "before": 2, "limit": 3})).await;
    assert_eq!((offsets(&oldest["entries"]), &oldest["more"], &oldest["oldest"]), (vec![1], &json!(false), &json!(1)));
    let none = ask(&mut ada, json!({"type": "history", "room": "tea", "before": 0})).await;
    assert_eq!((offsets(&none["entries"]), &none["more"]), (vec![], &json!(false)));
}

#[tokio::test]
async fn several_commands_in_a_frame_are_carried_out_in_order() {
    let app = TestApp::start().await;
    let mut ada = app.websocket().await;
    let commands = [
        json!({"type": "hello", "id": 1, "name": "Ada"}),
        json!({"type": "join", "id": 2, "room": "tea"}),
        json!({"type": "send", "id": 3, "room": "tea", "key": "a", "text": "one"}),
        json!({"type": "send", "id": 4, "room": "tea", "key": "b", "text": "two"}),
        json!({"type": "leave", "id": 5, "room": "tea"}),
    ];
    let frame = commands.map(|command| command.to_string()).join("\n");
    ada.frame(TEXT, format!("\n{frame}\n\n")).await;
    let mut replies = Vec::new();
    while replies.len() < 5 {
        let object = ada.hear().await;
        if !object["id"].is_null() {
            replies.push((object["id"].as_u64().unwrap(), object["type"].as_str().unwrap().to_owned()));
        }
    }
    replies.sort();
    let expected = [(1, "welcome"), (2, "joined"), (3, "sent"), (4, "sent"), (5, "left")];
    assert_eq!(replies, expected.map(|(id, kind)| (id, kind.to_owned())));
}

#[tokio::test]
async fn two_tabs_are_one_member_and_share_what_was_read() {
    let app = TestApp::with(&[("PRESENCE__GRACE_MS", "100")]).await;
    let mut eve = app.member("Eve", "tea").await;
    send(&mut eve, "tea", "k", "read me").await;
    let mut first = app.websocket().await;
    let welcome = ask(&mut first, json!({"type": "hello", "name": "Ada"})).await;
    let joined = join(&mut first, "tea", &Value::Null).await;
    assert_eq!((&joined["member_count"], &joined["read"]), (&json!(2), &json!(0)));
    assert_eq!(eve.hear_type("presence").await["joined"][0]["id"], welcome["user"]["id"]);
    let mut second = app.websocket().await;
    let hello = json!({"type": "hello", "name": "Ada", "token": welcome["token"]});
    assert_eq!(ask(&mut second, hello).await["user"], welcome["user"]);
    assert_eq!(join(&mut second, "tea", &Value::Null).await["member_count"], 2);
    first.say(&json!({"type": "read", "room": "tea", "offset": 77})).await;
    assert_eq!(second.hear_type("read").await["offset"], 1, "no further than there is something");
    drop(first);
    send(&mut eve, "tea", "k2", "still two of us").await;
    assert_eq!(second.hear_type("message").await["text"], "still two of us");
    let again = join(&mut second, "tea", &Value::Null).await;
    assert_eq!((&again["member_count"], &again["read"]), (&json!(2), &json!(1)));
    drop(second);
    assert_eq!(eve.hear_type("presence").await["left"][0]["id"], welcome["user"]["id"]);
}

#[tokio::test]
async fn a_leave_is_announced_at_once_and_a_reconnection_not_at_all() {
    let app = TestApp::with(&[("PRESENCE__GRACE_MS", "60000")]).await;
    let mut eve = app.member("Eve", "tea").await;
    let mut ada = app.websocket().await;
    let welcome = ask(&mut ada, json!({"type": "hello", "name": "Ada"})).await;
    join(&mut ada, "tea", &Value::Null).await;
    eve.hear_type("presence").await;
    drop(ada);
    let mut ada = app.websocket().await;
    ask(&mut ada, json!({"type": "hello", "name": "Ada", "token": welcome["token"]})).await;
    join(&mut ada, "tea", &Value::Null).await;
    ask(&mut ada, json!({"type": "leave", "room": "tea"})).await;
    let presence = eve.hear().await;
    assert_eq!(presence["left"][0]["id"], welcome["user"]["id"], "the first thing heard since: {presence}");
    assert_eq!((&presence["joined"], &presence["member_count"]), (&json!([]), &json!(1)));
}

#[tokio::test]
async fn large_rooms_are_counted_and_listed_again_when_they_are_small() {
    let app = TestApp::with(&[
        ("PRESENCE__LIST_UP_TO", "3"),
        ("PRESENCE__LIST_AGAIN_AT", "2"),
        ("PRESENCE__COUNT_INTERVAL_MS", "100"),
        ("PRESENCE__GRACE_MS", "100"),
    ])
    .await;
    let mut ada = app.member("Ada", "tea").await;
    let others = [app.member("B", "tea").await, app.member("C", "tea").await, app.member("D", "tea").await];
    let counted = loop {
        let presence = ada.hear_type("presence").await;
        if presence["member_count"] == 4 {
            break presence;
        }
    };
    assert_eq!((&counted["joined"], counted.get("members")), (&json!([]), None));
    let mut late = app.signed_in("E").await;
    let joined = join(&mut late, "tea", &Value::Null).await;
    assert_eq!(joined.get("members"), None);
    drop(others);
    let listed = loop {
        let presence = ada.hear_type("presence").await;
        if presence.get("members").is_some() {
            break presence;
        }
    };
    let names: Vec<_> = listed["members"].as_array().unwrap().iter().map(|user| user["name"].clone()).collect();
    assert!(names.len() == 2 && names.contains(&json!("Ada")) && names.contains(&json!("E")), "{names:?}");
}

#[tokio::test]
async fn a_second_hello_renames_everywhere_and_another_s_token_is_refused() {
    let app = TestApp::start().await;
    let (mut eve, mut ada) = (app.member("Eve", "tea").await, app.websocket().await);
    let welcome = ask(&mut ada, json!({"type": "hello", "name": "Ada"})).await;
    join(&mut ada, "tea", &Value::Null).await;
    let mut tab = app.websocket().await;
    ask(&mut tab, json!({"type": "hello", "name": "Ada", "token": welcome["token"]})).await;
    join(&mut tab, "tea", &Value::Null).await;
    eve.hear_type("presence").await;
    let renamed = ask(&mut ada, json!({"type": "hello", "name": "Countess"})).await;
    assert_eq!((&renamed["user"]["id"], &renamed["user"]["name"]), (&welcome["user"]["id"], &json!("Countess")));
    let presence = eve.hear_type("presence").await;
    assert_eq!((&presence["joined"][0]["name"], &presence["member_count"]), (&json!("Countess"), &json!(2)));
    send(&mut tab, "tea", "k", "from the other tab").await;
    assert_eq!(eve.hear_type("message").await["user"]["name"], "Countess");
    let mut other = app.websocket().await;
    let stranger = ask(&mut other, json!({"type": "hello", "name": "Mallory"})).await;
    let stolen = ask(&mut ada, json!({"type": "hello", "name": "Ada", "token": stranger["token"]})).await;
    assert_eq!(stolen["code"], "forbidden");
    let forged = ask(&mut ada, json!({"type": "hello", "name": "Ada", "token": "a.b.c"})).await;
    assert_eq!(forged["code"], "bad_token");
}

#[tokio::test]
async fn of_names_taken_in_quick_succession_the_last_one_stays_everywhere() {
    let [one, two] = TestApp::each([&[], &[]]).await;
    let rooms = ["tea", "coffee", "cocoa", "milk"];
    let (mut eve, mut ada, mut tab) = (one.signed_in("Eve").await, one.websocket().await, two.websocket().await);
    let welcome = ask(&mut ada, json!({"type": "hello", "name": "Ada"})).await;
    ask(&mut tab, json!({"type": "hello", "name": "Ada", "token": welcome["token"]})).await;
    for (number, room) in rooms.into_iter().enumerate() {
        join(&mut eve, room, &Value::Null).await;
        // Two rooms only here, one only there, one in both.
        if number < 3 {
            join(&mut ada, room, &Value::Null).await;
        }
        if number >= 2 {
            join(&mut tab, room, &Value::Null).await;
        }
    }
    // None waits for the answer before, so that each is heard from the rooms while later ones are in force.
    let names: Vec<_> = (0..10).map(|number| format!("Countess {number}")).collect();
    for name in &names {
        ada.say(&json!({"type": "hello", "name": name})).await;
    }
    let mut last = HashMap::new();
    let quiet = async {
        while let Ok(object) = timeout(Duration::from_secs(1), eve.hear()).await {
            for user in object["joined"].as_array().into_iter().flatten() {
                last.insert(object["room"].as_str().unwrap().to_owned(), user["name"].clone());
            }
        }
    };
    timeout(Duration::from_secs(20), quiet).await.expect("the rooms agree on a name, and nobody says it again");
    assert_eq!(last, rooms.into_iter().map(|room| (room.to_owned(), json!(names.last()))).collect());
    send(&mut tab, "milk", "k", "from the other tab").await;
    assert_eq!(eve.hear_type("message").await["user"]["name"], json!(names.last()));
}

#[tokio::test]
async fn typing_reaches_the_others_and_not_too_often() {
    let app = TestApp::start().await;
    let (mut ada, mut eve) = (app.member("Ada", "tea").await, app.member("Eve", "tea").await);
    for _ in 0..5 {
        ada.say(&json!({"type": "typing", "room": "tea", "id": 7})).await;
    }
    send(&mut ada, "tea", "k", "done").await;
    assert_eq!(eve.hear_type("typing").await["user"]["name"], "Ada");
    assert_eq!(eve.hear().await["type"], "message", "four of five were dropped");
}

#[tokio::test]
async fn sends_over_the_rate_are_refused_and_told_when() {
    let app = TestApp::with(&[("LIMITS__SENDS_PER_SECOND", "1"), ("LIMITS__SEND_BURST", "2")]).await;
    let mut ada = app.member("Ada", "tea").await;
    let mut refused = 0;
    for number in 0..6 {
        let command = json!({"type": "send", "room": "tea", "key": format!("k{number}"), "text": "text"});
        let reply = ask(&mut ada, command).await;
        if reply["type"] == "error" {
            assert_eq!(reply["code"], "rate_limited");
            assert!((1..=1_000).contains(&reply["retry_ms"].as_u64().unwrap()), "{reply}");
            refused += 1;
        }
    }
    assert!((3..=4).contains(&refused), "{refused} of 6 refused");
}

#[tokio::test]
async fn new_rooms_and_rooms_at_a_time_are_bounded() {
    let app = TestApp::with(&[("LIMITS__NEW_ROOMS_PER_MINUTE", "3"), ("LIMITS__ROOMS_PER_CONNECTION", "5")]).await;
    let mut ada = app.signed_in("Ada").await;
    for number in 0..3 {
        join(&mut ada, &format!("mine {number}"), &Value::Null).await;
    }
    let refused = ask(&mut ada, json!({"type": "join", "room": "one too many"})).await;
    assert_eq!(refused["code"], "overloaded");
    assert!(refused["retry_ms"].as_u64().unwrap() > 0);
    let mut eve = app.signed_in("Eve").await;
    for number in 0..3 {
        join(&mut eve, &format!("hers {number}"), &Value::Null).await;
    }
    // Rooms that are there already cost nothing of the budget.
    for number in 0..2 {
        join(&mut ada, &format!("hers {number}"), &Value::Null).await;
    }
    assert_eq!(ask(&mut ada, json!({"type": "join", "room": "hers 2"})).await["code"], "too_many_rooms");
}

#[tokio::test]
async fn who_answers_pings_stays_and_who_does_not_is_closed_with_4003() {
    let app = TestApp::with(&[("HEARTBEAT_MS", "1000"), ("HEARTBEAT_TIMEOUT_MS", "500")]).await;
    let (mut quiet, mut polite) = (app.signed_in("Quiet").await, app.signed_in("Polite").await);
    let mut answered = 0;
    let closed = quiet.closed_with();
    let answering = async {
        while answered < 3 {
            let frame = polite.next_frame().await.expect("it goes on");
            if String::from_utf8_lossy(&frame.payload).contains("\"ping\"") {
                polite.say(&json!({"type": "pong"})).await;
                answered += 1;
            }
        }
    };
    let (code, ()) = tokio::join!(closed, answering);
    assert_eq!(code, 4003);
    assert_eq!(ask(&mut polite, json!({"type": "hello", "name": "Polite"})).await["type"], "welcome");
}
