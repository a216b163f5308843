//! Names of subjects. The org is a token of its own in each that concerns one, so that NATS permissions can be given by
//! org, and no wildcard here ever spans a run's subject.

use domain::ports::bus::Notice;
use domain::{OrgId, RunId};

/// `PREFIX.work`, `PREFIX.changed.ORG`, `PREFIX.tell.ORG`, `PREFIX.inbox.ORG` and `PREFIX.live.ORG.RUN`.
#[derive(Debug, Clone)]
pub(crate) struct Subjects {
    prefix: String,
}

impl Subjects {
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    pub fn notice(&self, notice: &Notice) -> String {
        let prefix = &self.prefix;
        match notice {
            Notice::Work => format!("{prefix}.work"),
            Notice::Changed { org, .. } => format!("{prefix}.changed.{org}"),
            Notice::Tell { org, .. } => format!("{prefix}.tell.{org}"),
            Notice::Inbox { org } => format!("{prefix}.inbox.{org}"),
        }
    }

    /// What to subscribe to for every notice.
    pub fn notices(&self) -> [String; 4] {
        ["work", "changed.*", "tell.*", "inbox.*"].map(|kind| format!("{}.{kind}", self.prefix))
    }

    /// Nobody ever listens there.
    pub fn nobody(&self) -> String {
        format!("{}.nobody", self.prefix)
    }

    /// Where NATS itself answers.
    pub fn replies(&self) -> String {
        format!("{}.reply", self.prefix)
    }

    pub fn live(&self, org: &OrgId, run: RunId) -> String {
        format!("{}.live.{org}.{run}", self.prefix)
    }

    /// `None` for what no version of this program that is known here sends.
    pub fn read(&self, subject: &str, payload: &[u8]) -> Option<Notice> {
        let rest = subject.strip_prefix(&self.prefix)?.strip_prefix('.')?;
        let (kind, org) = rest.split_once('.').unwrap_or((rest, ""));
        match kind {
            "work" => Some(Notice::Work),
            "changed" | "tell" => {
                let run = std::str::from_utf8(payload).ok()?.parse().ok()?;
                let org = OrgId::new(org).ok()?;
                Some(match kind {
                    "tell" => Notice::Tell { org, run },
                    _ => Notice::Changed { org, run },
                })
            }
            "inbox" => Some(Notice::Inbox {
                org: OrgId::new(org).ok()?,
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_notice_is_read_as_it_was_told() {
        let subjects = Subjects::new("runyard.west");
        let org = OrgId::new("acme").expect("a slug");
        let run = RunId::new(Uuid::from_u128(7));
        for notice in [
            Notice::Work,
            Notice::Changed {
                org: org.clone(),
                run,
            },
            Notice::Tell {
                org: org.clone(),
                run,
            },
            Notice::Inbox { org },
        ] {
            let subject = subjects.notice(&notice);
            assert_eq!(
                subjects.read(&subject, run.to_string().as_bytes()),
                Some(notice)
            );
        }
    }

    #[test]
    fn what_is_not_understood_is_no_notice() {
        let subjects = Subjects::new("runyard");
        for (subject, payload) in [
            ("runyard.changed.acme", "not an id"),
            ("runyard.inbox.Not An Org", ""),
            ("runyard.newer.acme", ""),
            ("other.work", ""),
            ("runyardwork", ""),
        ] {
            assert_eq!(
                subjects.read(subject, payload.as_bytes()),
                None,
                "{subject}"
            );
        }
    }
}
