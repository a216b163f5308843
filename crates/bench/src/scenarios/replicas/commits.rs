//! How long a server waited for its database, as it counts itself.

use crate::arena::Contestant;
use crate::client::Client;

/// The server's own counters of what it wrote of runs.
const COUNT: &str = "runyard_commit_seconds_count ";
const SUM: &str = "runyard_commit_seconds_sum ";

/// Since the servers started.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Commits {
    pub count: f64,
    /// Waited for them, those that were waited for at the same time each counted.
    pub sum_s: f64,
}

impl Commits {
    /// Of all of them; `None` if one does not tell.
    pub async fn of(group: &[Contestant]) -> Option<Self> {
        let mut all = Self::default();
        for contestant in group {
            let mut client = Client::new(contestant.address);
            let head = client.send("GET", "/metrics", "", b"").await.ok()?;
            let page = client.read_all(head).await.ok()?;
            let one = parse(std::str::from_utf8(&page).ok()?)?;
            all.count += one.count;
            all.sum_s += one.sum_s;
        }
        Some(all)
    }

    pub fn since(self, before: Self) -> Self {
        Self {
            count: self.count - before.count,
            sum_s: self.sum_s - before.sum_s,
        }
    }

    /// `None` if there was no turn.
    pub fn a_turn(self, turns: u64) -> Option<Self> {
        (turns > 0).then(|| Self {
            count: self.count / turns as f64,
            sum_s: self.sum_s / turns as f64,
        })
    }
}

fn parse(page: &str) -> Option<Commits> {
    let number = |name| {
        let value = page.lines().find_map(|line| line.strip_prefix(name))?;
        value.parse().ok()
    };
    Some(Commits {
        count: number(COUNT)?,
        sum_s: number(SUM)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_read_from_the_page_of_metrics() {
        let page = "# TYPE runyard_commit_seconds histogram\n\
                    runyard_commit_seconds_bucket{le=\"+Inf\"} 12\n\
                    runyard_commit_seconds_sum 0.5\nrunyard_commit_seconds_count 12\n";
        let found = Commits {
            count: 12.0,
            sum_s: 0.5,
        };
        assert_eq!(parse(page), Some(found));
        assert_eq!(parse("runyard_runs_active 0\n"), None);
        let before = Commits {
            count: 4.0,
            sum_s: 0.25,
        };
        let expected = Commits {
            count: 8.0,
            sum_s: 0.25,
        };
        assert_eq!(found.since(before), expected);
        let each = Commits {
            count: 2.0,
            sum_s: 0.0625,
        };
        assert_eq!(expected.a_turn(4), Some(each));
        assert_eq!(expected.a_turn(0), None);
    }
}
