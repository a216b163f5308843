//! Tells every org's record of changes on the server: agents' files, and what its configuration says of tools and
//! policies. What was known before is in the store, so a restart alone tells nothing.

use crate::app::{AgentSource, AgentState};
use crate::registry::Registry;
use domain::audit::{Actor, Deed, Entry};
use domain::ports::clock::Clock;
use domain::ports::store::{Store, StoreResult};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Between looks at the registry, which is in memory.
const LOOK: Duration = Duration::from_secs(2);
/// The version of an agent whose file is gone.
const REMOVED: &str = "removed";
/// Tables of the configuration that decide what may run.
const TABLES: [&str; 8] = [
    "tools",
    "mcp",
    "openapi",
    "databases",
    "egress",
    "policy",
    "approvals",
    "orgs",
];

pub struct Recorder {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub registry: Arc<Registry>,
}

/// Runs until `stop`.
pub async fn record(recorder: Recorder, policy: String, stop: CancellationToken) {
    let mut policy = Some(policy);
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let looked = recorder.look(&mut known, &mut policy).await;
        if let Err(error) = looked {
            let error = &error as &dyn Error;
            tracing::warn!(
                error,
                "a change of the server was not recorded; trying again"
            );
        }
    }
}

impl Recorder {
    async fn look(
        &self,
        known: &mut BTreeMap<String, String>,
        policy: &mut Option<String>,
    ) -> StoreResult<()> {
        if let Some(digest) = policy.clone() {
            let deed = Deed::PolicyChanged {
                digest: digest.clone(),
            };
            self.note("policy", &digest, deed).await?;
            *policy = None;
        }
        let mut now: BTreeMap<String, String> = BTreeMap::new();
        for entry in self.registry.list() {
            if let AgentState::Ready(agent) = entry.state {
                now.insert(entry.agent_type, agent.version.clone());
            }
        }
        for agent_type in known.keys() {
            if !now.contains_key(agent_type) {
                now.insert(agent_type.clone(), REMOVED.to_owned());
            }
        }
        for (agent_type, version) in now {
            if known.get(&agent_type) == Some(&version) {
                continue;
            }
            let deed = Deed::AgentChanged {
                agent_type: agent_type.clone(),
                version: version.clone(),
            };
            self.note(&format!("agent {agent_type}"), &version, deed)
                .await?;
            known.insert(agent_type, version);
        }
        Ok(())
    }

    async fn note(&self, name: &str, value: &str, deed: Deed) -> StoreResult<()> {
        let entry = Entry {
            at: self.clock.now(),
            actor: Actor::Server,
            deed,
        };
        self.store.system_note_fact(name, value, &entry).await?;
        Ok(())
    }
}

/// BLAKE3 (hex) of what the configuration says of tools and policies; the same whatever its order and comments.
pub fn policy_digest(file: Option<&Path>) -> String {
    let text = file.and_then(|path| std::fs::read_to_string(path).ok());
    let table: toml::Table = text.and_then(|text| text.parse().ok()).unwrap_or_default();
    let said: Vec<String> = TABLES
        .iter()
        .filter_map(|name| Some(format!("{name} = {}", table.get(*name)?)))
        .collect();
    blake3::hash(said.join("\n").as_bytes())
        .to_hex()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_sees_policies_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runyard.toml");
        let digest = |text: &str| {
            std::fs::write(&path, text).unwrap();
            policy_digest(Some(&path))
        };
        let one =
            digest("listen = \"127.0.0.1:1\"\n[tools.a]\nkind = \"builtin\"\npolicy = \"ask\"\n");
        let same = digest("# other words\n[tools.a]\npolicy = \"ask\"\nkind = \"builtin\"\n");
        assert_eq!(one, same);
        assert_ne!(
            one,
            digest("[tools.a]\npolicy = \"auto\"\nkind = \"builtin\"\n")
        );
        for table in [
            "[[policy.rules]]\nname = \"r\"\npolicy = \"deny\"\n",
            "[[orgs.acme.rules]]\nname = \"r\"\npolicy = \"deny\"\n",
            "[mcp.files]\nurl = \"http://x\"\n",
            "[openapi.shop]\ndocument = \"shop.json\"\n",
        ] {
            let with = format!("[tools.a]\nkind = \"builtin\"\npolicy = \"ask\"\n{table}");
            assert_ne!(one, digest(&with), "{table}");
        }
    }
}
