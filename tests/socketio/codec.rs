//! The codec, whatever it is given: it never panics, and what it reads is what was written.

use confab::domain::{Limits, RoomId, User, UserId, UserName};
use confab::protocol::engineio::{self, Part};
use confab::protocol::socketio::packet::{self, ATTACHMENTS, Content, Kind, head};
use confab::protocol::socketio::{Pid, Place, Record, Seal, call, event};
use proptest::prelude::*;

/// A seal that anybody could make, which is enough here.
struct Plain;

impl Seal for Plain {
    fn seal(&self, text: &str) -> String {
        format!("{:x}", text.bytes().fold(7u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte))))
    }

    fn is_seal(&self, text: &str, seal: &str) -> bool {
        self.seal(text) == seal
    }
}

/// Texts that are nearly packets.
fn nearly() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "b",
        "-",
        ",",
        "/",
        "/ns,",
        "12",
        "[",
        "]",
        "{",
        "}",
        "\"signin\"",
        ",",
        "\"sendMessage\"",
        "\"updateSocketId\"",
        "{\"user\":",
        "\"room\":",
        "\"pid\":",
        "null",
        "\"é\"",
        "\\u0000",
        "\u{1e}",
        "99999999999999999999",
        "{\"_placeholder\":true,\"num\":0}",
        " ",
        "\"",
        "\\",
    ]);
    prop_oneof![".{0,64}", prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())]
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Zäöü0-9 ]{1,20}".prop_filter("not blank", |name| !name.trim().is_empty())
}

proptest! {
    #[test]
    fn nothing_that_a_client_sends_makes_it_panic(text in nearly()) {
        let _ = engineio::decode(&text);
        let _ = engineio::parts(&text).count();
        let _ = engineio::Request::parse(&text);
        if let Ok((_, attachments)) = call::decode(&text, &Limits::default()) {
            prop_assert!(attachments <= ATTACHMENTS);
        }
        let _ = Pid::parse(&text).and_then(|pid| pid.id(&Plain));
        let room = RoomId::parse("R", 128).unwrap();
        prop_assert_eq!(Place::open(&text, &room, &Plain), None);
        prop_assert_eq!(Record::decode(text.as_bytes(), &Limits::default()), None);
    }

    #[test]
    fn a_packet_that_is_read_is_the_one_that_was_written(
        attachments in 0..=ATTACHMENTS,
        namespace in prop::option::of("[a-z]{1,8}"),
        id in prop::option::of(any::<u64>()),
        argument in any::<String>(),
    ) {
        let namespace = namespace.map_or_else(|| "/".to_owned(), |name| format!("/{name}"));
        let kind = if attachments > 0 { Kind::BinaryEvent } else { Kind::Event };
        let json = serde_json::to_string(&("message", &argument)).unwrap();
        let written = head(kind, attachments, &namespace, id) + &json;
        let packet = packet::decode(written.strip_prefix('4').unwrap()).unwrap();
        prop_assert_eq!(packet.namespace, namespace);
        prop_assert_eq!(packet.attachments, attachments);
        let Content::Event { id: read, args } = packet.content else { panic!("an event") };
        prop_assert_eq!(read, id);
        prop_assert_eq!(args.get(), json);
    }

    #[test]
    fn a_payload_is_read_as_it_was_joined(packets in prop::collection::vec("[^b\u{1e}][^\u{1e}]{0,20}", 1..5), bytes in any::<Vec<u8>>()) {
        let payload = format!("{}\u{1e}{}", packets.join("\u{1e}"), engineio::binary(&bytes));
        let read: Vec<_> = engineio::parts(&payload).map(Result::unwrap).collect();
        let mut expected: Vec<_> = packets.iter().map(|packet| Part::Text(packet)).collect();
        expected.push(Part::Binary(bytes));
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn no_packet_of_the_server_holds_the_separator(user in name(), text in any::<String>(), ack in any::<u64>()) {
        let user = User { id: UserId::parse("u").unwrap(), name: UserName::parse(&user, 64).unwrap() };
        for frame in event::notifications(std::slice::from_ref(&user), &[]).into_iter().chain([event::answer(ack, Some(&text))]) {
            let packet = std::str::from_utf8(&frame).unwrap();
            prop_assert_eq!(engineio::parts(packet).count(), 1);
            prop_assert!(packet::decode(packet.strip_prefix('4').unwrap()).is_ok());
        }
    }

    #[test]
    fn records_and_places_come_back_as_they_went(
        name in name(), room in name(), offset in 0..1u64 << 53, chain in any::<u64>(), at in any::<u64>(), id in any::<u128>(),
    ) {
        let position = confab::domain::Position { offset, chain: confab::domain::Chain::from_bits(chain) };
        let place = Place { position, at };
        let room = RoomId::parse(&room, 128).unwrap();
        let user = User { id: UserId::parse("u").unwrap(), name: UserName::parse(&name, 64).unwrap() };
        let record = Record { user, room: room.clone(), place };
        prop_assert_eq!(Record::decode(&record.encode(), &Limits::default()), Some(record));
        prop_assert_eq!(Place::open(&place.sealed(&room, &Plain), &room, &Plain), Some(place));
        prop_assert_eq!(Pid::parse(Pid::new(id, &Plain).as_str()).and_then(|pid| pid.id(&Plain)), Some(id));
    }
}
