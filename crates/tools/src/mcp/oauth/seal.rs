//! Logins as they lie in the store: encrypted, and bound to the server and org that they are of, so that none can be put in
//! another's place.

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use domain::ports::logins::LoginOf;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;
use std::sync::Arc;

/// 32 random bytes. Nonces are random too: 96 bits are enough for the few billions that one key ever seals.
#[derive(Clone)]
pub struct SealKey(Arc<LessSafeKey>);

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(..)")
    }
}

/// It was sealed with another key, for another login, or changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it cannot be opened with this key")]
pub struct NotOpened;

impl SealKey {
    pub const BYTES: usize = 32;

    pub fn new(bytes: &[u8; Self::BYTES]) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, bytes).expect("the algorithm takes 32 bytes");
        Self(Arc::new(LessSafeKey::new(key)))
    }

    /// A key that nobody else has. `None` if the system has no randomness.
    pub fn random() -> Option<([u8; Self::BYTES], Self)> {
        let mut bytes = [0; Self::BYTES];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some((bytes, Self::new(&bytes)))
    }

    /// Base64 of nonce, ciphertext and tag. `None` if the system has no randomness.
    pub(super) fn seal(&self, of: &LoginOf, text: &str) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut sealed = text.as_bytes().to_vec();
        let about = Aad::from(about(of));
        let fresh = Nonce::assume_unique_for_key(nonce);
        self.0
            .seal_in_place_append_tag(fresh, about, &mut sealed)
            .ok()?;
        Some(BASE64_STANDARD_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    pub(super) fn open(&self, of: &LoginOf, sealed: &str) -> Result<String, NotOpened> {
        let bytes = BASE64_STANDARD_NO_PAD
            .decode(sealed)
            .map_err(|_| NotOpened)?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN).ok_or(NotOpened)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| NotOpened)?;
        let mut sealed = sealed.to_vec();
        let opened = self
            .0
            .open_in_place(nonce, Aad::from(about(of)), &mut sealed);
        let opened = opened.map_err(|_| NotOpened)?;
        String::from_utf8(opened.to_vec()).map_err(|_| NotOpened)
    }
}

/// No name of a server or an org holds the byte between them.
fn about(of: &LoginOf) -> Vec<u8> {
    let org = of.org.as_ref().map_or("", |org| org.as_str());
    format!("runyard login 1\0{}\0{org}", of.server).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::OrgId;

    fn of(server: &str, org: Option<&str>) -> LoginOf {
        LoginOf {
            server: server.to_owned(),
            org: org.map(|org| OrgId::new(org).unwrap()),
        }
    }

    #[test]
    fn login_is_opened_by_its_key_for_its_server_and_org_alone() {
        let (key, other) = (SealKey::new(&[7; 32]), SealKey::new(&[8; 32]));
        let crm = of("crm", Some("acme"));
        let sealed = key.seal(&crm, "a token").unwrap();
        assert!(!sealed.contains("token"));
        assert_eq!(key.open(&crm, &sealed).as_deref(), Ok("a token"));
        assert_ne!(
            key.seal(&crm, "a token").unwrap(),
            sealed,
            "each has its own nonce"
        );
        assert_eq!(other.open(&crm, &sealed), Err(NotOpened));
        for wrong in [
            of("crm", None),
            of("crm", Some("globex")),
            of("mail", Some("acme")),
        ] {
            assert_eq!(key.open(&wrong, &sealed), Err(NotOpened));
        }
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(key.open(&crm, &changed), Err(NotOpened), "{at}");
        }
        assert_eq!(key.open(&crm, ""), Err(NotOpened));
    }
}
