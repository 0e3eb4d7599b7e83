//! Bad messages: each gets its code, and its number where that can be read.

use confab::domain::{Limits, Since};
use confab::protocol::native::{decode, objects};
use confab::protocol::{Code, Request};
use serde_json::json;

use crate::samples;
use crate::wire::command_json;

fn refused(text: &str) -> (Option<u64>, Code) {
    let refused = decode(text, &Limits::default()).expect_err(text);
    (refused.id, refused.code)
}

fn code(text: &str) -> Code {
    refused(text).1
}

#[test]
fn what_is_not_an_object_is_a_bad_message() {
    for text in [
        "",
        "nonsense",
        "1",
        "null",
        "[]",
        "\"hello\"",
        "{",
        "{\"type\":",
        "{}}",
        "[{}]",
        "\u{feff}{}",
        "{\"type\":\"pong\"} x",
        // As many values as a command has fields, in their order: still no object.
        r#"["pong",null,null,null,null,null,null,null,null,null,null,null,null,null,null]"#,
    ] {
        assert_eq!(refused(text), (None, Code::BadMessage), "{text}");
    }
}

#[test]
fn the_number_is_read_from_what_came_before_the_damage() {
    for text in [
        r#"{"id":5,"type":"send","text":"cut o"#,
        r#"{"type":"send","id":5,"room":nonsense}"#,
        r#"{"id":5,"type":"pong"} {"id":6,"type":"pong"}"#,
        r#"{"id":5,"type":"send","room":"r","key":"k","text":"half a pair: \ud83c"}"#,
    ] {
        assert_eq!(refused(text), (Some(5), Code::BadMessage), "{text}");
    }
    // Of two numbers nobody can tell which one is waited for.
    for text in [r#"{"id":5,"id":6,"type":"pong"}"#, r#"{"id":5,"id":5}"#] {
        assert_eq!(refused(text), (None, Code::BadMessage), "{text}");
    }
}

#[test]
fn a_field_of_a_wrong_type_is_named() {
    for (_, command) in samples::commands() {
        let command = command_json(&command);
        for field in command.as_object().unwrap().keys() {
            for wrong in [json!([]), json!([1, "x"]), json!({"x": 1}), json!(-1)] {
                let mut damaged = command.clone();
                damaged[field] = wrong;
                let refused = decode(&damaged.to_string(), &Limits::default()).unwrap_err();
                assert_eq!(refused.code, Code::BadMessage, "{damaged}");
                assert!(refused.message.contains(&format!("`{field}`")), "{damaged}: {}", refused.message);
            }
        }
    }
    let twice = decode(r#"{"type":"join","room":"r","room":"r"}"#, &Limits::default()).unwrap_err();
    assert_eq!(twice.message, "`room` comes twice");
}

#[test]
fn null_is_as_good_as_absent() {
    let bare = decode(r#"{"type":"join","room":"r"}"#, &Limits::default());
    let nulls = r#"{"type":"join","room":"r","id":null,"since":null,"limit":null,"text":null,"on":null}"#;
    assert!(bare.is_ok());
    assert_eq!(decode(nulls, &Limits::default()), bare);
}

#[test]
fn a_frame_is_cut_at_newlines_and_blank_lines_are_nothing() {
    let lines = |frame| objects(frame).collect::<Vec<_>>();
    assert_eq!(lines("{}\n{\"a\":1}\r\n"), ["{}", "{\"a\":1}\r"]);
    assert_eq!(lines("\n\n \t\r\n{}\n"), ["{}"]);
    for blank in ["", "\n", " \r\n\t"] {
        assert!(lines(blank).is_empty(), "{blank:?}");
    }
    assert!(decode("{\"type\":\"pong\"}\r", &Limits::default()).is_ok());
}

#[test]
fn a_position_of_another_log_is_no_syntax_error() {
    for chain in ["", "nonsense", "9F3C000000000029", "9f3c00000000002"] {
        let text = format!(r#"{{"type":"join","room":"r","since":{{"offset":41,"chain":"{chain}"}}}}"#);
        let Request::Join { since, .. } = decode(&text, &Limits::default()).unwrap().request else { panic!("{text}") };
        assert_eq!(since, Some(Since { offset: 41, chain: None }), "{text}");
    }
}

#[test]
fn nesting_without_end_is_refused_without_a_crash() {
    let deep = format!(r#"{{"id":1,"type":"pong","x":{}"#, "[".repeat(10_000));
    assert_eq!(code(&deep), Code::BadMessage);
    // Balanced, in a field nobody knows: it is passed over, without a stack that grows with it.
    let closed = format!(r#"{{"type":"pong","x":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    assert!(decode(&closed, &Limits::default()).is_ok());
    let known = format!(r#"{{"type":"join","room":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(code(&known), Code::BadMessage);
}

#[test]
fn numbers_that_are_no_offsets_are_refused() {
    for number in ["-1", "1.5", "1e400", "18446744073709551616", "9007199254740992", "\"1\"", "true", "{}", "[1]"] {
        for field in ["offset", "before", "target", "reply_to", "id"] {
            let kind = match field {
                "offset" => r#""type":"read""#,
                "before" => r#""type":"history""#,
                "target" => r#""type":"delete","key":"k""#,
                _ => r#""type":"send","key":"k","text":"t""#,
            };
            let text = format!(r#"{{{kind},"room":"r","{field}":{number}}}"#);
            assert_eq!(code(&text), Code::BadMessage, "{text}");
        }
        let text = format!(r#"{{"type":"join","room":"r","since":{{"offset":{number},"chain":""}}}}"#);
        assert_eq!(code(&text), Code::BadMessage, "{text}");
    }
    for text in [
        r#"{"type":"delete","room":"r","key":"k","target":0}"#,
        r#"{"type":"send","room":"r","key":"k","text":"t","reply_to":0}"#,
    ] {
        assert_eq!(code(text), Code::BadMessage, "{text}");
    }
}

#[test]
fn every_missing_field_is_named() {
    for (text, field) in [
        (r#"{"id":5}"#, "type"),
        (r#"{"id":5,"type":"hello"}"#, "name"),
        (r#"{"id":5,"type":"join"}"#, "room"),
        (r#"{"id":5,"type":"leave"}"#, "room"),
        (r#"{"id":5,"type":"history"}"#, "room"),
        (r#"{"id":5,"type":"typing"}"#, "room"),
        (r#"{"id":5,"type":"read","room":"r"}"#, "offset"),
        (r#"{"id":5,"type":"read","offset":1}"#, "room"),
        (r#"{"id":5,"type":"send","key":"k","text":"t"}"#, "room"),
        (r#"{"id":5,"type":"send","room":"r","text":"t"}"#, "key"),
        (r#"{"id":5,"type":"send","room":"r","key":"k"}"#, "text"),
        (r#"{"id":5,"type":"send","room":"r","key":"k","text":null}"#, "text"),
        (r#"{"id":5,"type":"edit","room":"r","key":"k","text":"t"}"#, "target"),
        (r#"{"id":5,"type":"edit","room":"r","key":"k","target":1}"#, "text"),
        (r#"{"id":5,"type":"delete","room":"r","key":"k"}"#, "target"),
        (r#"{"id":5,"type":"react","room":"r","key":"k","target":1,"on":true}"#, "emoji"),
        (r#"{"id":5,"type":"react","room":"r","key":"k","target":1,"emoji":"x"}"#, "on"),
    ] {
        let refused = decode(text, &Limits::default()).unwrap_err();
        assert_eq!((refused.id, refused.code), (Some(5), Code::BadMessage), "{text}");
        assert!(refused.message.contains(&format!("`{field}`")), "{text}: {}", refused.message);
    }
}

#[test]
fn wrong_types_and_double_keys_are_bad_messages_with_their_number() {
    for text in [
        r#"{"id":5,"type":1}"#,
        r#"{"id":5,"type":"join","room":["r"]}"#,
        r#"{"id":5,"type":"join","room":{"name":"r"}}"#,
        r#"{"id":5,"type":"join","room":"r","since":"42"}"#,
        r#"{"id":5,"type":"join","room":"r","since":{"offset":1}}"#,
        r#"{"id":5,"type":"join","room":"r","since":[41,"9f3c000000000029"]}"#,
        r#"{"id":5,"type":"join","room":"r","since":{"offset":1,"chain":7}}"#,
        r#"{"id":5,"type":"join","room":"r","since":{"offset":1,"offset":1,"chain":""}}"#,
        r#"{"id":5,"type":"react","room":"r","key":"k","target":1,"emoji":"x","on":"yes"}"#,
        r#"{"id":5,"type":"pong","type":"pong"}"#,
        r#"{"id":5,"type":"join","room":"r","room":"s"}"#,
    ] {
        assert_eq!(refused(text), (Some(5), Code::BadMessage), "{text}");
    }
}

#[test]
fn each_field_has_its_code() {
    let long = "x".repeat(200);
    for (text, expected) in [
        (r#"{"type":"shout"}"#.to_owned(), Code::UnknownType),
        (r#"{"type":""}"#.to_owned(), Code::UnknownType),
        (r#"{"type":"hello","name":" "}"#.to_owned(), Code::BadName),
        (r#"{"type":"hello","name":"a\nb"}"#.to_owned(), Code::BadName),
        (format!(r#"{{"type":"hello","name":"{long}"}}"#), Code::TooLong),
        (r#"{"type":"join","room":""}"#.to_owned(), Code::BadRoom),
        (r#"{"type":"join","room":"a\u202eb"}"#.to_owned(), Code::BadRoom),
        (format!(r#"{{"type":"join","room":"{long}"}}"#), Code::TooLong),
        (r#"{"type":"send","room":"r","key":"k","text":" \n"}"#.to_owned(), Code::BadText),
        (r#"{"type":"send","room":"r","key":"k","text":"a\u0000"}"#.to_owned(), Code::BadText),
        (format!(r#"{{"type":"send","room":"r","key":"k","text":"{}"}}"#, "x".repeat(4_001)), Code::TooLong),
        (format!(r#"{{"type":"send","room":"r","key":"k","text":"{}"}}"#, "日".repeat(6_000)), Code::TooLong),
        (r#"{"type":"send","room":"r","key":"","text":"t"}"#.to_owned(), Code::BadKey),
        (r#"{"type":"send","room":"r","key":"é","text":"t"}"#.to_owned(), Code::BadKey),
        (format!(r#"{{"type":"send","room":"r","key":"{}","text":"t"}}"#, "k".repeat(65)), Code::BadKey),
        (r#"{"type":"react","room":"r","key":"k","target":1,"emoji":"","on":true}"#.to_owned(), Code::BadEmoji),
        (r#"{"type":"react","room":"r","key":"k","target":1,"emoji":"a b","on":true}"#.to_owned(), Code::BadEmoji),
        (format!(r#"{{"type":"react","room":"r","key":"k","target":1,"emoji":"{long}","on":true}}"#), Code::TooLong),
    ] {
        assert_eq!(code(&text), expected, "{text}");
    }
}

#[test]
fn every_limit_is_held_to_one() {
    let limits = Limits::default();
    let fits = |text: String| assert!(decode(&text, &limits).is_ok(), "{}", text.len());
    let is_too_long = |text: String| assert_eq!(decode(&text, &limits).unwrap_err().code, Code::TooLong);
    let hello = |n| format!(r#"{{"type":"hello","name":"{}"}}"#, "é".repeat(n));
    let join = |n| format!(r#"{{"type":"join","room":"{}"}}"#, "é".repeat(n));
    let send = |text: String| format!(r#"{{"type":"send","room":"r","key":"k","text":"{text}"}}"#);
    let react =
        |n| format!(r#"{{"type":"react","room":"r","key":"k","target":1,"emoji":"{}","on":true}}"#, "x".repeat(n));
    fits(hello(limits.name_chars));
    is_too_long(hello(limits.name_chars + 1));
    fits(join(limits.room_chars));
    is_too_long(join(limits.room_chars + 1));
    fits(send("é".repeat(limits.text_chars)));
    is_too_long(send("é".repeat(limits.text_chars + 1)));
    let wide = Limits { text_chars: 100_000, ..Limits::default() };
    assert!(decode(&send("x".repeat(wide.text_bytes)), &wide).is_ok());
    assert_eq!(decode(&send("x".repeat(wide.text_bytes + 1)), &wide).unwrap_err().code, Code::TooLong);
    fits(react(limits.emoji_bytes));
    is_too_long(react(limits.emoji_bytes + 1));
}

#[test]
fn fields_a_client_must_not_set_are_ignored() {
    let plain = decode(r#"{"type":"send","room":"r","key":"k","text":"t"}"#, &Limits::default()).unwrap();
    let pushy = r#"{"type":"send","room":"r","key":"k","text":"t","at":1,"user":{"id":"root"},"chain":"x","offset":9}"#;
    assert_eq!(decode(pushy, &Limits::default()).unwrap(), plain);
}

#[test]
fn rooms_that_look_like_keys_or_patterns_are_just_names() {
    for room in ["*", "chat:*", "{tag}", "confab:room", "__proto__", "a/b?c#d", "../x", "\\u05e9\\u05dc", "🍵"] {
        let text = format!(r#"{{"type":"join","room":"{room}"}}"#);
        assert!(decode(&text, &Limits::default()).is_ok(), "{text}");
    }
}

#[test]
fn limits_of_pages_are_clamped() {
    for (asked, given) in [("0", 1), ("1", 1), ("200", 200), ("201", 200), ("18446744073709551615", 200)] {
        let text = format!(r#"{{"type":"join","room":"r","limit":{asked}}}"#);
        let command = decode(&text, &Limits::default()).unwrap();
        assert!(matches!(command.request, confab::protocol::Request::Join { limit, .. } if limit == given), "{text}");
    }
}
