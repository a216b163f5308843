//! Every order of events in a small world, one after the other: two workers with leases, people who decide at the same
//! moment, one run with a gated unsafe call beside a keyed one. The state machine is the real one; around it stands the
//! store as `ports::store` promises it. A model checker visits all states that the budget of misfortunes allows.

use super::*;
use crate::approval::{ApprovalKind, ApprovalStatus, Choice, Decision};
use stateright::{Checker, HasDiscoveries, Model, Property};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

/// How often each thing may go wrong.
const MISFORTUNES: u8 = 1;
/// How often people and the clock may interfere.
const INTERFERENCES: u8 = 1;

/// The world as it should be, or with one mistake in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Small {
    Right,
    /// Workers send without looking at their lease.
    SendsLate,
    /// The store takes writes of whoever held the run before.
    ForgetsEpochs,
}

#[derive(Debug, Clone, Default)]
struct Worker {
    /// By its own clock its lease stands.
    leased: bool,
    frozen: bool,
    local: Option<Run>,
    /// Sent under the run that it holds, by call and attempt.
    sent: Vec<(CallId, u32)>,
}

/// A change that somebody has computed from what was stored then.
#[derive(Debug, Clone)]
struct Draw {
    next: Transition,
    from: u64,
}

#[derive(Debug, Clone)]
struct World {
    stored: Run,
    approvals: Vec<Approval>,
    holder: Option<usize>,
    workers: [Worker; 2],
    drawn: BTreeMap<Hand, Draw>,
    /// Names of tools, and how often each has acted.
    effects: BTreeMap<String, u32>,
    misfortunes: u8,
    interferences: u8,
    small: Small,
    /// What should never have happened.
    wrong: Option<&'static str>,
}

/// Who changes a run from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Hand {
    Approver,
    Denier,
    Canceller,
    Clock,
}

#[derive(Debug, Clone, PartialEq)]
enum Action {
    Claim(usize),
    Work(usize),
    Send(usize, CallId, u32),
    Settle(usize, CallId),
    LoseAnswer(usize, CallId),
    Freeze(usize),
    Thaw(usize),
    LeaseEnds(usize),
    Crash(usize),
    Return(usize),
    Draw(Hand),
    Commit(Hand),
}

impl World {
    /// What tells one state from another. Numbers that only grow, and that nothing but equality is asked of, are left out.
    fn key(&self) -> String {
        let plain = |run: &Run| {
            let mut plain = run.clone();
            (plain.next_seq, plain.next_step, plain.version) = (0, 0, 0);
            plain.usage = Usage::default();
            serde_json::to_string(&plain).expect("a run is JSON")
        };
        let workers: Vec<_> = self
            .workers
            .iter()
            .map(|worker| {
                let local = worker
                    .local
                    .as_ref()
                    .map(|run| (plain(run), run.version == self.stored.version));
                (worker.leased, worker.frozen, local, worker.sent.clone())
            })
            .collect();
        let drawn: Vec<_> = self
            .drawn
            .iter()
            .map(|(hand, draw)| {
                (
                    hand,
                    plain(&draw.next.run),
                    draw.from == self.stored.version,
                )
            })
            .collect();
        let approvals: Vec<_> = self
            .approvals
            .iter()
            .map(|it| (it.id, it.status, it.kind))
            .collect();
        format!(
            "{}{approvals:?}{:?}{workers:?}{drawn:?}{:?}{}{}{:?}",
            plain(&self.stored),
            self.holder,
            self.effects,
            self.misfortunes,
            self.interferences,
            self.wrong
        )
    }

    fn pending(&self) -> Option<&Approval> {
        self.approvals
            .iter()
            .find(|it| it.status == ApprovalStatus::Pending)
    }

    /// The store's compare-and-set, with everything that is in the transition.
    fn commit(&mut self, next: Transition, version: u64, epoch: u64) -> bool {
        let checks = self.small != Small::ForgetsEpochs;
        if checks && (self.stored.version != version || self.stored.epoch != epoch) {
            return false;
        }
        if self.stored.status().is_terminal() {
            self.wrong = Some("an ended run was changed");
        }
        for approval in next.approvals {
            match self.approvals.iter_mut().find(|it| it.id == approval.id) {
                Some(known) if known.status != ApprovalStatus::Pending => {
                    self.wrong = Some("a decision was overturned");
                }
                Some(known) => *known = approval,
                None => self.approvals.push(approval),
            }
        }
        for closed in next.closed {
            let known = self.approvals.iter_mut().find(|it| it.id == closed.id);
            known.expect("it was asked for").status = ApprovalStatus::Cancelled;
        }
        self.stored = next.run;
        true
    }

    /// As a driver commits: again from the state that won, unless the run is another's by then.
    fn drive(&mut self, worker: usize, input: Input) {
        loop {
            let Some(local) = self.workers[worker].local.clone() else {
                return;
            };
            let Ok(next) = local.apply(input.clone(), at(1)) else {
                self.leave(worker);
                return;
            };
            let run = next.run.clone();
            if self.commit(next, local.version, local.epoch) {
                let keeps = !matches!(run.next(), Next::AwaitApproval | Next::Ended);
                self.workers[worker].local = Some(run);
                if !keeps {
                    self.leave(worker);
                }
                return;
            }
            if self.stored.epoch != local.epoch || self.stored.status().is_terminal() {
                self.leave(worker);
                return;
            }
            self.workers[worker].local = Some(self.stored.clone());
        }
    }

    fn leave(&mut self, worker: usize) {
        self.workers[worker].local = None;
        self.workers[worker].sent.clear();
        if self.holder == Some(worker) {
            self.holder = None;
        }
    }

    /// A worker may take what nobody drives and nobody holds by a lease that stands.
    fn is_free(&self) -> bool {
        let is_held = self
            .holder
            .is_some_and(|holder| self.workers[holder].leased);
        let needs = !matches!(self.stored.next(), Next::AwaitApproval | Next::Ended);
        needs && !is_held
    }

    fn claim(&mut self, worker: usize) {
        self.stored.epoch += 1;
        self.stored.version += 1;
        self.holder = Some(worker);
        self.workers[worker].local = Some(self.stored.clone());
        if !matches!(self.stored.state, RunState::Queued { .. }) {
            self.drive(worker, Input::Recovered { crashed: true });
        }
    }

    fn work(&mut self, worker: usize) {
        let Some(local) = self.workers[worker].local.clone() else {
            return;
        };
        match local.next() {
            Next::Start => self.drive(worker, Input::Start),
            Next::CallModel(turn) if turn.turn == 1 => {
                let calls = vec![
                    call("pay", Effect::Unsafe, ask()),
                    call("note", Effect::Keyed, Verdict::Run),
                ];
                self.drive(worker, answer("", calls));
            }
            Next::CallModel(_) => self.drive(worker, answer("done", Vec::new())),
            Next::Dispatch(calls) => {
                let calls = calls.iter().map(|call| call.id.clone()).collect();
                self.drive(worker, Input::Dispatching { calls });
            }
            Next::AwaitTools(_) => {}
            Next::Judge | Next::AwaitApproval | Next::AwaitClient | Next::Ended => {
                self.leave(worker)
            }
        }
    }

    /// As a driver sends: what is committed as dispatched, if its own lease stands; else it takes the intent back.
    fn send(&mut self, worker: usize, id: CallId, attempt: u32) {
        if !self.workers[worker].leased && self.small != Small::SendsLate {
            self.drive(worker, Input::Unsent { calls: vec![id] });
            self.leave(worker);
            return;
        }
        let local = self.workers[worker].local.as_ref();
        let call = local
            .and_then(|run| run.calls().iter().find(|call| call.id == id))
            .cloned();
        let call = call.expect("it is dispatched");
        let allowed = self.approvals.iter().any(|it| {
            it.call_id == id
                && it.kind == ApprovalKind::ToolCall
                && it.status == ApprovalStatus::Approved
        });
        if call.effect == Effect::Unsafe && !allowed {
            self.wrong = Some("a gated call was sent that nobody had approved");
        }
        *self.effects.entry(call.name).or_default() += 1;
        self.workers[worker].sent.push((id, attempt));
    }

    fn decision(&self, hand: Hand, approval: &Approval) -> Option<Choice> {
        let acted = self.effects.get(&approval.tool_name).copied().unwrap_or(0) > 0;
        match (hand, approval.kind) {
            // Whoever is asked what became of a call looks at the service first.
            (Hand::Approver, ApprovalKind::OutcomeUnknown) if acted => {
                Some(Choice::Happened { result: None })
            }
            (Hand::Approver, _) => Some(Choice::Approve),
            (Hand::Denier, _) => Some(Choice::Deny),
            (Hand::Canceller | Hand::Clock, _) => None,
        }
    }

    /// What somebody makes of what is stored now.
    fn draw(&self, hand: Hand) -> Option<Transition> {
        let input = match hand {
            Hand::Canceller => Input::Cancel {
                reason: None,
                by: None,
                deltas: Partial::Unknown,
            },
            Hand::Clock => Input::Expired {
                approval: Box::new(self.pending()?.clone()),
            },
            Hand::Approver | Hand::Denier => {
                let approval = self.pending()?;
                let decision = Decision {
                    choice: self.decision(hand, approval)?,
                    reason: None,
                    arguments: None,
                    remember: None,
                    seen: None,
                    by: principal(),
                };
                Input::Resolved {
                    approval: Box::new(approval.clone()),
                    decision,
                }
            }
        };
        let when = if hand == Hand::Clock {
            at(7_200)
        } else {
            at(1)
        };
        self.stored.apply(input, when).ok()
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// Calls that a worker has committed as dispatched.
fn dispatched(worker: &Worker) -> Vec<Call> {
    let calls = worker.local.iter().flat_map(|run| run.calls());
    calls
        .filter(|call| matches!(call.state, CallState::Dispatched { .. }))
        .cloned()
        .collect()
}

impl Model for Small {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let worker = Worker {
            leased: true,
            ..Worker::default()
        };
        vec![World {
            stored: new_run(Budget::default()).run,
            approvals: Vec::new(),
            holder: None,
            workers: [worker.clone(), worker],
            drawn: BTreeMap::new(),
            effects: BTreeMap::new(),
            misfortunes: 0,
            interferences: 0,
            small: *self,
            wrong: None,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for (index, worker) in world.workers.iter().enumerate() {
            if worker.frozen {
                actions.push(Action::Thaw(index));
                if worker.leased {
                    actions.push(Action::LeaseEnds(index));
                }
                continue;
            }
            match &worker.local {
                None if worker.leased && world.is_free() => actions.push(Action::Claim(index)),
                None if !worker.leased => actions.push(Action::Return(index)),
                None => {}
                Some(local) if matches!(local.next(), Next::AwaitTools(_)) => {
                    for call in dispatched(worker) {
                        if worker.sent.contains(&(call.id.clone(), call.attempt)) {
                            actions.push(Action::Settle(index, call.id.clone()));
                            actions.push(Action::LoseAnswer(index, call.id));
                        } else {
                            actions.push(Action::Send(index, call.id, call.attempt));
                        }
                    }
                }
                Some(_) => actions.push(Action::Work(index)),
            }
            if world.misfortunes < MISFORTUNES && worker.local.is_some() {
                actions.extend([Action::Freeze(index), Action::Crash(index)]);
            }
        }
        if world.misfortunes >= MISFORTUNES {
            actions.retain(|action| !matches!(action, Action::LoseAnswer(..)));
        }
        for hand in [Hand::Approver, Hand::Denier, Hand::Canceller, Hand::Clock] {
            if world.drawn.contains_key(&hand) {
                actions.push(Action::Commit(hand));
            } else if (hand == Hand::Approver || world.interferences < INTERFERENCES)
                && world.draw(hand).is_some()
            {
                // Somebody always decides in the end.
                actions.push(Action::Draw(hand));
            }
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        match action {
            Action::Claim(worker) => world.claim(worker),
            Action::Work(worker) => world.work(worker),
            Action::Send(worker, id, attempt) => world.send(worker, id, attempt),
            Action::Settle(worker, id) => {
                let outcomes = vec![(id, ToolOutcome::Committed(ToolResult::ok("{}")))];
                world.drive(worker, Input::CallsSettled { outcomes });
            }
            Action::LoseAnswer(worker, id) => {
                world.misfortunes += 1;
                let evidence = "the connection ended".to_owned();
                let outcomes = vec![(id, ToolOutcome::Unknown { evidence })];
                world.drive(worker, Input::CallsSettled { outcomes });
            }
            Action::Freeze(worker) => {
                world.misfortunes += 1;
                world.workers[worker].frozen = true;
            }
            Action::Thaw(worker) => world.workers[worker].frozen = false,
            Action::LeaseEnds(worker) => world.workers[worker].leased = false,
            Action::Crash(worker) => {
                world.misfortunes += 1;
                world.workers[worker] = Worker::default();
            }
            Action::Return(worker) => {
                world.workers[worker].leased = true;
                // Under another name: what it held before is nobody's.
                world.holder = world.holder.filter(|holder| *holder != worker);
            }
            Action::Draw(hand) => {
                if hand != Hand::Approver {
                    world.interferences += 1;
                }
                let next = world.draw(hand)?;
                let from = world.stored.version;
                world.drawn.insert(hand, Draw { next, from });
            }
            Action::Commit(hand) => {
                let draw = world.drawn.remove(&hand)?;
                let epoch = world.stored.epoch;
                world.commit(draw.next, draw.from, epoch);
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always("nothing happens that may not", |_, world| {
                world.wrong.is_none()
            }),
            Property::<Self>::always("an unsafe call acts at most once", |_, world| {
                world.effects.get("pay").copied().unwrap_or(0) <= 1
            }),
            Property::<Self>::always("a completed run has made its keyed call", |_, world| {
                world.stored.status() != RunStatus::Completed || world.effects.contains_key("note")
            }),
            Property::<Self>::always("a run that is not over can go on", |model, world| {
                let mut actions = Vec::new();
                model.actions(world, &mut actions);
                world.stored.status().is_terminal() || !actions.is_empty()
            }),
            Property::<Self>::sometimes("a run completes with its call made", |_, world| {
                world.stored.status() == RunStatus::Completed && world.effects.contains_key("pay")
            }),
            Property::<Self>::sometimes("a run completes without it", |_, world| {
                world.stored.status() == RunStatus::Completed && !world.effects.contains_key("pay")
            }),
            Property::<Self>::sometimes("somebody is asked what became of a call", |_, world| {
                world
                    .pending()
                    .is_some_and(|it| it.kind == ApprovalKind::OutcomeUnknown)
            }),
            Property::<Self>::sometimes("a question runs out of time", |_, world| {
                world
                    .approvals
                    .iter()
                    .any(|it| it.status == ApprovalStatus::Expired)
            }),
            Property::<Self>::sometimes(
                "a run is cancelled while a person is asked",
                |_, world| {
                    world
                        .approvals
                        .iter()
                        .any(|it| it.status == ApprovalStatus::Cancelled)
                },
            ),
        ]
    }
}

#[test]
fn no_order_of_events_breaks_a_promise() {
    let checked = Small::Right.checker().threads(2).spawn_bfs().join();
    assert!(checked.is_done());
    checked.assert_properties();
    let states = checked.unique_state_count();
    assert!(
        states > 20_000,
        "{states}: a small world, but not that small"
    );
}

#[test]
fn a_mistake_in_the_world_is_found() {
    for small in [Small::SendsLate, Small::ForgetsEpochs] {
        let checked = small
            .checker()
            .threads(2)
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_bfs()
            .join();
        let broken = checked
            .discoveries()
            .into_keys()
            .find(|name| checked.discovery_classification(name).to_string() == "counterexample");
        assert!(broken.is_some(), "{small:?} goes unnoticed");
    }
}
