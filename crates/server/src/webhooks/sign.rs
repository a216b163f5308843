//! The signature of a message: Standard Webhooks 1.0, symmetric (`v1`), HMAC with SHA-256 over id, time and body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;

/// The specification asks for 24 to 64 bytes.
const BYTES_MIN: usize = 24;
const BYTES_MAX: usize = 64;

/// One secret of an endpoint.
#[derive(Debug, Clone)]
pub struct Key(SecretSlice<u8>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("it is not `whsec_` and base64")]
    NotBase64,
    #[error("it has {0} bytes; 24 to 64 are needed")]
    Length(usize),
}

impl Key {
    /// Reads `whsec_` and base64; the beginning may be missing.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let encoded = text.strip_prefix("whsec_").unwrap_or(text);
        let bytes = STANDARD.decode(encoded).map_err(|_| KeyError::NotBase64)?;
        if !(BYTES_MIN..=BYTES_MAX).contains(&bytes.len()) {
            return Err(KeyError::Length(bytes.len()));
        }
        Ok(Self(SecretSlice::from(bytes)))
    }

    fn sign(&self, signed: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret())
            .expect("HMAC takes keys of any length");
        mac.update(signed);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// The value of `webhook-signature`: one signature for each key, so that receivers can change theirs in their own time.
pub fn signatures(keys: &[Key], id: &str, timestamp: i64, body: &str) -> String {
    let signed = format!("{id}.{timestamp}.{body}");
    let all: Vec<String> = keys.iter().map(|key| key.sign(signed.as_bytes())).collect();
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_strictly() {
        let good = format!("whsec_{}", STANDARD.encode([7; 32]));
        assert!(Key::parse(&good).is_ok());
        assert!(Key::parse(good.strip_prefix("whsec_").unwrap()).is_ok());
        assert_eq!(Key::parse("whsec_!").unwrap_err(), KeyError::NotBase64);
        let short = STANDARD.encode([7; 8]);
        assert_eq!(Key::parse(&short).unwrap_err(), KeyError::Length(8));
    }

    #[test]
    fn receivers_library_accepts_each_key_and_no_altered_byte() {
        let secrets = [STANDARD.encode([7; 32]), STANDARD.encode([9; 24])];
        let keys: Vec<Key> = secrets.iter().map(|it| Key::parse(it).unwrap()).collect();
        let (id, body) = ("msg_1", "{\"type\":\"run.completed\"}");
        #[expect(
            clippy::disallowed_methods,
            reason = "receivers compare with their own clock"
        )]
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let timestamp = i64::try_from(now.as_secs()).unwrap();
        let signature = signatures(&keys, id, timestamp, body);
        let headers = |signature: &str| {
            let mut headers = axum::http::HeaderMap::new();
            headers.insert("webhook-id", id.parse().unwrap());
            headers.insert("webhook-timestamp", timestamp.to_string().parse().unwrap());
            headers.insert("webhook-signature", signature.parse().unwrap());
            headers
        };
        for secret in &secrets {
            let receiver = standardwebhooks::Webhook::new(secret).unwrap();
            let good = headers(&signature);
            receiver.verify(body.as_bytes(), &good).unwrap();
            for index in 0..body.len() {
                let mut altered = body.as_bytes().to_vec();
                altered[index] ^= 1;
                assert!(receiver.verify(&altered, &good).is_err());
            }
        }
        let stranger = standardwebhooks::Webhook::new(&STANDARD.encode([8; 32])).unwrap();
        assert!(
            stranger
                .verify(body.as_bytes(), &headers(&signature))
                .is_err()
        );
    }
}
