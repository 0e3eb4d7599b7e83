//! The contract of a store, sentence by sentence. Whatever implements `Store` must pass it: a harness starts the store,
//! attaches instances and lets time pass.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

#[path = "common/clock.rs"]
mod clock;
#[path = "store_contract/embedded.rs"]
mod embedded;
#[path = "store_contract/feeds.rs"]
mod feeds;
#[path = "store_contract/harness.rs"]
mod harness;
#[path = "store_contract/idle.rs"]
mod idle;
#[path = "store_contract/keys.rs"]
mod keys;
#[path = "store_contract/log.rs"]
mod log;
#[path = "store_contract/marks.rs"]
mod marks;
#[path = "store_contract/pages.rs"]
mod pages;
#[path = "store_contract/positions.rs"]
mod positions;
#[path = "store_contract/presence.rs"]
mod presence;
#[path = "store_contract/rates.rs"]
mod rates;
#[path = "store_contract/records.rs"]
mod records;
#[path = "store_contract/redis.rs"]
mod redis;
#[path = "common/redis.rs"]
mod redis_server;
#[path = "store_contract/targets.rs"]
mod targets;
#[path = "store_contract/trimming.rs"]
mod trimming;
#[path = "store_contract/withdrawn.rs"]
mod withdrawn;

/// Runs every sentence of the contract against one kind of store.
macro_rules! contract {
    ($store:ident, $harness:ty) => {
        mod $store {
            contract!(
                $harness,
                log::offsets_are_dense_and_chains_can_be_recomputed_by_hand,
                log::a_new_log_starts_from_a_random_chain,
                log::times_never_go_back,
                log::appends_are_stored_in_the_order_of_the_calls,
                log::a_dropped_future_does_not_undo_the_append,
                log::instances_write_one_log,
                keys::the_same_key_and_content_answers_for_the_first_attempt,
                keys::the_same_key_with_other_content_is_a_conflict,
                keys::a_key_is_compared_by_the_body_alone,
                keys::keys_are_by_room_and_user,
                keys::a_key_is_free_again_after_the_window_counted_from_the_first_attempt,
                keys::a_key_answers_for_an_entry_that_was_trimmed_or_withdrawn,
                keys::a_refused_attempt_leaves_the_key_free,
                keys::answers_by_key_are_not_rate_limited,
                keys::retries_at_the_same_time_on_two_instances_make_one_entry,
                keys::a_repeated_attempt_is_not_published_again,
                rates::a_burst_is_free_and_then_sends_come_at_the_rate,
                rates::a_refusal_costs_nothing,
                rates::a_rate_is_by_room_and_user,
                targets::only_a_kept_message_is_a_target,
                targets::a_deleted_message_is_no_target,
                targets::a_trimmed_message_is_no_target,
                targets::only_the_author_edits_and_deletes,
                trimming::a_log_keeps_as_many_entries_as_it_may,
                trimming::a_log_keeps_as_many_bytes_as_it_may,
                trimming::the_newest_entry_is_always_kept,
                positions::a_log_continues_from_every_kept_position,
                positions::at_the_boundary_the_chain_decides,
                positions::below_the_boundary_it_is_trimmed,
                positions::above_the_top_it_is_lost,
                positions::another_chain_is_another_log,
                positions::before_any_log_everything_follows,
                positions::a_reset_brings_the_newest_page,
                pages::a_page_is_contiguous_and_oldest_first,
                pages::a_page_has_at_most_so_many_entries,
                pages::a_page_has_at_most_so_many_bytes,
                pages::one_entry_always_comes,
                pages::before_is_exclusive,
                pages::a_room_without_a_log_is_empty,
                withdrawn::a_deleted_text_is_read_nowhere,
                withdrawn::a_replaced_text_is_read_nowhere,
                withdrawn::deleting_an_edited_message_withdraws_all_its_texts,
                withdrawn::an_edit_outlives_its_target_and_stays_withdrawn,
                withdrawn::the_chain_of_a_withdrawn_text_still_holds,
                idle::a_log_without_a_new_entry_is_forgotten,
                idle::a_new_entry_keeps_the_log,
                idle::after_it_a_new_log_starts,
                idle::a_forgotten_log_takes_its_keys_with_it,
                feeds::what_is_published_after_a_subscription_arrives_in_order,
                feeds::subscribing_twice_doubles_nothing,
                feeds::without_a_subscription_nothing_arrives,
                feeds::after_unsubscribing_nothing_new_arrives,
                feeds::announcements_reach_every_subscriber,
                feeds::a_feed_that_overflows_says_so,
                marks::a_mark_only_rises,
                marks::a_mark_is_announced_where_it_rose,
                marks::marks_are_by_room_and_user,
                marks::a_new_log_starts_without_marks,
                records::a_record_is_read_on_every_instance,
                records::the_newest_record_stands,
                records::a_record_ends_with_its_time_and_can_be_renewed,
                records::a_record_outlives_its_instance,
                presence::the_first_instance_announces_the_join_and_the_last_one_the_leave,
                presence::entering_and_leaving_again_is_harmless,
                presence::another_name_is_announced_once,
                presence::members_are_listed_by_id_or_only_counted,
                presence::a_check_counts_the_members,
                presence::members_outlive_their_instance_by_its_lease,
                presence::an_ended_lease_is_claimed_by_one_of_many,
                presence::who_is_on_another_instance_too_stays,
                presence::an_instance_without_a_lease_gets_a_first_one,
                presence::after_its_lease_an_instance_may_come_back,
            );
        }
    };
    ($harness:ty, $($module:ident::$test:ident,)+) => {
        $(
            #[tokio::test]
            async fn $test() {
                crate::$module::$test::<$harness>().await;
            }
        )+
    };
}

contract!(embedded_store, crate::embedded::Embedded);
contract!(redis_store, crate::redis::OnRedis);
