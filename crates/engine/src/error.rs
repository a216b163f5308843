//! Why the engine did not do what it was asked.

use domain::approval::Approval;
use domain::ports::store::StoreError;
use domain::run::{Refused, RunStatus};

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No such run or approval in this org.
    #[error("no such run or approval")]
    NotFound,
    #[error("the run has ended")]
    Terminal { status: RunStatus },
    /// Somebody else's decision stands.
    #[error("the approval is resolved")]
    ApprovalResolved(Box<Approval>),
    /// The decision was made about other arguments than those that stand.
    #[error("the arguments are not those that were decided on")]
    DigestMismatch { expected: String },
    /// Whoever started the run may not approve it.
    #[error("the approval asks for another person than the one who started the run")]
    NotEligible,
    /// A decision of this kind cannot be made of this approval.
    #[error("the decision does not fit the approval")]
    Misfit { message: &'static str },
    /// Edited arguments do not fit the tool.
    #[error("the edited arguments cannot be used")]
    InvalidArguments { message: String },
    /// What is to be remembered cannot be a grant.
    #[error("the grant cannot be made")]
    InvalidGrant { message: String },
    /// No gate has judged the run.
    #[error("no gate has judged the run")]
    NoGateDecision,
    /// An operator keeps the run where it is.
    #[error("the run is on hold")]
    OnHold,
    #[error("the server is shutting down")]
    Draining,
    /// The run changed under the caller again and again.
    #[error("the run is being written by too many at once")]
    Contended,
    #[error("the run refused the input")]
    Refused(#[from] Refused),
    #[error("the store failed")]
    Store(#[from] StoreError),
}
