//! Seeded faults: real mistakes, each beside the code that is right, of which a test may switch one on to prove that the
//! suite notices. It does not know which tests do; `docs/seeded-faults.md` does. None of it is in a release build.

macro_rules! faults {
    ($($(#[doc = $what:literal])+ $fault:ident = $name:literal,)*) => {
        /// A mistake that somebody might make. `docs/seeded-faults.md` lists all of them in this order.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Seeded {
            $($(#[doc = $what])+ $fault,)*
        }

        #[cfg(debug_assertions)]
        const NAMES: &[(&str, Seeded)] = &[$(($name, Seeded::$fault),)*];
    };
}

faults! {
    /// A crash in mid-turn skips no event numbers.
    NumbersReused = "numbers-reused",
    /// A turn is made again without `turn_restarted`.
    RestartUntold = "restart-untold",
    /// After a crash an unsafe call is taken for a keyed one.
    UnsafeRepeated = "unsafe-repeated",
    /// A worker's death is not counted against its run.
    CrashUncounted = "crash-uncounted",
    /// A run that was handed over counts as one that killed its worker.
    HandOverCounted = "hand-over-counted",
    /// The log leaves out the deltas of a turn that ended.
    DeltasUnkept = "deltas-unkept",
    /// A run's end is told twice.
    DoneTwice = "done-twice",
    /// The results of parallel calls join the history in another order than asked.
    ResultsReordered = "results-reordered",
    /// A cancel settles no open call.
    CallsLeftOpen = "calls-left-open",
    /// A cancel leaves the run with whoever holds it.
    CancelKeepsHolder = "cancel-keeps-holder",
    /// A stream that breaks off counts as the model's whole answer.
    BrokenAnswerWhole = "broken-answer-whole",
    /// A provider's `Retry-After` is read and not kept to.
    ToldWaitIgnored = "told-wait-ignored",
    /// A budget of steps allows one more.
    OneTurnMore = "one-turn-more",
    /// The time that people take counts as the run's.
    WaitCounted = "wait-counted",
    /// Each attempt of a keyed call has a key of its own.
    KeyPerAttempt = "key-per-attempt",
    /// A keyed SQL tool does not look whether its call was carried out.
    LedgerUnread = "ledger-unread",
    /// One person's second approval counts as another's.
    OnePersonTwice = "one-person-twice",
    /// An approval of other arguments counts for those of now.
    OldApprovalCounts = "old-approval-counts",
    /// Whoever started a run may approve its calls.
    OwnRunApproved = "own-run-approved",
    /// A decision is taken after the approval's time.
    LateDecision = "late-decision",
    /// A decision is taken whatever arguments its maker saw.
    SeenUnchecked = "seen-unchecked",
    /// Arguments that an approver wrote are not checked.
    EditUnchecked = "edit-unchecked",
    /// The second of two decisions is confirmed as if it stood.
    SecondConfirmed = "second-confirmed",
    /// A decision leaves nothing in the org's record.
    DecisionUnrecorded = "decision-unrecorded",
    /// An approved call is sent without a look at its warrant.
    WarrantUnchecked = "warrant-unchecked",
    /// A warrant is good for ever.
    WarrantOutlived = "warrant-outlived",
    /// Arguments are sent without being compared with their digest.
    ArgumentsUnchecked = "arguments-unchecked",
    /// A tool that changed since the decision is called.
    ChangedToolSent = "changed-tool-sent",
    /// A tool that was denied since the decision is called.
    DeniedToolSent = "denied-tool-sent",
    /// Not the strictest opinion on a call stands, but the last.
    LastOpinionStands = "last-opinion-stands",
    /// A grant answers where policy always asks.
    AlwaysAskGranted = "always-ask-granted",
    /// What a run has touched is replaced by what it touches next.
    LabelsForgotten = "labels-forgotten",
    /// A gate that cannot tell lets the input through.
    GateFailsOpen = "gate-fails-open",
    /// The hash of a pinned tool leaves out what its server says of it.
    PinHalfHashed = "pin-half-hashed",
    /// The HTTP client follows redirects by itself, past the egress guard.
    RedirectUnchecked = "redirect-unchecked",
    /// A redirect to another origin is sent the headers of the first.
    SecretsRedirected = "secrets-redirected",
    /// A name passes the egress guard if one of its addresses does.
    OneGoodAddress = "one-good-address",
    /// SQLite: a commit does not look whether it changed its run.
    StaleWriteSqlite = "stale-write-sqlite",
    /// PostgreSQL: a commit does not look whether it changed its run.
    StaleWritePostgres = "stale-write-postgres",
    /// SQLite: a write is answered before its group is committed.
    AnsweredBeforeCommit = "answered-before-commit",
    /// SQLite: a commit does not wait for the disk.
    NoSync = "no-sync",
    /// An exported run takes decisions where it was.
    ExportedDecided = "exported-decided",
    /// A file is imported whoever signed it, and whatever was changed in it.
    SignatureUnchecked = "signature-unchecked",
    /// A store that is moved stays in use.
    MoveUnfenced = "move-unfenced",
    /// A moved store is opened without being compared.
    MoveUncompared = "move-uncompared",
    /// A transition's messages do not reach the outbox.
    OutboxLost = "outbox-lost",
    /// SQLite: an entry of the org's record is chained, but not kept.
    AuditEntryLost = "audit-entry-lost",
    /// A run that ends keeps its thread.
    ThreadKept = "thread-kept",
    /// SQLite: a second run starts on a busy thread.
    TwoActive = "two-active",
    /// An idempotency key answers whatever body it comes with.
    BodyUncompared = "body-uncompared",
    /// Idempotency keys of all orgs are one space.
    KeysOfAllOrgs = "keys-of-all-orgs",
    /// A use of a grant is not counted.
    GrantUncounted = "grant-uncounted",
    /// What a turn reserved of the day's budget is kept beside what it used.
    BudgetTwice = "budget-twice",
    /// A run is read by its id, whatever its org.
    OrgForgotten = "org-forgotten",
    /// SQLite: a worker takes runs without looking at its own lease.
    DeadWorkerClaims = "dead-worker-claims",
    /// Responses are cached by their id alone.
    CacheKeyWithoutOrg = "cache-key-without-org",
    /// A session's turn may name another model.
    ForeignModel = "foreign-model",
    /// A turn may answer calls that nobody made, and leave out others.
    AnswersUnchecked = "answers-unchecked",
    /// A device's journal may tell another story of what it told before.
    ForkAccepted = "fork-accepted",
    /// A feed says that it has the event below its first.
    FloorOffByOne = "floor-off-by-one",
    /// A page is read from the cursor's own event on.
    CursorOffByOne = "cursor-off-by-one",
    /// A run is found by its wake-up only.
    SweepOff = "sweep-off",
    /// The heartbeat renews the lease for no time.
    LeaseUnrenewed = "lease-unrenewed",
    /// A call is sent without asking whether the lease still stands.
    SentUnheld = "sent-unheld",
    /// A driver goes on with a run that another worker has taken.
    ZombieGoesOn = "zombie-goes-on",
    /// A commit whose answer was lost counts as made.
    LostAnswerTrusted = "lost-answer-trusted",
    /// A driver that takes over another's write does not tell its watchers what that told.
    OthersEventsUntold = "others-events-untold",
    /// Each attempt of a webhook has an id of its own.
    WebhookIdPerAttempt = "webhook-id-per-attempt",
    /// A request whose beginning was never heard of counts as not begun.
    BeginningForgotten = "beginning-forgotten",
    /// PostgreSQL: time goes by the machine's clock between two looks at the database's.
    JumpFollowed = "jump-followed",
    /// A revoked key is remembered until its time in memory is over.
    RevokedKeyKept = "revoked-key-kept",
    /// A key works after its end.
    ExpiredKeyLives = "expired-key-lives",
    /// A key may do what its role may not.
    RoleUnchecked = "role-unchecked",
    /// A session's token works for every session.
    TokenOfAnySession = "token-of-any-session",
    /// A stream begins anew whatever `Last-Event-ID` says.
    HeaderIgnored = "header-ignored",
}

impl Seeded {
    /// Whether the process was started with `RUNYARD_SEEDED_FAULT` naming this one; never in a release build.
    #[cfg(debug_assertions)]
    pub fn is_on(self) -> bool {
        static ON: std::sync::OnceLock<Option<Seeded>> = std::sync::OnceLock::new();
        let on = ON.get_or_init(|| {
            let wanted = std::env::var("RUNYARD_SEEDED_FAULT").ok()?;
            let named = NAMES.iter().find(|(name, _)| *name == wanted);
            named.map(|(_, fault)| *fault)
        });
        *on == Some(self)
    }

    /// Never: a release build has no seeded faults.
    #[cfg(not(debug_assertions))]
    #[inline(always)]
    pub const fn is_on(self) -> bool {
        false
    }
}

/// A release build in which one could be on does not compile.
#[cfg(not(debug_assertions))]
const _: () = assert!(!Seeded::NumbersReused.is_on());
