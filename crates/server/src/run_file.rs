//! One run in one file: a line that says what it is and who signed it, then the run. The file is whole or not there.

use crate::signing::{Signer, SigningKey};
use domain::seeded::Seeded;
use serde::{Deserialize, Serialize};
use store::transfer::Parcel;

const FORMAT: &str = "runyard.run/1";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: String,
    /// BLAKE3 of the second line, in hexadecimal digits.
    digest: String,
    signer: String,
    /// Of the format's name, a line's end and the second line.
    signature: String,
}

/// A file that was read, and who signed it.
#[derive(Debug)]
pub struct RunFile {
    pub parcel: Parcel,
    pub digest: String,
    pub signer: Signer,
}

#[derive(Debug, thiserror::Error)]
pub enum BadRunFile {
    #[error("it is no run that `runyard runs export` wrote")]
    NotOne,
    #[error("it was changed after it was signed")]
    Changed,
}

fn signed(body: &str) -> Vec<u8> {
    format!("{FORMAT}\n{body}").into_bytes()
}

/// The file's text and digest.
pub fn write(parcel: &Parcel, key: &SigningKey) -> (String, String) {
    let body = serde_json::to_string(parcel).expect("rows become JSON");
    let digest = blake3::hash(body.as_bytes()).to_hex().to_string();
    let head = Head {
        format: FORMAT.to_owned(),
        digest: digest.clone(),
        signer: key.signer().to_string(),
        signature: key.sign(&signed(&body)),
    };
    let head = serde_json::to_string(&head).expect("texts become JSON");
    (format!("{head}\n{body}\n"), digest)
}

/// # Errors
/// A file of another kind, and one whose signature does not fit.
pub fn read(text: &str) -> Result<RunFile, BadRunFile> {
    let (head, body) = text.split_once('\n').ok_or(BadRunFile::NotOne)?;
    let head: Head = serde_json::from_str(head).map_err(|_| BadRunFile::NotOne)?;
    let signer = Signer::parse(&head.signer).ok_or(BadRunFile::NotOne)?;
    if head.format != FORMAT {
        return Err(BadRunFile::NotOne);
    }
    let body = body.strip_suffix('\n').unwrap_or(body);
    let digest = blake3::hash(body.as_bytes()).to_hex().to_string();
    let is_whole = digest == head.digest && signer.signed(&signed(body), &head.signature);
    if !is_whole && !Seeded::SignatureUnchecked.is_on() {
        return Err(BadRunFile::Changed);
    }
    let parcel = serde_json::from_str(body).map_err(|_| BadRunFile::NotOne)?;
    Ok(RunFile {
        parcel,
        digest,
        signer,
    })
}
