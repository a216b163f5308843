//! Nothing to link: the checks of this repository that no lint can make are in `tests/it`.
