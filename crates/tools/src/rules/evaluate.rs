//! Evaluates conditions on threads of their own: the interpreter recurses, and the stack of a runtime's worker is too
//! small for what the limits allow. Nothing is started before the first condition.

use super::condition::Condition;
use super::facts::Facts;
use crate::limits;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use tokio::sync::oneshot;

/// A condition with what it is to be put to.
pub(crate) type Question = (Arc<Condition>, Arc<Facts>);

type Answers = Vec<Result<bool, String>>;

struct Job {
    questions: Vec<Question>,
    reply: oneshot::Sender<Answers>,
}

#[derive(Default)]
pub(crate) struct Evaluator {
    jobs: OnceLock<Option<Sender<Job>>>,
}

impl Evaluator {
    /// The answers in the order of the questions. Never fails: what cannot be evaluated is an answer too.
    pub(crate) async fn ask(&self, questions: Vec<Question>) -> Answers {
        let count = questions.len();
        let answered = match self.jobs.get_or_init(start) {
            Some(jobs) => {
                let (reply, answer) = oneshot::channel();
                match jobs.send(Job { questions, reply }) {
                    Ok(()) => answer.await.ok(),
                    Err(_) => None,
                }
            }
            None => None,
        };
        answered.unwrap_or_else(|| vec![Err("no thread could evaluate it".to_owned()); count])
    }
}

/// The way to the threads, or nothing where the system gives none.
fn start() -> Option<Sender<Job>> {
    let (jobs, queue) = channel();
    let queue = Arc::new(Mutex::new(queue));
    let started = (0..limits::CONDITION_THREADS).filter(|number| {
        let queue = Arc::clone(&queue);
        thread::Builder::new()
            .name(format!("rules-{number}"))
            .stack_size(limits::CONDITION_STACK)
            .spawn(move || serve(&queue))
            .is_ok()
    });
    (started.count() > 0).then_some(jobs)
}

fn serve(queue: &Mutex<Receiver<Job>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { questions, reply }) = next else {
            return;
        };
        let answers = questions.iter().map(answer).collect();
        // Whoever asked may have gone.
        let _ = reply.send(answers);
    }
}

/// A defect in the interpreter fails the condition, not the thread.
fn answer((condition, facts): &Question) -> Result<bool, String> {
    catch_unwind(AssertUnwindSafe(|| condition.evaluate(facts)))
        .unwrap_or_else(|_| Err("the interpreter failed".to_owned()))
}
