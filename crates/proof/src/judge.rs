//! What became of runs after everything that was done to their servers.

use crate::clients::{Client, Complaint};
use crate::history::Violation;
use crate::limit::LIMIT;
use crate::world::World;
use scripted::check_history;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::timeout;

/// What became of runs.
#[derive(Default)]
pub struct Verdict {
    pub runs: usize,
    /// The slowest run's end after the start.
    pub slowest: Duration,
    pub complaints: Vec<Complaint>,
}

/// Brings every run to its end, then looks at everything.
pub async fn judge(
    world: &World,
    address: SocketAddr,
    clients: Vec<Client>,
    verdict: &mut Verdict,
) {
    let finishing = clients.into_iter().map(|mut client| async move {
        let finished = match timeout(LIMIT / 2, client.finish(world, address)).await {
            Ok(finished) => finished,
            Err(_) => Err(client.stuck(address).await),
        };
        (client, finished)
    });
    let finished = futures::future::join_all(finishing).await;
    verdict.runs = finished.len();
    for (client, finished) in &finished {
        let finished = match finished {
            Ok(finished) => finished,
            Err(complaint) => {
                verdict.complaints.push(Complaint(complaint.to_string()));
                continue;
            }
        };
        verdict.slowest = verdict.slowest.max(finished.took);
        let mut violations = finished.history.violations();
        match client.effects(world, address).await {
            Ok(effects) => violations.extend(effects.violations()),
            Err(complaint) => verdict.complaints.push(complaint),
        }
        if world.edges_fail.load(Ordering::Relaxed) && finished.history.tells_of_a_failure() {
            violations.retain(|violation| *violation != Violation::NeverHappened);
        }
        let log = finished.history.log.iter().flatten();
        let log: Vec<String> = log
            .map(|frame| match frame.event.as_str() {
                "error" => format!("{} error {}", frame.seq, frame.data["error"]),
                event => format!("{} {event}", frame.seq),
            })
            .collect();
        let complain = |violation| client.complain("judged", format!("{violation:?} in {log:?}"));
        verdict
            .complaints
            .extend(violations.into_iter().map(complain));
    }
    for (client, _) in finished.iter().filter(|(_, finished)| finished.is_ok()) {
        verdict
            .complaints
            .extend(client.check_thread(address).await.err());
    }
    for request in world.model.calls() {
        if let Err(error) = check_history(&request) {
            verdict.complaints.push(Complaint(format!(
                "the model was asked with a broken history: {error}"
            )));
        }
    }
}
