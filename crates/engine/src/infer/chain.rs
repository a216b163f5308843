//! The chain of responses that a turn continues: a tree of immutable links, in memory where it was used of late, else
//! read from the store. What a turn adds to it is in `infer`.

use super::InferError;
use crate::{Engine, EngineError};
use domain::context::{Block, Context};
use domain::limits::{CHAIN_BYTES_MAX, CHAIN_DEPTH_MAX, RESPONSE_ROUNDS_MAX, RESPONSE_TTL};
use domain::message::Message;
use domain::response::{Response, ResponseId};
use domain::seeded::Seeded;
use domain::{CallId, OrgId, OrgScope, RunId};
use std::sync::Arc;

/// Turns whose messages are one block of the context.
const BLOCK_TURNS: u32 = 32;

/// A response with those that it continues. Immutable, so that a thousand turns share one chain.
pub(crate) struct Link {
    pub response: Arc<Response>,
    messages: Vec<Arc<Message>>,
    parent: Option<Arc<Link>>,
    block: Option<BlockEnd>,
}

/// A block of the context ends with this link.
struct BlockEnd {
    block: Arc<Block>,
    /// Where the block before it ends.
    before: Option<Arc<Link>>,
}

impl Drop for Link {
    /// One by one: a long chain that is dropped recursively would overflow the stack.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(link) = next {
            next = Arc::into_inner(link).and_then(|mut link| link.parent.take());
        }
    }
}

impl Link {
    pub fn new(response: Response, parent: Option<Arc<Self>>) -> Self {
        let mut messages: Vec<Arc<Message>> =
            response.input.iter().cloned().map(Arc::new).collect();
        messages.push(Arc::new(response.output.clone()));
        let mut link = Self {
            response: Arc::new(response),
            messages,
            parent,
            block: None,
        };
        if link.response.depth.is_multiple_of(BLOCK_TURNS) {
            let (before, rest) = link.since_block();
            link.block = Some(BlockEnd {
                block: Arc::new(Block::new(rest)),
                before: before.cloned(),
            });
        }
        link
    }

    /// The nearest link that ends a block, and the messages since, oldest first. A new link's own block is not asked for.
    fn since_block(&self) -> (Option<&Arc<Self>>, Vec<Arc<Message>>) {
        let mut since = vec![&self.messages];
        let mut next = self.parent.as_ref();
        while let Some(link) = next.filter(|link| link.block.is_none()) {
            since.push(&link.messages);
            next = link.parent.as_ref();
        }
        let messages = since.into_iter().rev().flatten();
        (next, messages.cloned().collect())
    }

    pub fn parent(&self) -> Option<&Self> {
        self.parent.as_deref()
    }

    /// The context that a turn continuing from here is given, oldest first.
    pub fn context(&self) -> Context {
        let (mut end, rest) = match &self.block {
            Some(end) => (Some(end), Vec::new()),
            None => {
                let (last, rest) = self.since_block();
                (last.and_then(|link| link.block.as_ref()), rest)
            }
        };
        let mut blocks = Vec::new();
        while let Some(BlockEnd { block, before }) = end {
            blocks.push(block.clone());
            end = before.as_ref().and_then(|link| link.block.as_ref());
        }
        blocks.reverse();
        Context::new(blocks, rest)
    }

    /// About how much memory it takes. A block holds its texts again, as a wire writes them.
    fn bytes(&self) -> usize {
        let own = self.messages.iter();
        let own: usize = own.map(|m| 256 + m.content.text().len()).sum();
        let block = self.block.as_ref().map_or(0, |end| {
            end.block.text_bytes() + 96 * end.block.messages().len()
        });
        own + block
    }
}

/// Chains in memory, by org, session and response.
pub(crate) struct Chains {
    cache: moka::sync::Cache<(OrgId, RunId, ResponseId), Arc<Link>>,
}

impl Chains {
    pub fn new(bytes_max: u64) -> Self {
        let weigh = |link: &Arc<Link>| u32::try_from(link.bytes()).unwrap_or(u32::MAX);
        let cache = moka::sync::Cache::builder()
            .weigher(move |_, link| weigh(link))
            .max_capacity(bytes_max)
            .build();
        Self { cache }
    }

    pub fn keep(&self, scope: &OrgScope, link: Arc<Link>) {
        let key = Self::key(scope, link.response.session, link.response.id);
        self.cache.insert(key, link);
    }

    fn key(scope: &OrgScope, session: RunId, id: ResponseId) -> (OrgId, RunId, ResponseId) {
        if Seeded::CacheKeyWithoutOrg.is_on() {
            let any = OrgId::new("any").expect("this is a slug");
            return (any, RunId::new(id.uuid()), id);
        }
        (scope.org().clone(), session, id)
    }
}

impl Engine {
    /// The response and its chain; of one that did not come to its end, its last round.
    pub(super) async fn link(
        &self,
        scope: &OrgScope,
        session: RunId,
        id: ResponseId,
    ) -> Result<Arc<Link>, InferError> {
        if let Some(link) = self.find_link(scope, session, id).await? {
            return Ok(link);
        }
        let rounds = self.rounds_of(scope, session, id).await?;
        rounds.last().cloned().ok_or(InferError::PreviousNotFound)
    }

    /// The rounds of a response before its last, in order.
    pub(super) async fn rounds_of(
        &self,
        scope: &OrgScope,
        session: RunId,
        id: ResponseId,
    ) -> Result<Vec<Arc<Link>>, InferError> {
        let mut rounds = Vec::new();
        for number in 1..=RESPONSE_ROUNDS_MAX {
            let Some(round) = self.find_link(scope, session, id.round(number)).await? else {
                break;
            };
            rounds.push(round);
        }
        Ok(rounds)
    }

    /// From memory or the store; `None` if there is no such response in this session, or it is out of date.
    pub(super) async fn find_link(
        &self,
        scope: &OrgScope,
        session: RunId,
        id: ResponseId,
    ) -> Result<Option<Arc<Link>>, InferError> {
        let key = |id| Chains::key(scope, session, id);
        let oldest = self.clock.now().as_micros() - micros(RESPONSE_TTL);
        let mut missing = Vec::new();
        let mut found = None;
        let mut next = Some(id);
        while let Some(id) = next {
            found = self.chains.cache.get(&key(id));
            if found.is_some() {
                break;
            }
            let response = self.store.get_response(scope, session, id).await;
            let response = response.map_err(EngineError::Store)?;
            let Some(response) = response else {
                return Ok(None);
            };
            next = response.parent;
            missing.push(response);
        }
        for response in missing.into_iter().rev() {
            let link = Arc::new(Link::new(response, found.take()));
            self.chains.keep(scope, link.clone());
            found = Some(link);
        }
        Ok(found.filter(|link| link.response.created_at.as_micros() >= oldest))
    }
}

pub(super) fn is_too_long(response: &Response) -> bool {
    response.depth >= CHAIN_DEPTH_MAX || response.chain_bytes >= CHAIN_BYTES_MAX
}

/// Every call of the response that is continued has its result in the input, and every result its call. Results of calls
/// that are run here are not the client's to tell.
pub(super) fn check_answers(parent: Option<&Link>, input: &[Message]) -> Result<(), InferError> {
    let runs_here = parent.is_some_and(|link| link.response.runs_tools);
    if input.is_empty() && !runs_here {
        return Err(InferError::EmptyInput);
    }
    let asked = parent
        .filter(|_| !runs_here)
        .map(|link| link.response.output.tool_calls.as_slice())
        .unwrap_or_default();
    let answered: Vec<&CallId> = input
        .iter()
        .filter_map(|m| m.tool_call_id.as_ref())
        .collect();
    let given: Vec<&CallId> = input
        .iter()
        .flat_map(|m| &m.tool_calls)
        .map(|call| &call.id)
        .collect();
    let known = |id: &CallId| asked.iter().any(|call| call.id == *id) || given.contains(&id);
    let mut missing: Vec<CallId> = answered
        .iter()
        .filter(|id| !known(id))
        .map(|id| (*id).clone())
        .collect();
    let open = asked
        .iter()
        .map(|call| &call.id)
        .chain(given.iter().copied());
    missing.extend(open.filter(|id| !answered.contains(id)).cloned());
    if missing.is_empty() {
        Ok(())
    } else {
        Err(InferError::UnansweredCalls { missing })
    }
}

fn micros(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
