//! How fast a user may send.

use confab::domain::Limits;
use confab::store::Refusal;

use crate::harness::*;

/// One send in 250 ms, three at once.
fn slow() -> Limits {
    Limits { sends_per_second: 4, send_burst: 3, ..Limits::default() }
}

fn wait(refusal: Refusal) -> u64 {
    match refusal {
        Refusal::RateLimited { retry_ms } => retry_ms,
        other => panic!("not rate limited but {other:?}"),
    }
}

pub async fn a_burst_is_free_and_then_sends_come_at_the_rate<H: Harness>() {
    let harness = H::start(slow()).await;
    let (store, _feed) = harness.attach().await;
    fill(&store, &room("r"), 3).await;
    for _ in 0..3 {
        let retry_ms = wait(refusal(&store, &room("r"), new("ada", message("x"))).await);
        assert!((1..=250).contains(&retry_ms), "{retry_ms}");
        harness.advance(retry_ms).await;
        fill(&store, &room("r"), 1).await;
    }
    harness.advance(750).await;
    fill(&store, &room("r"), 3).await;
    wait(refusal(&store, &room("r"), new("ada", message("x"))).await);
}

pub async fn a_refusal_costs_nothing<H: Harness>() {
    let harness = H::start(slow()).await;
    let (store, _feed) = harness.attach().await;
    for _ in 0..10 {
        // Within the rate, but without a target.
        assert_eq!(refusal(&store, &room("r"), new("ada", deletion(99))).await, Refusal::NotFound);
    }
    fill(&store, &room("r"), 3).await;
    let mut retry_ms = 0;
    for _ in 0..10 {
        retry_ms = wait(refusal(&store, &room("r"), new("ada", message("x"))).await);
        assert!((1..=250).contains(&retry_ms), "{retry_ms}");
    }
    harness.advance(retry_ms).await;
    fill(&store, &room("r"), 1).await;
}

pub async fn a_rate_is_by_room_and_user<H: Harness>() {
    let harness = H::start(slow()).await;
    let ((store, _feed), (other, _other_feed)) = (harness.attach().await, harness.attach().await);
    fill(&store, &room("a"), 3).await;
    fill(&store, &room("b"), 3).await;
    write(&store, &room("a"), new("bob", message("x"))).await;
    // All instances count together.
    wait(refusal(&other, &room("a"), new("ada", message("x"))).await);
}
