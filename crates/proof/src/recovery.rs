//! How long runs stand still when the server that drives them is killed.

use crate::clients::{Client, Complaint};
use crate::cuts::rejoin;
use crate::kinds::Kind;
use crate::world::{Site, World};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Times from the kill to each run's next event, shortest first.
#[derive(Debug, Clone, Default)]
pub struct Recovered(Vec<Duration>);

impl Recovered {
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// How many runs took longer.
    pub fn later_than(&self, limit: Duration) -> usize {
        self.0.iter().filter(|time| **time > limit).count()
    }

    /// The time within which so many of a hundred runs went on; `None` without any.
    pub fn percentile(&self, percent: usize) -> Option<Duration> {
        let last = self.0.len().checked_sub(1)?;
        Some(self.0[(self.0.len() * percent / 100).min(last)])
    }
}

/// Kills a server so many times, each time with so many runs in mid-turn. On a file it is started again at once; on
/// PostgreSQL another server is there. Leases are as they are by default.
///
/// # Errors
/// A run that does not begin or does not go on.
pub async fn recover(site: &Site, kills: usize, runs: usize) -> Result<Recovered, Complaint> {
    let mut times = Vec::new();
    for kill in 0..kills {
        let world = World::new(site).await;
        let first = world.start().await;
        let second = match site.postgres {
            Some(_) => Some(world.start().await),
            None => None,
        };
        let clients = (0..runs).map(|number| speaker(first.address, kill, number));
        let clients = futures::future::try_join_all(clients).await?;
        let killed = Instant::now();
        first.kill().await;
        let second = match second {
            Some(second) => second,
            None => world.start().await,
        };
        let goes_on = clients
            .iter()
            .map(|client| goes_on(client, second.address, killed));
        times.extend(futures::future::try_join_all(goes_on).await?);
        world.open();
        second.kill().await;
    }
    times.sort_unstable();
    Ok(Recovered(times))
}

async fn speaker(address: SocketAddr, kill: usize, number: usize) -> Result<Client, Complaint> {
    let mut client = Client::new(Kind::Held, format!("speaker-{kill}-{number}"));
    let spoke = async {
        let live = client.begin(address).await?;
        client.watch_until_it_speaks(live).await
    };
    let spoke = spoke.await;
    spoke.map_err(|error| client.complain("begun", error))?;
    Ok(client)
}

async fn goes_on(
    client: &Client,
    address: SocketAddr,
    killed: Instant,
) -> Result<Duration, Complaint> {
    let after = client.seen.iter().flatten().map(|frame| frame.seq).max();
    let next = async {
        let run = client.run.as_deref().unwrap_or_default();
        let mut live = rejoin(address, run, after.unwrap_or(0)).await?;
        live.frame().await
    };
    match next.await {
        Ok(Some(_)) => Ok(killed.elapsed()),
        Ok(None) => Err(client.complain("waited for", "its stream ended")),
        Err(error) => Err(client.complain("waited for", error)),
    }
}
