//! What holds for every message.

use confab::domain::{Limits, MAX_OFFSET};
use confab::protocol::native::{decode, objects};
use proptest::prelude::*;

use crate::samples::{any_command, any_event, commands};
use crate::wire::{command_json, event_json, parse_event};

/// What the fuzz target `decode` holds for any frame, too.
fn read_frame(frame: &str) {
    for object in objects(frame) {
        let id = match decode(object, &Limits::default()) {
            Ok(command) => command.id,
            Err(refused) => {
                assert!(refused.message.is_ascii() && refused.message.len() < 120, "{}", refused.message);
                refused.id
            }
        };
        assert!(id.is_none_or(|id| id <= MAX_OFFSET), "{object}");
    }
}

#[test]
fn the_fuzzer_s_corpus_is_read_as_the_fuzzer_expects() {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/decode")).unwrap();
    let read = files.map(|file| read_frame(&std::fs::read_to_string(file.unwrap().path()).unwrap())).count();
    assert!(read > 0);
}

proptest! {
    #[test]
    fn a_command_that_was_written_is_read_as_itself(command in any_command()) {
        let text = command_json(&command).to_string();
        prop_assert_eq!(decode(&text, &Limits::default()), Ok(command));
    }

    #[test]
    fn an_event_that_goes_out_can_be_read_as_itself(event in any_event()) {
        prop_assert_eq!(parse_event(&event_json(&event)), event);
    }

    #[test]
    fn no_text_makes_the_decoder_panic(text in any::<String>()) {
        read_frame(&text);
    }

    #[test]
    fn no_damage_to_a_command_makes_the_decoder_panic(which in any::<prop::sample::Index>(), cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<char>()), 1..6)) {
        let commands = commands();
        let mut text: Vec<char> = command_json(&commands[which.index(commands.len())].1).to_string().chars().collect();
        for (place, c) in cuts {
            let place = place.index(text.len());
            text[place] = c;
        }
        read_frame(&text.into_iter().collect::<String>());
    }

    #[test]
    fn a_refusal_never_repeats_what_the_client_sent(secret in "[a-z]{12}") {
        for text in [
            format!(r#"{{"type":"{secret}"}}"#),
            format!(r#"{{"type":"join","room":"{secret}\u0000"}}"#),
            format!(r#"{{"type":"send","room":["{secret}"]}}"#),
            format!(r#"{{"{secret}":1,"{secret}":"#),
        ] {
            let refused = decode(&text, &Limits::default()).unwrap_err();
            prop_assert!(!refused.message.contains(&secret), "{}", refused.message);
        }
    }
}
