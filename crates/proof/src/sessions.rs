//! The client of a client-side session: what it was answered must stay so, and what was not answered it asks again under
//! the same ids.

use crate::clients::{BASE, Client, good};
use crate::http::Ask;
use crate::world::World;
use serde_json::{Value, json};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// What a session's client was told.
#[derive(Debug, Clone, Default)]
pub struct Promises {
    /// Results by call id.
    results: Vec<(String, Value)>,
    /// The last response that it may continue from.
    response: Option<String>,
    /// It was asked to end; whether it did, the client may not know.
    completing: bool,
    completed: bool,
}

impl Client {
    /// Goes as far as the server lives. Each step can be done again, and gives what it gave.
    pub async fn act_session(&mut self, world: &World, address: SocketAddr) -> io::Result<()> {
        if self.run.is_none() {
            let body = json!({ "agent_type": "worker", "query": self.tag });
            let ask = Ask::post(format!("{BASE}/sessions"), &body);
            let ask = ask.header("idempotency-key", format!("session-{}", self.tag));
            let session = good(ask.send(address).await?)?;
            self.run = session["session_id"].as_str().map(str::to_owned);
        }
        if self.session.completed {
            return self.still_completed(address).await;
        }
        if !self.session.completing {
            self.execute("record", world, address).await?;
            self.infer(address).await?;
            self.execute("plain", world, address).await?;
        }
        self.session.completing = true;
        let body =
            json!({ "summary": self.tag, "confidence": 0.5, "evidence": [], "next_steps": [] });
        let ask = Ask::post(self.path("complete"), &body);
        good(ask.send(address).await?)?;
        self.session.completed = true;
        Ok(())
    }

    fn path(&self, verb: &str) -> String {
        let session = self.run.as_deref().unwrap_or_default();
        format!("{BASE}/sessions/{session}/{verb}")
    }

    async fn still_completed(&self, address: SocketAddr) -> io::Result<()> {
        let session = self.run.as_deref().unwrap_or_default();
        let run = good(
            Ask::get(format!("{BASE}/runs/{session}"))
                .send(address)
                .await?,
        )?;
        if run["status"] == "completed" && run["summary"] == *self.tag {
            Ok(())
        } else {
            Err(io::Error::other(format!(
                "it was completed, and now it is {run}"
            )))
        }
    }

    /// Asks for a call until it is over.
    async fn execute(&mut self, tool: &str, world: &World, address: SocketAddr) -> io::Result<()> {
        let id = format!("{tool}-{}", self.tag);
        let body =
            json!({ "tool_name": tool, "arguments": { "tag": self.tag }, "tool_call_id": id });
        loop {
            let output = good(Ask::post(self.path("execute"), &body).send(address).await?)?;
            let content = output["content"].as_str().unwrap_or_default();
            let told: Value = serde_json::from_str(content).unwrap_or(Value::Null);
            match told["status"].as_str() {
                Some("awaiting_approval") => {
                    let approval = told["approval_id"].as_str().unwrap_or_default();
                    let ask = Ask::get(format!("{BASE}/approvals/{approval}"));
                    let approval = good(ask.send(address).await?)?;
                    self.decide(&approval, world, address).await?;
                }
                Some("running") => tokio::time::sleep(Duration::from_millis(50)).await,
                _ => return self.compare(&id, output),
            }
        }
    }

    /// A result that was told once is told again.
    fn compare(&mut self, id: &str, output: Value) -> io::Result<()> {
        let told = self.session.results.iter().find(|(told, _)| told == id);
        match told {
            Some((_, told)) if *told == output => Ok(()),
            Some((_, told)) => Err(io::Error::other(format!("{id} gave {told}, now {output}"))),
            None => {
                self.session.results.push((id.to_owned(), output));
                Ok(())
            }
        }
    }

    /// A turn of the server's model, from the last response that was told.
    async fn infer(&mut self, address: SocketAddr) -> io::Result<()> {
        let mut body = json!({ "input": format!("say {}", self.tag) });
        if let Some(previous) = &self.session.response {
            body["previous_response_id"] = json!(previous);
        }
        let response = good(
            Ask::post(self.path("inference"), &body)
                .send(address)
                .await?,
        )?;
        if response["status"] != "completed" {
            return Err(io::Error::other(format!(
                "a turn was answered with {response}"
            )));
        }
        self.session.response = response["id"].as_str().map(str::to_owned);
        Ok(())
    }
}
