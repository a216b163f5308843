//! Where a list goes on: a time and an id, opaque to the caller and good only for the list and org that gave it out.

use crate::problem::{Code, Problem};
use domain::limits::PAGE_MAX;
use domain::ports::store::Page;
use domain::{OrgScope, Timestamp};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

/// Which part of a list is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Entries on the page; more than 50 counts as 50.
    #[param(minimum = 1, default = 50, example = 20)]
    pub limit: Option<u64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl PageQuery {
    /// `list` is the operation's name: a cursor of another list is refused.
    pub fn page(&self, scope: &OrgScope, list: &str) -> Result<Page, Problem> {
        let limit = match self.limit {
            None => PAGE_MAX,
            Some(0) => {
                let message = "limit must be at least 1.";
                return Err(Problem::saying(Code::invalid_parameter, message).at("limit"));
            }
            Some(limit) => u32::try_from(limit).unwrap_or(PAGE_MAX).min(PAGE_MAX),
        };
        let below = match &self.cursor {
            None => None,
            Some(text) => {
                Some(decode(scope, list, text).ok_or_else(|| Problem::new(Code::invalid_cursor))?)
            }
        };
        Ok(Page { limit, below })
    }
}

/// The cursor below `last`, the last entry of a page that was full; `None` where the list ended.
pub fn next(
    scope: &OrgScope,
    list: &str,
    page: Page,
    shown: usize,
    last: Option<(Timestamp, Uuid)>,
) -> Option<String> {
    let full = shown >= page.limit as usize;
    last.filter(|_| full).map(|last| encode(scope, list, last))
}

fn encode(scope: &OrgScope, list: &str, (at, id): (Timestamp, Uuid)) -> String {
    let place = format!("{:016x}{}", at.as_micros(), id.simple());
    let check = check(scope, list, &place);
    format!("{place}{check}")
}

fn decode(scope: &OrgScope, list: &str, text: &str) -> Option<(Timestamp, Uuid)> {
    if text.len() != 16 + 32 + 8 || !text.is_ascii() {
        return None;
    }
    let (place, given) = text.split_at(48);
    if check(scope, list, place) != given {
        return None;
    }
    let micros = u64::from_str_radix(&place[..16], 16).ok()?;
    let id = Uuid::try_parse(&place[16..]).ok()?;
    Some((Timestamp::from_micros(micros.cast_signed()), id))
}

/// Catches cursors of other lists, other orgs and other alphabets; it guards no secret, since lists are scoped anyway.
fn check(scope: &OrgScope, list: &str, place: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [scope.org().as_str(), list, place] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..8].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::OrgId;

    fn scope(org: &str) -> OrgScope {
        OrgScope::new(OrgId::new(org).expect("a valid name"))
    }

    #[test]
    fn cursor_is_good_for_its_own_list_and_org_only() {
        let place = (
            Timestamp::from_micros(1_790_000_000_123_456),
            Uuid::from_u128(7),
        );
        let text = encode(&scope("one"), "list_runs", place);
        assert_eq!(decode(&scope("one"), "list_runs", &text), Some(place));
        assert_eq!(decode(&scope("two"), "list_runs", &text), None);
        assert_eq!(decode(&scope("one"), "list_threads", &text), None);
        for broken in [
            "",
            "x",
            &text[1..],
            &text.to_uppercase(),
            &text.replace('7', "é"),
        ] {
            assert_eq!(decode(&scope("one"), "list_runs", broken), None, "{broken}");
        }
    }
}
