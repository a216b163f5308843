//! What an API key looks like: made here for the API and the command line alike. It does not know who holds one.

use domain::audit::{Actor, Deed, Entry};
use domain::key::Key;
use std::fmt;

/// What every key that is made here begins with, so that secret scanners can find a leaked one.
pub const PREFIX: &str = "ry_";

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const BODY_CHARS: usize = 43;
const CHECK_CHARS: usize = 6;

/// A new key's text: `ry_`, 43 characters of base64url over 32 random bytes, 6 of a checksum over them. Shown once,
/// never stored; its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Fails only if the operating system has no randomness to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut random = [0; 32];
        getrandom::fill(&mut random)?;
        Ok(Self::of(&random))
    }

    fn of(random: &[u8; 32]) -> Self {
        let body = base64url(random);
        let check = checksum(&body);
        Self(format!("{PREFIX}{body}{check}"))
    }

    /// The text itself, for the one who asked for the key.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The record of a key's making.
pub fn created(key: &Key, actor: Actor) -> Entry {
    Entry {
        at: key.created_at,
        actor,
        deed: Deed::KeyCreated {
            key_id: key.id,
            name: key.name.clone(),
            role: key.role,
            expires_at: key.expires_at,
        },
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// True if `text` has the form and the checksum of a key made here. A key that an operator chose may have any form.
pub fn is_well_formed(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(PREFIX) else {
        return false;
    };
    if rest.len() != BODY_CHARS + CHECK_CHARS || !rest.bytes().all(|b| ALPHABET.contains(&b)) {
        return false;
    }
    let (body, check) = rest.split_at(BODY_CHARS);
    checksum(body) == check
}

fn checksum(body: &str) -> String {
    let hash = blake3::hash(body.as_bytes());
    let mut text = base64url(&hash.as_bytes()[..5]);
    text.truncate(CHECK_CHARS);
    text
}

fn base64url(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut word = [0_u8; 4];
        word[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(word);
        for place in 0..=group.len() {
            let index = (bits >> (18 - 6 * place)) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_is_that_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("fooba", "Zm9vYmE"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64url(bytes.as_bytes()), text);
        }
        assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn made_keys_are_well_formed_and_mistyped_ones_are_not() {
        let secret = Secret::generate().expect("the system has randomness");
        let text = secret.expose();
        assert_eq!(text.len(), PREFIX.len() + BODY_CHARS + CHECK_CHARS);
        assert!(is_well_formed(text));
        let other = if text.ends_with('A') { 'B' } else { 'A' };
        let mistyped = format!("{}{other}", &text[..text.len() - 1]);
        assert!(!is_well_formed(&mistyped));
        assert!(!is_well_formed("ry_short"));
        assert!(!is_well_formed(&text[1..]));
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
