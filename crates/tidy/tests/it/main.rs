//! What clippy cannot check: layers, manifests, sizes, names, pairs, words and the store seam.
//!
//! Each check is a function from text to complaints, tried on text that it must complain about, and
//! then run on the repository.

mod below_server;
mod layers;
mod locks;
mod manifests;
mod migrations;
mod ports;
mod repository;
mod seeded;
mod sizes;
mod words;

/// Fails with all complaints, one a line.
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
