//! What the configuration says of single orgs: where their content may go, what their calls need and what their days may
//! cost, whatever their agents ask for.

use super::ConfigError;
use super::layers::Layers;
use super::policy::DayTable;
use domain::OrgId;
use domain::agent::DataPolicy;
use domain::lane::{DEVICE, LaneKind, OrgLanes};
use domain::policy::RuleText;
use models::LaneConfig;
use serde::Deserialize;
use std::collections::HashMap;
use toml::Spanned;

/// `[orgs.NAME]` of the file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrgTable {
    /// Only these lanes; empty means every lane.
    pub lanes: Vec<String>,
    /// Only lanes of these kinds; empty means every kind.
    pub lane_kinds: Vec<LaneKind>,
    pub data_policy: DataPolicy,
    /// Dollars for a million tokens, three read for each one written: dearer lanes are not used.
    pub max_price_usd: Option<f64>,
    /// Rules on calls.
    pub rules: Vec<Spanned<RuleText>>,
    /// Ceilings of the org's day.
    pub budget: Option<DayTable>,
}

impl Layers<'_> {
    /// What each org allows. A lane that is named and not there is a slip that would lock the org out.
    pub(super) fn org_lanes(
        &self,
        lanes: &[LaneConfig],
    ) -> Result<HashMap<OrgId, OrgLanes>, ConfigError> {
        let mut orgs = HashMap::new();
        for (name, table) in self.file.iter().flat_map(|file| &file.tables.orgs) {
            let invalid = |value: &str, why: &str| {
                let key = format!("orgs.{}", name.get_ref());
                ConfigError::invalid(&self.place(name), &key, value, why)
            };
            let org = OrgId::new(name.get_ref())
                .map_err(|_| invalid(name.get_ref(), "it is no name of an org"))?;
            let known = |wanted: &&String| {
                lanes.is_empty()
                    || *wanted == DEVICE
                    || lanes.iter().any(|lane| lane.name == **wanted)
            };
            if let Some(unknown) = table.lanes.iter().find(|wanted| !known(wanted)) {
                return Err(invalid(unknown, "no lane has this name"));
            }
            if let Some(price) = table.max_price_usd
                && !(0.0..=1e6).contains(&price)
            {
                let why = "max_price_usd must be a number of dollars, 0 or more";
                return Err(invalid(&price.to_string(), why));
            }
            orgs.insert(org, table.lanes());
        }
        Ok(orgs)
    }
}

impl OrgTable {
    fn lanes(&self) -> OrgLanes {
        OrgLanes {
            lanes: self.lanes.clone(),
            kinds: self.lane_kinds.clone(),
            data_policy: self.data_policy,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked to be 0..=1e6 dollars"
            )]
            max_price_micro_usd: self.max_price_usd.map(|usd| (usd * 1e6).round() as u64),
        }
    }
}
