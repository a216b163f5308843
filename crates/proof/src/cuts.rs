//! Streams that are cut and rejoined, at the same server or another, again and again.

use crate::clients::{BASE, good};
use crate::dice::Dice;
use crate::frames::{Frame, joined};
use crate::http::{Ask, Live};
use scripted::{Script, reply};
use serde_json::json;
use std::io;
use std::net::SocketAddr;

/// Tokens of a run's answer.
const TOKENS: usize = 300;
/// Readers of each run at once.
const READERS: u64 = 20;

/// What came of cutting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cut {
    /// Streams that were cut and rejoined.
    pub times: usize,
    pub runs: usize,
    /// Readers whose pieces were not the uncut stream, byte for byte.
    pub wrong: usize,
}

/// A model that speaks long enough to be cut off often.
pub fn talker() -> Script {
    let tokens = (0..TOKENS).map(|number| format!("token {number}\n\n"));
    Script::always(reply().text_tokens(tokens).between_ms(5).build())
}

/// Begins a run of the agent that every world has.
pub async fn begin(address: SocketAddr, more: &serde_json::Value) -> io::Result<Live> {
    let thread = json!({ "agent_type": "worker" });
    let thread = Ask::post(format!("{BASE}/threads"), &thread).send(address);
    let thread = good(thread.await?)?;
    let id = thread["id"].as_str().unwrap_or_default();
    let mut body = json!({ "input": "go" });
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let live = Ask::post(format!("{BASE}/threads/{id}/runs"), &body).open(address);
    expect_ok(live.await?)
}

/// The run that a stream is of.
pub fn run_of(live: &Live) -> String {
    let path = live.header("content-location").unwrap_or_default();
    path.trim()
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// The events of a run after a number.
pub async fn rejoin(address: SocketAddr, run: &str, after: u64) -> io::Result<Live> {
    let ask =
        Ask::get(format!("{BASE}/runs/{run}/events")).header("last-event-id", after.to_string());
    expect_ok(ask.open(address).await?)
}

fn expect_ok(live: Live) -> io::Result<Live> {
    match live.status {
        200 => Ok(live),
        status => Err(io::Error::other(format!("answered with {status}"))),
    }
}

/// Reads a run in pieces: each time some whole frames, then the middle of one, then away and back with the last number,
/// to whichever of the servers the dice choose. The frames, and how often it was cut.
pub async fn read_in_pieces(
    servers: &[SocketAddr],
    run: &str,
    dice: &Dice,
    cuts_max: usize,
) -> io::Result<(Vec<Frame>, usize)> {
    let (mut frames, mut cuts): (Vec<Frame>, usize) = (Vec::new(), 0);
    loop {
        let after = frames.last().map_or(0, |frame| frame.seq);
        let mut live = rejoin(*dice.pick(servers), run, after).await?;
        let cut_at = if cuts < cuts_max {
            dice.index(4000)
        } else {
            usize::MAX
        };
        let mut read = 0;
        loop {
            match live.frame().await? {
                None => return Ok((frames, cuts)),
                Some(frame) => {
                    read += frame.bytes.len();
                    // Of the frame that the cut goes through, nothing was received.
                    if read > cut_at {
                        break;
                    }
                    frames.push(frame);
                }
            }
        }
        cuts += 1;
    }
}

/// Runs with many readers each, who are cut off while the model speaks and afterwards, until there were so many cuts.
///
/// # Errors
/// A server that does not answer, or a stream that is none.
pub async fn cut_often(servers: &[SocketAddr], cuts: usize, seed: u64) -> io::Result<Cut> {
    let dice = Dice::new(seed);
    let mut cut = Cut::default();
    while cut.times < cuts {
        cut.runs += 1;
        let live = begin(*dice.pick(servers), &json!({})).await?;
        let run = run_of(&live);
        let during = futures::future::try_join_all(
            (0..READERS).map(|_| read_in_pieces(servers, &run, &dice, 5)),
        );
        let (uncut, during) = tokio::try_join!(live.all(), during)?;
        let afterwards = (0..READERS).map(|_| read_in_pieces(servers, &run, &dice, 10));
        let afterwards = futures::future::try_join_all(afterwards).await?;
        let whole = joined(&uncut);
        for (frames, times) in during.into_iter().chain(afterwards) {
            cut.times += times;
            cut.wrong += usize::from(joined(&frames) != whole);
        }
    }
    Ok(cut)
}
