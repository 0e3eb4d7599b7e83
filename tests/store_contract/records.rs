//! Records that are kept for a time.

use confab::domain::Limits;
use confab::store::{RECORD_BYTES, RecordId};

use crate::harness::*;

const ID: RecordId = RecordId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
const LONG: u64 = 7_200_000;

pub async fn a_record_is_read_on_every_instance<H: Harness>() {
    let harness = H::start(fast()).await;
    let ((one, _feed_one), (two, _feed_two)) = (harness.attach().await, harness.attach().await);
    assert_eq!(two.kept(ID).await.unwrap(), None);
    one.keep(ID, b"first".to_vec(), LONG).await.unwrap();
    assert_eq!(two.kept(ID).await.unwrap().as_deref(), Some(&b"first"[..]));
    assert_eq!(two.kept(RecordId(7)).await.unwrap(), None);
}

pub async fn the_newest_record_stands<H: Harness>() {
    let harness = H::start(fast()).await;
    let (store, _feed) = harness.attach().await;
    for record in [&b"first"[..], b"", b"\0\n\xff", &[7; RECORD_BYTES]] {
        store.keep(ID, record.to_vec(), LONG).await.unwrap();
        assert_eq!(store.kept(ID).await.unwrap().as_deref(), Some(record));
    }
}

pub async fn a_record_ends_with_its_time_and_can_be_renewed<H: Harness>() {
    let harness = H::start(Limits::default()).await;
    let (store, _feed) = harness.attach().await;
    store.keep(ID, b"renewed".to_vec(), 1_000).await.unwrap();
    store.keep(RecordId(1), b"ends".to_vec(), 1_000).await.unwrap();
    store.keep(ID, b"renewed".to_vec(), LONG).await.unwrap();
    harness.advance(1_100).await;
    // What is written meanwhile is when an embedded store forgets.
    fill(&store, &room("r"), 3).await;
    assert_eq!(store.kept(RecordId(1)).await.unwrap(), None);
    assert_eq!(store.kept(ID).await.unwrap().as_deref(), Some(&b"renewed"[..]));
}

pub async fn a_record_outlives_its_instance<H: Harness>() {
    let harness = H::start(fast()).await;
    let (one, feed) = harness.attach().await;
    one.keep(ID, b"mine".to_vec(), LONG).await.unwrap();
    drop((one, feed));
    let (two, _feed) = harness.attach().await;
    assert_eq!(two.kept(ID).await.unwrap().as_deref(), Some(&b"mine"[..]));
}
