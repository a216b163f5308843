//! How an org's record of decisions is chained, and how a chain is checked. It reads no database.

use domain::audit::{Head, Link};
use sha2::{Digest, Sha256};

/// What the first link builds on.
pub const START: Head = Head {
    seq: 0,
    hash: [0; 32],
};

/// The first place where a chain is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("entry {seq} is missing, or stands in another place")]
    Missing { seq: u64 },
    #[error("entry {seq} was altered")]
    Altered { seq: u64 },
    #[error("the record ends with entry {found}, but there were {expected}: its end was cut off")]
    Cut { found: u64, expected: u64 },
    #[error("the end of the record was altered: entry {seq} is not the one that was last written")]
    OtherHead { seq: u64 },
}

/// The head that follows when a text is added.
pub fn next(head: Head, body: &str) -> Head {
    let seq = head.seq + 1;
    let mut hasher = Sha256::new();
    hasher.update(head.hash);
    hasher.update(seq.to_be_bytes());
    hasher.update(body.as_bytes());
    Head {
        seq,
        hash: hasher.finalize().into(),
    }
}

/// Checks links that follow `head`, in the order they are kept, and returns the head they end in.
pub fn verify(mut head: Head, links: &[Link]) -> Result<Head, Broken> {
    for link in links {
        let expected = next(head, &link.body);
        if link.seq != expected.seq {
            return Err(Broken::Missing { seq: expected.seq });
        }
        if link.hash != expected.hash {
            return Err(Broken::Altered { seq: link.seq });
        }
        head = expected;
    }
    Ok(head)
}

/// Checks that a chain that ends in `found` ends as was kept elsewhere.
pub fn verify_end(found: Head, kept: Head) -> Result<(), Broken> {
    if found.seq < kept.seq {
        return Err(Broken::Cut {
            found: found.seq,
            expected: kept.seq,
        });
    }
    if found != kept {
        return Err(Broken::OtherHead { seq: kept.seq });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(bodies: &[&str]) -> Vec<Link> {
        let mut head = START;
        let link = |body: &&str| {
            head = next(head, body);
            Link {
                seq: head.seq,
                body: (*body).to_owned(),
                hash: head.hash,
            }
        };
        bodies.iter().map(link).collect()
    }

    #[test]
    fn every_edit_is_found_at_its_place() {
        let good = chain(&["{\"a\":1}", "{\"a\":2}", "{\"a\":3}", "{\"a\":4}"]);
        let end = verify(START, &good).unwrap();
        assert_eq!(end.seq, 4);
        for index in 0..good.len() {
            let seq = index as u64 + 1;
            for byte in 0..good[index].body.len() {
                let mut links = good.clone();
                let mut bytes = links[index].body.clone().into_bytes();
                bytes[byte] ^= 1;
                links[index].body = String::from_utf8(bytes).unwrap();
                assert_eq!(verify(START, &links), Err(Broken::Altered { seq }));
            }
            let mut links = good.clone();
            links[index].hash[7] ^= 1;
            assert_eq!(verify(START, &links), Err(Broken::Altered { seq }));
            let mut links = good.clone();
            links.remove(index);
            let found = verify(START, &links).and_then(|found| verify_end(found, end));
            let broken = if seq == 4 {
                Broken::Cut {
                    found: 3,
                    expected: 4,
                }
            } else {
                Broken::Missing { seq }
            };
            assert_eq!(found, Err(broken));
            if index > 0 {
                let mut links = good.clone();
                links.swap(index - 1, index);
                assert_eq!(verify(START, &links), Err(Broken::Missing { seq: seq - 1 }));
            }
        }
        let rewritten = chain(&["{\"a\":1}", "{\"a\":2}", "{\"a\":3}", "{\"a\":5}"]);
        let found = verify(START, &rewritten).unwrap();
        assert_eq!(verify_end(found, end), Err(Broken::OtherHead { seq: 4 }));
    }
}
