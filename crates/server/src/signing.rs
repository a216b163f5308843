//! The key that files for other servers are signed with: Ed25519 (RFC 8032), made when it is first needed, in a file of the
//! data folder. Whoever reads such a file knows from which server it is, and that nothing in it was changed.

use crate::cli::Failure;
use crate::private_file;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use std::path::Path;

const FILE: &str = "signing.key";

pub struct SigningKey(Ed25519KeyPair);

/// A public key, 64 hexadecimal digits in text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer([u8; 32]);

impl SigningKey {
    /// The key of this data folder; made if there is none.
    pub fn of(data: &Path) -> Result<Self, Failure> {
        let path = data.join(FILE);
        let failed = |error: &dyn std::error::Error| {
            let mend = "make the file readable and the data folder writable for this user";
            Failure::new(format!("{} cannot be used", path.display()), mend).because(error)
        };
        if !path.exists() {
            let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| {
                Failure::new(
                    "no key can be made",
                    "check the system's source of randomness",
                )
            })?;
            private_file::create(&path, HEXLOWER.encode(made.as_ref()).as_bytes())
                .map_err(|error| failed(&error))?;
        }
        let text = std::fs::read_to_string(&path).map_err(|error| failed(&error))?;
        let key = digits(text.trim()).and_then(|bytes| Ed25519KeyPair::from_pkcs8(&bytes).ok());
        key.map(Self).ok_or_else(|| {
            Failure::new(
                format!("{} holds no key", path.display()),
                "put the file back as it was; without it, remove it, and tell those who trust this server its new key",
            )
        })
    }

    pub fn signer(&self) -> Signer {
        let public = self.0.public_key().as_ref();
        Signer(public.try_into().expect("32 bytes, as the RFC says"))
    }

    /// The signature, in hexadecimal digits.
    pub fn sign(&self, message: &[u8]) -> String {
        HEXLOWER.encode(self.0.sign(message).as_ref())
    }
}

impl Signer {
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self(digits(text)?.try_into().ok()?))
    }

    /// True if the key behind this one signed the message.
    pub fn signed(&self, message: &[u8], signature: &str) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.0);
        digits(signature).is_some_and(|signature| key.verify(message, &signature).is_ok())
    }
}

impl std::fmt::Display for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// The bytes behind hexadecimal digits.
fn digits(text: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_is_of_this_key_and_this_text() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::of(folder.path()).unwrap();
        let again = SigningKey::of(folder.path()).unwrap();
        let signature = key.sign(b"a text");
        let signer = Signer::parse(&again.signer().to_string()).unwrap();
        assert!(signer.signed(b"a text", &signature));
        assert!(!signer.signed(b"a texT", &signature));
        assert!(!signer.signed(b"a text", &signature.replace(['0', '1'], "2")));
        let other = tempfile::tempdir().unwrap();
        let other = SigningKey::of(other.path()).unwrap();
        assert!(!other.signer().signed(b"a text", &signature));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for wrong in ["", "00", "é", &"0g".repeat(32), &"00".repeat(33)] {
            assert_eq!(Signer::parse(wrong), None, "{wrong}");
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "nonsense").unwrap();
        assert!(SigningKey::of(folder.path()).is_err());
    }
}
