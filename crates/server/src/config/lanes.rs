//! Lanes of the file with their keys from the environment, else lanes that the usual variables make. It asks no
//! provider.

use super::layers::Layers;
use super::{ConfigError, Source};
use models::LaneConfig;

impl Layers<'_> {
    pub(super) fn lanes(&self) -> Result<Vec<LaneConfig>, ConfigError> {
        let in_file = self.file.map_or(&[][..], |file| &file.tables.lanes);
        if in_file.is_empty() {
            return self.lanes_from_env();
        }
        let mut lanes: Vec<LaneConfig> = Vec::new();
        for entry in in_file {
            let mut lane = entry.get_ref().clone();
            let invalid = |why: String| {
                ConfigError::invalid(
                    &self.place(entry),
                    "lanes",
                    entry.get_ref().name.clone(),
                    why,
                )
            };
            lane.resolve_key(|name| self.env.get(name).map(str::to_owned))
                .and_then(|()| lane.validate())
                .map_err(|error| invalid(error.to_string()))?;
            if lanes.iter().any(|earlier| earlier.name == lane.name) {
                return Err(invalid("another lane has this name; rename one".to_owned()));
            }
            lanes.push(lane);
        }
        Ok(lanes)
    }

    fn lanes_from_env(&self) -> Result<Vec<LaneConfig>, ConfigError> {
        models::lanes_from_env(|name| self.env.get(name).map(str::to_owned)).map_err(|error| {
            let source = Source::Env("the environment");
            ConfigError::invalid(&source, "a lane", "its variables", error.to_string())
        })
    }
}
