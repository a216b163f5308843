//! Lines typed at the terminal, read on a thread of their own, because a read of standard input cannot be given up.

use std::io::BufRead;
use tokio::sync::mpsc;

pub struct Lines {
    typed: mpsc::Receiver<String>,
}

impl Lines {
    /// Begins to read standard input.
    pub fn of_stdin() -> Self {
        let (sender, typed) = mpsc::channel(16);
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(line) = line else { return };
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self { typed }
    }

    /// The next line without its end; `None` at the end of the input.
    pub async fn next(&mut self) -> Option<String> {
        self.typed.recv().await
    }
}
