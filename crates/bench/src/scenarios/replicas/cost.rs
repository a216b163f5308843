//! What a turn costs each kind of process, and how far that goes where they do not share processors.

use std::time::Duration;

/// Processor time used so far in seconds; `None` where the system does not tell.
#[derive(Debug, Clone)]
pub struct Clocks {
    /// Of each.
    pub replicas: Vec<Option<f64>>,
    pub postgres: Option<f64>,
    pub nats: Option<f64>,
    pub model: Option<f64>,
    /// This process: the clients.
    pub clients: Option<f64>,
    /// Everything that runs on the machine.
    pub machine: Option<f64>,
}

/// Processor time in milliseconds a turn.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// All of them together.
    pub replicas_ms: Option<f64>,
    /// What the busiest of them had of it.
    pub busiest_share: Option<f64>,
    pub postgres_ms: Option<f64>,
    pub nats_ms: Option<f64>,
    pub model_ms: Option<f64>,
    pub clients_ms: Option<f64>,
    /// Processors that these kept busy.
    pub own_cores: Option<f64>,
    /// Processors that were busy with anything.
    pub cores: Option<f64>,
}

impl Cost {
    /// Of so many turns, made in `time`; nothing is known of the cost of none.
    pub fn between(before: &Clocks, after: &Clocks, turns: u64, time: Duration) -> Self {
        let seconds = time.as_secs_f64();
        if turns == 0 || seconds <= 0.0 {
            return Self::default();
        }
        let used = |part: fn(&Clocks) -> Option<f64>| Some(part(after)? - part(before)?);
        let each = after.replicas.iter().zip(&before.replicas);
        let each: Option<Vec<f64>> = each
            .map(|(after, before)| Some((*after)? - (*before)?))
            .collect();
        let replicas: Option<f64> = each.as_ref().map(|each| each.iter().sum());
        let busiest = each.map(|each| each.into_iter().fold(0.0, f64::max));
        let parts = [
            replicas,
            used(|clocks| clocks.postgres),
            used(|clocks| clocks.nats),
            used(|clocks| clocks.model),
            used(|clocks| clocks.clients),
        ];
        let [replicas_ms, postgres_ms, nats_ms, model_ms, clients_ms] =
            parts.map(|part| Some(part? * 1_000.0 / turns as f64));
        let own: Option<f64> = parts.into_iter().sum();
        Self {
            replicas_ms,
            busiest_share: busiest
                .zip(replicas)
                .filter(|(_, all)| *all > 0.0)
                .map(|(busiest, all)| busiest / all),
            postgres_ms,
            nats_ms,
            model_ms,
            clients_ms,
            own_cores: own.map(|own| own / seconds),
            cores: used(|clocks| clocks.machine).map(|all| all / seconds),
        }
    }
}

/// Turns a second that keep one processor busy which does nothing else; `None` where a turn costs nothing that could
/// be seen.
pub fn per_core(cost_ms: Option<f64>) -> Option<f64> {
    cost_ms.filter(|ms| *ms > 0.0).map(|ms| 1_000.0 / ms)
}

/// Processors full of replicas that have one processor of PostgreSQL busy.
pub fn replica_cores(replicas_ms: f64, postgres_ms: f64) -> Option<f64> {
    let turns = per_core(Some(postgres_ms))?;
    let of_a_core = per_core(Some(replicas_ms))?;
    Some(turns / of_a_core)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clocks(replicas: &[f64], others: f64, machine: f64) -> Clocks {
        Clocks {
            replicas: replicas.iter().copied().map(Some).collect(),
            postgres: Some(others),
            nats: Some(others / 2.0),
            model: Some(others / 4.0),
            clients: Some(others / 4.0),
            machine: Some(machine),
        }
    }

    #[test]
    fn cost_is_what_came_on_top_divided_by_turns() {
        let before = clocks(&[1.0, 2.0], 4.0, 100.0);
        let after = clocks(&[1.5, 3.5], 8.0, 120.0);
        let cost = Cost::between(&before, &after, 1_000, Duration::from_secs(8));
        let expected = Cost {
            replicas_ms: Some(2.0),
            busiest_share: Some(0.75),
            postgres_ms: Some(4.0),
            nats_ms: Some(2.0),
            model_ms: Some(1.0),
            clients_ms: Some(1.0),
            own_cores: Some(1.25),
            cores: Some(2.5),
        };
        assert_eq!(cost, expected);
    }

    #[test]
    fn what_is_not_told_is_not_made_up() {
        let before = clocks(&[1.0, 2.0], 4.0, 100.0);
        let mut after = clocks(&[1.5, 3.5], 8.0, 120.0);
        after.nats = None;
        after.replicas[1] = None;
        let cost = Cost::between(&before, &after, 1_000, Duration::from_secs(8));
        let expected = Cost {
            postgres_ms: Some(4.0),
            model_ms: Some(1.0),
            clients_ms: Some(1.0),
            cores: Some(2.5),
            ..Cost::default()
        };
        assert_eq!(cost, expected);
        let none = Cost::between(&before, &after, 0, Duration::from_secs(8));
        assert_eq!(none, Cost::default());
    }

    #[test]
    fn cores_are_compared_by_the_turns_that_fill_them() {
        assert_eq!(per_core(Some(0.5)), Some(2_000.0));
        assert_eq!(per_core(Some(0.0)), None);
        assert_eq!(per_core(None), None);
        assert_eq!(replica_cores(0.5, 0.25), Some(2.0));
        assert_eq!(replica_cores(0.5, 0.0), None);
    }
}
