use super::*;

fn price() -> Price {
    Price {
        input_micro_usd: 2_000_000,
        cached_micro_usd: Some(500_000),
        cache_write_micro_usd: Some(2_500_000),
        output_micro_usd: 10_000_000,
    }
}

#[test]
fn reported_tokens_are_priced_by_kind() {
    let answer = Answer {
        reported: Reported {
            input: Some(1_000),
            output: Some(100),
            cached: 600,
            cache_written: 200,
        },
        ..Answer::default()
    };
    let usage = answer.usage(&price(), || panic!("nothing is to be estimated"));
    assert_eq!(
        usage,
        Usage {
            input_tokens: 1_000,
            output_tokens: 100,
            cached_tokens: 600,
            cost_micro_usd: 200 * 2 + 600 / 2 + 200 * 5 / 2 + 100 * 10,
            estimated: false,
        }
    );
}

#[test]
fn missing_tokens_are_estimated_and_marked() {
    let mut answer = Answer::default();
    answer.text("twelve bytes".to_owned()).unwrap();
    let usage = answer.usage(&Price::default(), || 41);
    assert_eq!(
        usage,
        Usage {
            input_tokens: 11,
            output_tokens: 3,
            estimated: true,
            ..Usage::default()
        }
    );
}

#[test]
fn absurd_counts_of_a_provider_do_not_overflow() {
    let answer = Answer {
        reported: Reported {
            input: Some(u64::MAX),
            output: Some(u64::MAX),
            cached: u64::MAX,
            cache_written: u64::MAX,
        },
        ..Answer::default()
    };
    let usage = answer.usage(&price(), || 0);
    assert_eq!(usage.cost_micro_usd, u64::MAX);
    assert_eq!(usage.cached_tokens, u64::MAX);
}

#[test]
fn calls_are_told_apart_by_index_and_by_id() {
    let mut answer = Answer::default();
    answer.call(0, "a", "first", "{\"x\":").unwrap();
    answer.call(1, "b", "second", "").unwrap();
    answer.call(0, "", "", "1}").unwrap();
    // A server that numbers every call 0.
    answer.call(0, "c", "third", "{}").unwrap();
    answer.call(0, "", "", "").unwrap();
    let calls = answer.take_calls(str::to_owned);
    let calls: Vec<(&str, &str)> = calls
        .iter()
        .map(|call| (call.name.as_str(), call.arguments.as_str()))
        .collect();
    assert_eq!(
        calls,
        [("first", "{\"x\":1}"), ("second", "{}"), ("third", "{}")]
    );
}

#[test]
fn what_is_too_large_is_refused() {
    let mut answer = Answer::default();
    let piece = "x".repeat(1 << 20);
    let refused = (0..64).find_map(|at| answer.text(piece.clone()).err().map(|fault| (at, fault)));
    assert_eq!(refused, Some((TURN_BYTES_MAX >> 20, Fault::TooLarge)));

    let mut answer = Answer::default();
    let refused = (0..).find_map(|key| answer.call(key, "", "f", "").err().map(|_| key));
    assert_eq!(refused, Some(CALLS_MAX as u64));
}
