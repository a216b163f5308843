//! Clients of every kind come to whichever server answers while servers are struck, and afterwards every run is judged.

use crate::clients::Client;
use crate::fleet::{ENDURANCE, Fleet};
use crate::judge::{Verdict, judge};
use crate::kinds::Kind;
use futures::StreamExt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Clients at work at once.
const AT_ONCE: usize = 12;
/// Blows at once: more than one thing may go wrong, but not everywhere.
const STRIKERS_MAX: usize = 2;
/// A server may be stopped under a client, which then gives up on it and asks another.
const PATIENCE: Duration = Duration::from_secs(8);

/// Clients of these numbers, each number once in a world. Returns when all is calm and judged.
pub async fn wave(fleet: &Fleet<'_>, clients: Range<usize>) -> Verdict {
    let over = AtomicBool::new(false);
    let strikers = STRIKERS_MAX.min(fleet.addresses().len());
    let striking = futures::future::join_all((0..strikers).map(|_| async {
        while !over.load(Ordering::SeqCst) {
            fleet.strike().await;
            tokio::time::sleep(Duration::from_millis(50 + fleet.dice.roll(200))).await;
        }
    }));
    let coming = async {
        let clients: Vec<Vec<Client>> = futures::stream::iter(clients)
            .map(|number| endure(fleet, number))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        over.store(true, Ordering::SeqCst);
        clients.into_iter().flatten().collect::<Vec<Client>>()
    };
    let (_, clients) = tokio::join!(striking, coming);
    let mut verdict = Verdict::default();
    judge(fleet.world(), fleet.any(), clients, &mut verdict).await;
    verdict
}

/// Asks whichever server answers until one has gone along to the end.
async fn endure(fleet: &Fleet<'_>, number: usize) -> Vec<Client> {
    let kind = Kind::LAP[number % Kind::LAP.len()];
    let tag = format!("storm-{kind:?}-{number}").to_lowercase();
    let mut client = Client::new(kind, tag);
    let begun = Instant::now();
    loop {
        let acting = client.act(fleet.world(), fleet.any());
        let failed = match tokio::time::timeout(PATIENCE, acting).await {
            Ok(Ok(())) => return client.apart(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if begun.elapsed() >= ENDURANCE {
            let stuck = client.stuck(fleet.any()).await;
            panic!(
                "{}: still {failed} after {ENDURANCE:?}: {stuck}",
                client.tag
            );
        }
        tokio::time::sleep(Duration::from_millis(50 + fleet.dice.roll(100))).await;
    }
}
