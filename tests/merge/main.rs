//! The merge of publications, readings and positions holds against a naive model. See `model.rs`.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test fails by panicking

mod model;

use model::{From, Op, ops, run};
use proptest::prelude::*;

fn op() -> impl Strategy<Value = Op> {
    let from = prop_oneof![
        Just(From::Newest),
        Just(From::Start),
        any::<usize>().prop_map(From::Seen),
        Just(From::Future),
        (0u64..40).prop_map(From::Garbage),
    ];
    prop_oneof![
        6 => Just(Op::Append),
        1 => any::<usize>().prop_map(Op::Edit),
        6 => Just(Op::Arrive),
        1 => Just(Op::Lose),
        1 => any::<usize>().prop_map(Op::Repeat),
        1 => (0usize..6).prop_map(Op::Trim),
        1 => Just(Op::Replace),
        1 => (0usize..4).prop_map(Op::LoseTail),
        3 => from.prop_map(Op::Join),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_client_sees_one_contiguous_log(ops in prop::collection::vec(op(), 0..80)) {
        run(ops);
    }

    #[test]
    fn what_a_fuzzer_makes_holds_too(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        run(ops(&bytes));
    }
}

#[test]
fn a_late_entry_of_a_lost_log_is_noticed() {
    run(vec![Op::Append, Op::Arrive, Op::Join(From::Newest), Op::Replace, Op::Append, Op::Repeat(0), Op::Arrive]);
}

#[test]
fn a_join_is_not_served_a_text_that_the_log_has_withdrawn_and_the_tail_has_not() {
    let mut ops = vec![Op::Join(From::Newest)];
    for _ in 0..12 {
        ops.extend([Op::Append, Op::Arrive]);
    }
    // The edit is in the log; its publication is still under way when somebody reads the log from its start.
    ops.extend([Op::Edit(11), Op::Join(From::Start), Op::Arrive]);
    run(ops);
}
