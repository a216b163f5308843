//! A run comes into being, and begins.

use super::turn::begin_turn;
use super::{Draft, NewRun, Phase, Refused, Run, RunKind, RunState, RunStatus, Transition};
use crate::Timestamp;
use crate::event::EventBody;
use crate::policy::Labels;
use crate::usage::Usage;

pub(super) fn create(new: NewRun, at: Timestamp) -> Transition {
    let run = Run {
        org: new.org,
        id: new.id,
        kind: new.kind,
        agent_type: new.agent_type,
        agent_version: new.agent_version,
        request: new.request,
        created_at: at,
        created_by: new.created_by,
        state: RunState::Queued { input: new.input },
        lane: new.lane,
        usage: Usage::default(),
        next_seq: 1,
        next_step: 0,
        turns: 0,
        malformed_turns: 0,
        crashes: 0,
        waited_us: 0,
        hold: None,
        met: Labels::NONE,
        last_text: None,
        epoch: 1,
        version: 1,
    };
    let mut draft = Draft::new(&run, at);
    draft.event(EventBody::RunCreated {
        thread_id: run.thread_id(),
        agent_type: run.agent_type,
        agent_version: run.agent_version,
        status: RunStatus::Queued,
    });
    draft.out
}

pub(super) fn start(mut draft: Draft) -> Result<Transition, Refused> {
    let RunState::Queued { input } = &mut draft.out.run.state else {
        return draft.refuse("start", "it has begun already");
    };
    let input = std::mem::take(input);
    let started_at = draft.at;
    draft.event(EventBody::RunStatus {
        status: RunStatus::Running,
    });
    match &draft.out.run.kind {
        RunKind::Thread { .. } => {
            draft.out.messages = input;
            if draft.out.run.request.gated {
                draft.out.run.state = RunState::Running {
                    started_at,
                    phase: Phase::Gate { since: started_at },
                };
            } else {
                begin_turn(&mut draft, started_at);
            }
        }
        RunKind::Session { .. } => {
            draft.out.run.state = RunState::Running {
                started_at,
                phase: Phase::Client { calls: Vec::new() },
            };
        }
    }
    draft.finish()
}
