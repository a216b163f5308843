//! `runyard prove`: what this program promises, tried on this machine, on scratch stores, for as long as one likes. It
//! starts servers of its own program and never touches the store that is configured.

use super::terminal::{note, say};
use super::{Context, Failure, Outcome};
use clap::{Args, Subcommand};
use proof::clients::RECOVERY;
use proof::cuts::{Cut, cut_often, talker};
use proof::fleet::{Blows, Fleet};
use proof::isolation::{Isolation, Tried};
use proof::judge::Verdict;
use proof::recovery::{Recovered, recover};
use proof::storm::wave;
use proof::world::{QUICK, Site, World};
use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(Debug, Subcommand)]
pub enum Prove {
    /// Kill servers, stop them and cut them off while clients are at work, and judge every run
    Durability(Trial),
    /// Let two orgs try every operation with every id of the other's
    Isolation(Trial),
}

#[derive(Debug, Args)]
pub struct Trial {
    /// How long to go on; what was begun then is brought to its end
    #[arg(long, default_value_t = 5.0, value_parser = minutes)]
    minutes: f64,
    /// The folder, and so the disk, for scratch stores; it must be there
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// A PostgreSQL server in which a scratch database is made and dropped, for three servers on one database
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// A NATS server, which goes with --database-url
    #[arg(long, value_name = "URL", requires = "database_url")]
    nats: Option<String>,
    /// Repeats an order of blows
    #[arg(long)]
    seed: Option<u64>,
    /// An older build of this program, in which servers begin; killed ones come back as this one, as in a rolling upgrade
    #[arg(long, value_name = "PROGRAM")]
    upgrade_from: Option<PathBuf>,
}

/// Clients of one wave; after each wave all is calm and every run is judged.
const WAVE: usize = 100;
/// Servers on one database.
const SERVERS: usize = 3;
const KILLS: usize = 5;
const RUNS_PER_KILL: usize = 20;
/// Streams cut a minute, at the end.
const CUTS: usize = 200;

fn minutes(text: &str) -> Result<f64, &'static str> {
    match text.parse() {
        Ok(minutes) if (0.01..=100_000.0).contains(&minutes) => Ok(minutes),
        _ => Err("give a number of minutes from 0.01 to 100000"),
    }
}

/// Something was not as it is promised.
const BROKEN: u8 = 1;

pub async fn prove(command: Prove, context: &Context) -> Outcome {
    let (trial, durability) = match command {
        Prove::Durability(trial) => (trial, true),
        Prove::Isolation(trial) => (trial, false),
    };
    let plan = Plan::of(trial, context)?;
    say(&plan.told());
    let mut proving = tokio::spawn(async move {
        if durability {
            plan.durability().await
        } else {
            plan.isolation().await
        }
    });
    let proven = tokio::select! {
        proven = &mut proving => proven,
        _ = tokio::signal::ctrl_c() => {
            proving.abort();
            // Servers are killed and stores removed on the way out.
            let _ = proving.await;
            return Err(Failure::new("stopped before the end", "run it again"));
        }
    };
    // What cannot go on stops with a panic that says why.
    let broken = proven.map_err(|error| {
        let mend = "look at what it says above; a database or a disk must be in order before servers are tried on it";
        Failure::new("the trial could not go on", mend).because(&error)
    })??;
    if broken == 0 {
        say("nothing was broken");
        return Ok(ExitCode::SUCCESS);
    }
    say(&format!("{broken} promises were broken"));
    Ok(ExitCode::from(BROKEN))
}

struct Plan {
    site: Site,
    older: Option<PathBuf>,
    nats: Option<String>,
    time: Duration,
    seed: u64,
}

fn in_short(time: Option<Duration>) -> String {
    time.map_or_else(
        || "-".to_owned(),
        |time| format!("{:.1} s", time.as_secs_f64()),
    )
}

impl Plan {
    fn of(trial: Trial, context: &Context) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| {
            Failure::new("this program does not find itself", "start it by its path")
                .because(&error)
        })?;
        let folder = context.here.join(&trial.dir);
        if !folder.is_dir() {
            return Err(Failure::new(
                format!("{} is no folder", folder.display()),
                "name one with --dir that is there and can be written",
            ));
        }
        if let Err(error) = tempfile::tempdir_in(&folder) {
            let mend = "name a folder with --dir that this user can write";
            let what = format!("{} cannot be written", folder.display());
            return Err(Failure::new(what, mend).because(&error));
        }
        if let Some(url) = &trial.database_url
            && ::store::place(url) != ::store::Place::Server
        {
            return Err(Failure::new(
                "--database-url is no address of PostgreSQL",
                "write postgres://user:password@host:port/database",
            ));
        }
        if let Some(older) = &trial.upgrade_from
            && !context.here.join(older).is_file()
        {
            return Err(Failure::new(
                format!("{} is no program", older.display()),
                "name the older build's file with --upgrade-from",
            ));
        }
        Ok(Self {
            older: trial.upgrade_from.map(|path| context.here.join(path)),
            site: Site {
                program: program.into_os_string(),
                folder,
                postgres: trial.database_url,
            },
            nats: trial.nats,
            time: Duration::from_secs_f64(trial.minutes * 60.0),
            seed: trial.seed.unwrap_or_else(|| u64::from(std::process::id())),
        })
    }

    fn servers(&self) -> usize {
        match self.site.postgres {
            Some(_) => SERVERS,
            None => 1,
        }
    }

    fn told(&self) -> String {
        let store = match (&self.site.postgres, &self.nats) {
            (None, _) => "one server on SQLite",
            (Some(_), None) => "three servers on PostgreSQL",
            (Some(_), Some(_)) => "three servers on PostgreSQL and NATS",
        };
        format!(
            "{store}, {:.1} minutes, seed {}; stores are made in {} and removed",
            self.time.as_secs_f64() / 60.0,
            self.seed,
            self.site.folder.display()
        )
    }

    async fn world(&self, talks: bool) -> World {
        let world = if talks {
            World::with(&self.site, talker()).await
        } else {
            World::new(&self.site).await
        };
        let prefix = format!("prove-{}", std::process::id());
        world.set(&QUICK).set(&[("RUNYARD_NATS_PREFIX", &prefix)])
    }

    async fn fleet<'a>(&self, world: &'a World) -> Fleet<'a> {
        let older = self.older.as_ref().map(|path| path.as_os_str());
        let nats = self.nats.as_deref();
        Fleet::upgrading(world, self.servers(), nats, self.seed, older).await
    }

    /// How many promises were broken.
    async fn durability(&self) -> Result<usize, Failure> {
        let (verdict, blows) = self.storm().await;
        let Blows { kills, stops, cuts } = blows;
        say(&format!(
            "runs        {} under {kills} kills, {stops} stops, {cuts} failing connections: {} violations{}",
            verdict.runs,
            verdict.complaints.len(),
            bound(&verdict),
        ));
        for complaint in &verdict.complaints {
            say(&format!("  {complaint}"));
        }
        let recovered = recover(&self.site, KILLS, RUNS_PER_KILL).await;
        let late = match recovered {
            Ok(times) => {
                say(&told_of(&times));
                times.later_than(RECOVERY)
            }
            Err(complaint) => {
                say(&format!("recovery    a run did not go on: {complaint}"));
                1
            }
        };
        let world = self.world(true).await;
        let fleet = self.fleet(&world).await;
        let minutes = usize::try_from(self.time.as_secs().div_ceil(60)).unwrap_or(usize::MAX);
        let cuts = CUTS.saturating_mul(minutes);
        let cut = cut_often(&fleet.addresses(), cuts, self.seed).await;
        let cut: Cut = cut.map_err(|error| {
            Failure::new("a stream could not be read", "see the cause").because(&error)
        })?;
        say(&format!(
            "streams     {} cut and rejoined, {} of their readers saw other bytes",
            cut.times, cut.wrong
        ));
        Ok(verdict.complaints.len() + late + cut.wrong)
    }

    async fn storm(&self) -> (Verdict, Blows) {
        let world = self.world(false).await;
        let fleet = self.fleet(&world).await;
        world.open();
        let begun = Instant::now();
        let mut all = Verdict::default();
        let mut next = 0;
        while begun.elapsed() < self.time {
            let verdict = wave(&fleet, next..next + WAVE).await;
            next += WAVE;
            // What was judged is not judged again.
            world.model.clear();
            all.runs += verdict.runs;
            all.complaints.extend(verdict.complaints);
            note(&format!(
                "{:>6} s: {} runs, {} blows, {} violations",
                begun.elapsed().as_secs(),
                all.runs,
                fleet.blows().all(),
                all.complaints.len()
            ));
        }
        (all, fleet.blows())
    }

    async fn isolation(&self) -> Result<usize, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new("a server did not answer as it should", "see the cause").because(&error)
        };
        let world = self.world(false).await;
        let fleet = self.fleet(&world).await;
        let begun = Instant::now();
        let mut isolation = within(Isolation::begin(&world, fleet.addresses()))
            .await
            .map_err(failed)?;
        while begun.elapsed() < self.time {
            within(isolation.round()).await.map_err(failed)?;
        }
        let tried: Tried = isolation.tried();
        say(&format!(
            "isolation   {} requests with another org's ids over {} operations, and of lists: {} violations",
            tried.requests,
            tried.operations.len(),
            tried.violations.len()
        ));
        for slot in &tried.empty {
            say(&format!(
                "  not tried: nothing was there to put into {{{slot}}}"
            ));
        }
        for violation in &tried.violations {
            say(&format!("  {violation}"));
        }
        Ok(tried.violations.len() + tried.empty.len())
    }
}

/// A request that gets no answer is no reason to wait for ever.
async fn within<T>(work: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    match tokio::time::timeout(proof::limit::LIMIT, work).await {
        Ok(done) => done,
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
    }
}

/// Of what share of runs at most something is wrong, as far as so many can tell: three divided by their number, where
/// none is (95%).
fn bound(verdict: &Verdict) -> String {
    match u32::try_from(verdict.runs) {
        Ok(runs @ 1..) if verdict.complaints.is_empty() => {
            format!(
                " (with 95%: fewer than {:.3}% of runs)",
                300.0 / f64::from(runs)
            )
        }
        _ => String::new(),
    }
}

fn told_of(times: &Recovered) -> String {
    format!(
        "recovery    {} runs went on after a kill, {} of them later than {}: half within {}, 99% within {}, all within {}",
        times.count(),
        times.later_than(RECOVERY),
        in_short(Some(RECOVERY)),
        in_short(times.percentile(50)),
        in_short(times.percentile(99)),
        in_short(times.percentile(100)),
    )
}
