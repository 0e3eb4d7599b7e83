//! Writes that fail through no fault of their writers, counted wherever they are refused.

use serde_json::json;

use crate::redis::RedisServer;
use crate::scrape::{Instance, value};
use crate::socketio::Socketio;

const WRITES: &str = "confab_acknowledgement_duration_seconds_count";

fn outcome(outcome: &str) -> String {
    outcome_by("native", outcome)
}

fn outcome_by(protocol: &str, outcome: &str) -> String {
    format!("{WRITES}{{protocol=\"{protocol}\",outcome=\"{outcome}\"}}")
}

#[tokio::test]
async fn a_write_that_is_refused_because_the_store_is_away_counts_as_failed() {
    let redis = RedisServer::start().await;
    let instance = Instance::start(&[("CONFAB__STORE__URL", &redis.url())]);
    let mut client = instance.served.sign_in().await;
    client.ask(json!({"type": "join", "id": 1, "room": "lobby"})).await;
    client.ask(json!({"type": "send", "id": 2, "room": "lobby", "key": "k1", "text": "stored"})).await;
    let before = instance.until(&outcome("acknowledged"), |count| count == 1.0).await;
    assert_eq!(value(&before, &outcome("failed")), 0.0);
    let mut sue = Socketio::connect(&instance).await;
    sue.say("420[\"signin\",{\"user\":\"Sue\",\"room\":\"lobby\"}]").await;
    sue.hear("430").await;

    redis.stop();
    // By then every session refuses at once, without asking the store.
    instance.until("confab_store_reachable", |reachable| reachable == 0.0).await;
    for id in 3..6 {
        let told =
            client.say(json!({"type": "send", "id": id, "room": "lobby", "key": "k2", "text": "not stored"})).await;
        assert_eq!((&told["type"], &told["code"]), (&json!("error"), &json!("unavailable")), "{told}");
    }
    let after = instance.until(&outcome("failed"), |count| count == 3.0).await;
    assert_eq!(value(&after, &outcome("refused")), 0.0);

    // By Socket.IO's door with and without a wish for an answer.
    sue.say("42[\"sendMessage\",\"not stored\"]").await;
    sue.say("421[\"sendMessage\",\"not stored\"]").await;
    sue.hear("431[\"The store can't be reached").await;
    let after = instance.until(&outcome_by("socketio", "failed"), |count| count == 2.0).await;
    assert_eq!(value(&after, &outcome_by("socketio", "refused")), 0.0);

    // What isn't a write isn't counted as one.
    let told = client.say(json!({"type": "join", "id": 6, "room": "elsewhere"})).await;
    assert_eq!(told["code"], "unavailable");
    assert_eq!(value(&instance.metrics().await, &outcome("failed")), 3.0);
}
