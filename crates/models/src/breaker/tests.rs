use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn breaker() -> Arc<Breaker> {
    let settings = BreakerSettings {
        failures: 3,
        outcomes: 10,
        span_ms: 60_000,
        cool_down_ms: 10_000,
        cool_down_max_ms: 30_000,
    };
    Arc::new(Breaker::new(settings, Arc::new(Random::new(Some(7)))))
}

fn fail(breaker: &Arc<Breaker>, times: u32, now: Instant) {
    for _ in 0..times {
        breaker.enter(now).failed(now);
    }
}

#[test]
fn enough_failures_open_it() {
    let (breaker, now) = (breaker(), Instant::now());
    fail(&breaker, 2, now);
    assert_eq!(breaker.health(now), LaneHealth::Healthy);
    fail(&breaker, 1, now);
    assert_eq!(breaker.health(now), LaneHealth::Open);
}

#[test]
fn a_few_failures_among_many_successes_do_not_open_it() {
    let (breaker, now) = (breaker(), Instant::now());
    for _ in 0..7 {
        breaker.enter(now).succeeded(now);
    }
    fail(&breaker, 3, now);
    assert_eq!(breaker.health(now), LaneHealth::Healthy);
}

#[test]
fn old_failures_are_forgotten() {
    let (breaker, mut now) = (breaker(), Instant::now());
    fail(&breaker, 2, now);
    now += 61 * SECOND;
    fail(&breaker, 2, now);
    assert_eq!(breaker.health(now), LaneHealth::Healthy);
}

#[test]
fn one_probe_at_a_time_finds_out_whether_it_is_well() {
    let (breaker, mut now) = (breaker(), Instant::now());
    fail(&breaker, 3, now);
    now += 13 * SECOND;
    assert_eq!(breaker.health(now), LaneHealth::Healthy, "a probe may go");
    let probe = breaker.enter(now);
    assert_eq!(
        breaker.health(now),
        LaneHealth::Open,
        "the probe is under way"
    );
    probe.succeeded(now);
    assert_eq!(breaker.health(now), LaneHealth::Healthy);
    fail(&breaker, 2, now);
    assert_eq!(
        breaker.health(now),
        LaneHealth::Healthy,
        "the past is forgotten"
    );
}

#[test]
fn a_failed_probe_doubles_the_wait_up_to_its_end() {
    let (breaker, mut now) = (breaker(), Instant::now());
    fail(&breaker, 3, now);
    for (least, most) in [(7, 13), (15, 25), (22, 38), (22, 38)] {
        now += least * SECOND;
        assert_eq!(breaker.health(now), LaneHealth::Open, "after {least} s");
        now += (most - least) * SECOND;
        assert_eq!(breaker.health(now), LaneHealth::Healthy, "after {most} s");
        fail(&breaker, 1, now);
    }
}

#[test]
fn a_probe_that_is_dropped_leaves_room_for_the_next() {
    let (breaker, mut now) = (breaker(), Instant::now());
    fail(&breaker, 3, now);
    now += 13 * SECOND;
    drop(breaker.enter(now));
    assert_eq!(breaker.health(now), LaneHealth::Healthy);
}

#[test]
fn a_first_token_ends_the_probe_before_the_answer_ends() {
    let (breaker, mut now) = (breaker(), Instant::now());
    fail(&breaker, 3, now);
    now += 13 * SECOND;
    let mut probe = breaker.enter(now);
    probe.alive();
    assert_eq!(breaker.health(now), LaneHealth::Healthy);
    drop(probe);
    assert_eq!(breaker.health(now), LaneHealth::Healthy);
}
