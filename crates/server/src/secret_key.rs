//! The key that logins at other servers are sealed with: the operator's, or a file of the data folder that is made when it is
//! first needed. Whoever has the database alone can read no token.

use crate::cli::Failure;
use crate::config::Settings;
use crate::private_file;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use secrecy::{ExposeSecret, SecretString};
use std::path::{Path, PathBuf};
use tools::mcp::oauth::SealKey;

fn path(data: &Path) -> PathBuf {
    data.join("secret.key")
}

/// The key, 64 hexadecimal digits, if there is one; it is made only where `create` says so.
pub fn find(settings: &Settings, create: bool) -> Result<Option<SealKey>, Failure> {
    if let Some(text) = &settings.secret_key {
        let key = parsed(text).ok_or_else(|| {
            Failure::new(
                "RUNYARD_SECRET_KEY is no key",
                "set it to 64 hexadecimal digits, for instance from `openssl rand -hex 32`",
            )
        })?;
        return Ok(Some(key));
    }
    let path = path(&settings.data.value);
    let failed = |error: &std::io::Error| {
        let mend = "make the file readable and the data folder writable for this user";
        Failure::new(format!("{} cannot be used", path.display()), mend).because(error)
    };
    if create && !path.exists() {
        let (bytes, _) = SealKey::random().ok_or_else(|| {
            Failure::new(
                "no key can be made",
                "check the system's source of randomness",
            )
        })?;
        let digits = HEXLOWER.encode(&bytes);
        private_file::create(&path, digits.as_bytes()).map_err(|error| failed(&error))?;
    }
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => SecretString::from(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&error)),
    };
    parsed(&text).map(Some).ok_or_else(|| {
        Failure::new(
            format!("{} holds no key", path.display()),
            "put the file back as it was; without it, remove it and log in again with `runyard mcp login`",
        )
    })
}

fn parsed(text: &SecretString) -> Option<SealKey> {
    let digits = text.expose_secret().trim().as_bytes();
    let bytes = HEXLOWER_PERMISSIVE.decode(digits).ok()?.try_into().ok()?;
    Some(SealKey::new(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_64_hexadecimal_digits() {
        let key = |text: &str| parsed(&SecretString::from(text)).is_some();
        assert!(key(&"0a".repeat(32)));
        assert!(key(&format!("{}\n", "AF".repeat(32))));
        for wrong in [
            "",
            "0a",
            &"0g".repeat(32),
            &"0a".repeat(33),
            &"é".repeat(32),
        ] {
            assert!(!key(wrong), "{wrong}");
        }
    }
}
