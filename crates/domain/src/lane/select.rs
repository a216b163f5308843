//! The selection itself: first whether a lane may serve at all, then in which order those that may are tried.
//!
//! The order: what the agent names first, by name or kind; where it names a kind, the cheaper lane first; then the
//! configuration's order. Of lanes that share traffic by weight, the request's key picks one. Failing lanes come after
//! healthy ones and stay: when nothing else is left, a try beats a refusal.

use super::{
    Considered, DEVICE, DeviceNeeds, LaneChoice, LaneHealth, LaneInfo, LaneKind, LaneVerdict,
    Selection, UNNAMED_MODEL, Wishes,
};
use crate::agent::DataPolicy;
use crate::session::Client;
use std::borrow::Cow;

/// Kinds whose models the server itself can call.
pub const SERVER_KINDS: [LaneKind; 2] = [LaneKind::Local, LaneKind::Cloud];

/// A lane that may serve.
struct Candidate<'a> {
    lane: &'a LaneInfo,
    /// Its place in the agent's order.
    rank: usize,
    choice: LaneChoice,
}

/// Why a lane cannot serve.
struct Against(LaneVerdict, String);

fn against<T>(verdict: LaneVerdict, reason: impl Into<String>) -> Result<T, Against> {
    Err(Against(verdict, reason.into()))
}

/// Orders the lanes that may serve `wishes`, best first. Where a device can serve and no lane stands for it, one is
/// thought of before all others.
pub fn select(lanes: &[LaneInfo], wishes: &Wishes) -> Selection {
    let lanes = with_device(lanes, wishes);
    let mut candidates = Vec::new();
    let mut considered = Vec::with_capacity(lanes.len());
    for lane in lanes.iter() {
        let judged = judge(lane, wishes);
        let (verdict, reason) = match &judged {
            Ok(candidate) => (LaneVerdict::Eligible, candidate.choice.reason.clone()),
            Err(Against(verdict, reason)) => (*verdict, reason.clone()),
        };
        considered.push(Considered {
            name: lane.name.clone(),
            kind: lane.kind,
            eligible: judged.is_ok(),
            verdict,
            reason,
        });
        candidates.extend(judged);
    }
    hold_back_the_stand_in(&mut candidates, &mut considered);
    // Stable: equals keep the configuration's order.
    candidates.sort_by_key(|candidate| {
        let tie = if wishes.lanes.is_empty() {
            0
        } else {
            candidate.lane.price.blended()
        };
        (candidate.rank, tie)
    });
    let (well, failing): (Vec<_>, Vec<_>) = candidates
        .into_iter()
        .partition(|candidate| is_well(candidate.lane, wishes));
    let (failing, failed): (Vec<_>, Vec<_>) = failing
        .into_iter()
        .partition(|candidate| !wishes.failed.contains(&candidate.lane.name));
    let mut well = well;
    share(&mut well, wishes, &mut considered);
    let candidates = well.into_iter().chain(failing).chain(failed);
    Selection {
        candidates: candidates.map(|candidate| candidate.choice).collect(),
        considered,
    }
}

/// As `select`, for a client that may bring a model of its own: where no lane has what the agent prefers and the request
/// named no model, any model will do.
pub fn session_selection(
    select: impl Fn(&Wishes) -> Selection,
    wishes: &Wishes,
    asked_model: Option<&str>,
) -> Selection {
    let asked = Wishes {
        models: asked_model.map_or_else(|| wishes.models.clone(), |model| vec![model.to_owned()]),
        ..wishes.clone()
    };
    let selection = select(&asked);
    if !selection.candidates.is_empty() || asked_model.is_some() {
        return selection;
    }
    let any = Wishes {
        models: Vec::new(),
        ..asked
    };
    select(&any)
}

fn with_device<'a>(lanes: &'a [LaneInfo], wishes: &Wishes) -> Cow<'a, [LaneInfo]> {
    let stands = lanes.iter().any(|lane| lane.kind == LaneKind::Device);
    if !wishes.kinds.contains(&LaneKind::Device) || stands {
        return Cow::Borrowed(lanes);
    }
    let mut all = vec![LaneInfo::new(DEVICE, LaneKind::Device)];
    all.extend_from_slice(lanes);
    Cow::Owned(all)
}

fn is_well(lane: &LaneInfo, wishes: &Wishes) -> bool {
    lane.health == LaneHealth::Healthy && !wishes.failed.contains(&lane.name)
}

fn judge<'a>(lane: &'a LaneInfo, wishes: &Wishes) -> Result<Candidate<'a>, Against> {
    let rank = rank(lane, wishes)?;
    check_org(lane, wishes)?;
    check_data(lane, wishes)?;
    if !wishes.kinds.contains(&lane.kind) {
        let reason = match lane.kind {
            LaneKind::Device => "the model would have to run with the client",
            LaneKind::Local | LaneKind::Cloud => "the model would have to run with the server",
        };
        return against(LaneVerdict::Unreachable, reason);
    }
    check_price(lane, wishes)?;
    let model = match lane.kind {
        LaneKind::Device => device_model(lane, wishes)?,
        LaneKind::Local | LaneKind::Cloud => model(lane, wishes)?,
    };
    let reason = reason(lane, wishes);
    Ok(Candidate {
        lane,
        rank,
        choice: LaneChoice {
            name: lane.name.clone(),
            kind: lane.kind,
            model,
            reason,
            considered: Vec::new(),
        },
    })
}

fn reason(lane: &LaneInfo, wishes: &Wishes) -> String {
    if wishes.failed.contains(&lane.name) {
        return "failed this turn before; nothing else is left".to_owned();
    }
    match (lane.health, lane.kind) {
        (LaneHealth::Open, _) => "failing of late; kept as a last resort",
        (LaneHealth::Healthy, _) if lane.is_stand_in => {
            "the built-in stand-in, which is no language model"
        }
        (LaneHealth::Healthy, LaneKind::Device) if wishes.client.is_none() => {
            "the client says nothing of its device, so it is taken to run its own model"
        }
        (LaneHealth::Healthy, LaneKind::Device) => "the client's device can run the model",
        (LaneHealth::Healthy, LaneKind::Local | LaneKind::Cloud) => "healthy and serves the model",
    }
    .to_owned()
}

/// Its place in the agent's order; of a name and a kind that both fit, the earlier.
fn rank(lane: &LaneInfo, wishes: &Wishes) -> Result<usize, Against> {
    if let Some(pinned) = &wishes.pinned
        && *pinned != lane.name
    {
        let reason = format!("the request asks for lane {pinned}");
        return against(LaneVerdict::NotAsked, reason);
    }
    if wishes.lanes.is_empty() {
        // A model on the device costs nobody anything and shows nobody anything.
        return Ok(usize::from(lane.kind != LaneKind::Device));
    }
    let fits = |entry: &String| *entry == lane.name || entry == lane.kind.as_str();
    match wishes.lanes.iter().position(fits) {
        Some(rank) => Ok(rank),
        None => against(LaneVerdict::NotListed, "not among the agent's lanes"),
    }
}

fn check_org(lane: &LaneInfo, wishes: &Wishes) -> Result<(), Against> {
    let org = &wishes.org;
    if !org.lanes.is_empty() && !org.lanes.contains(&lane.name) {
        return against(LaneVerdict::OrgForbids, "the org does not allow this lane");
    }
    if !org.kinds.is_empty() && !org.kinds.contains(&lane.kind) {
        let reason = format!("the org allows no {} lanes", lane.kind.as_str());
        return against(LaneVerdict::OrgForbids, reason);
    }
    Ok(())
}

/// The stricter policy of agent and org wins; the reason names whose it is.
fn check_data(lane: &LaneInfo, wishes: &Wishes) -> Result<(), Against> {
    let (policy, whose) = if wishes.org.data_policy > wishes.data_policy {
        (wishes.org.data_policy, "org")
    } else {
        (wishes.data_policy, "agent")
    };
    let place = match (policy, lane.kind) {
        (DataPolicy::Any, _)
        | (DataPolicy::Local, LaneKind::Device | LaneKind::Local)
        | (DataPolicy::Device, LaneKind::Device) => return Ok(()),
        (DataPolicy::Local, LaneKind::Cloud) => "this server and the models beside it",
        (DataPolicy::Device, LaneKind::Local | LaneKind::Cloud) => "the client's device",
    };
    let reason = format!("data policy of the {whose}: content may not leave {place}");
    against(LaneVerdict::DataPolicy, reason)
}

fn check_price(lane: &LaneInfo, wishes: &Wishes) -> Result<(), Against> {
    let limits = [
        (wishes.max_price_micro_usd, "agent"),
        (wishes.org.max_price_micro_usd, "org"),
    ];
    let limits = limits
        .into_iter()
        .filter_map(|(limit, whose)| Some((limit?, whose)));
    let Some((limit, whose)) = limits.min_by_key(|(limit, _)| *limit) else {
        return Ok(());
    };
    let price = lane.price.blended();
    if price <= limit {
        return Ok(());
    }
    let usd = |micro: u64| format!("{}.{:02}", micro / 1_000_000, micro % 1_000_000 / 10_000);
    let (price, limit) = (usd(price), usd(limit));
    let reason = format!("costs {price} dollars for a million tokens; the {whose} allows {limit}");
    against(LaneVerdict::TooDear, reason)
}

fn model(lane: &LaneInfo, wishes: &Wishes) -> Result<String, Against> {
    if lane.is_stand_in {
        // It has one voice, whatever it is asked for.
        return first_of(lane.models.iter(), "names no model");
    }
    if wishes.models.is_empty() {
        let reason = "names no model, and neither does the agent";
        return first_of(lane.models.iter(), reason);
    }
    let served = wishes.models.iter().filter(|model| lane.serves(model));
    first_of(served, "serves none of the models asked for")
}

/// The model that the device would run: one that the lane serves, the client has and the agent wants.
fn device_model(lane: &LaneInfo, wishes: &Wishes) -> Result<String, Against> {
    let told = match &wishes.client {
        Some(client) => {
            check_device(&lane.needs, client)?;
            client.models.as_deref()
        }
        None => None,
    };
    let Some(has) = told else {
        if wishes.models.is_empty() {
            let first = lane.models.first().map_or(UNNAMED_MODEL, String::as_str);
            return Ok(first.to_owned());
        }
        return model(lane, wishes);
    };
    if has.is_empty() {
        let reason = "the client's device can run no model";
        return against(LaneVerdict::DeviceLacks, reason);
    }
    let fit: Vec<&String> = has.iter().filter(|model| lane.serves(model)).collect();
    if wishes.models.is_empty() {
        let reason = "the client's device has none of the lane's models";
        return first_of(fit.into_iter(), reason);
    }
    let wished = wishes.models.iter().filter(|model| fit.contains(model));
    first_of(
        wished,
        "the client's device has none of the models asked for",
    )
}

fn first_of<'a>(
    mut models: impl Iterator<Item = &'a String>,
    otherwise: &str,
) -> Result<String, Against> {
    match models.next() {
        Some(model) => Ok(model.clone()),
        None => against(LaneVerdict::NoModel, otherwise),
    }
}

/// A device that describes itself must show all that the lane needs.
fn check_device(needs: &DeviceNeeds, client: &Client) -> Result<(), Against> {
    let among =
        |names: &[String], name: &str| names.iter().any(|one| one.eq_ignore_ascii_case(name));
    if !needs.platforms.is_empty() {
        let platform = client.platform.as_deref();
        if !platform.is_some_and(|platform| among(&needs.platforms, platform)) {
            let has = platform.unwrap_or("not said");
            let wants = needs.platforms.join(" or ");
            let reason = format!("needs platform {wants}; the client's is {has}");
            return against(LaneVerdict::DeviceLacks, reason);
        }
    }
    if let Some(needed) = needs.memory_mb
        && client.memory_mb.is_none_or(|memory| memory < needed)
    {
        let has = client
            .memory_mb
            .map_or("not said".to_owned(), |memory| format!("{memory} MB"));
        let reason = format!("needs {needed} MB of memory; the client's is {has}");
        return against(LaneVerdict::DeviceLacks, reason);
    }
    let has_one = |accelerator: &String| among(&needs.accelerators, accelerator);
    if !needs.accelerators.is_empty() && !client.accelerators.iter().any(has_one) {
        let wants = needs.accelerators.join(" or ");
        let reason = format!("needs accelerator {wants}; the client has none of them");
        return against(LaneVerdict::DeviceLacks, reason);
    }
    Ok(())
}

/// The stand-in never takes over from a model: its answer would look like one.
fn hold_back_the_stand_in(candidates: &mut Vec<Candidate<'_>>, considered: &mut [Considered]) {
    if candidates
        .iter()
        .all(|candidate| candidate.lane.is_stand_in)
    {
        return;
    }
    candidates.retain(|candidate| {
        if candidate.lane.is_stand_in {
            let said = considered
                .iter_mut()
                .find(|said| said.name == candidate.lane.name);
            if let Some(said) = said {
                said.eligible = false;
                said.verdict = LaneVerdict::StandIn;
                said.reason = "held back: it is no language model, and others can serve".to_owned();
            }
        }
        !candidate.lane.is_stand_in
    });
}

/// Puts one of the weighted lanes of the first one's rank and model in front. Each key has a score with each lane, so a
/// key moves only if its own lane goes, or if another's weight grows past it: a larger canary keeps whom it had.
fn share(well: &mut Vec<Candidate<'_>>, wishes: &Wishes, considered: &mut [Considered]) {
    let Some(key) = &wishes.sticky else {
        return;
    };
    let Some(first) = well.first().filter(|first| first.lane.weight.is_some()) else {
        return;
    };
    let (rank, model) = (first.rank, first.choice.model.clone());
    let shares = |candidate: &Candidate<'_>| {
        let weight = candidate.lane.weight.filter(|weight| *weight > 0)?;
        (candidate.rank == rank && candidate.choice.model == model).then_some(weight)
    };
    let total: u64 = well.iter().filter_map(shares).map(u64::from).sum();
    let scored = well.iter().enumerate().filter_map(|(index, candidate)| {
        let weight = shares(candidate)?;
        Some((index, weight, score(key, &candidate.lane.name, weight)))
    });
    let Some((index, weight, _)) = scored.max_by(|a, b| a.2.total_cmp(&b.2)) else {
        return;
    };
    let mut chosen = well.remove(index);
    chosen.choice.reason = format!("its share of the traffic ({weight} of {total})");
    if let Some(said) = considered
        .iter_mut()
        .find(|said| said.name == chosen.lane.name)
    {
        said.reason.clone_from(&chosen.choice.reason);
    }
    well.insert(0, chosen);
}

/// Weighted rendezvous hashing: the lane with the highest score is chosen with a probability of its weight's part.
fn score(key: &str, lane: &str, weight: u32) -> f64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key.as_bytes());
    hasher.update(lane.as_bytes());
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..4]);
    // Strictly between 0 and 1, so that the logarithm is a number below 0.
    let point = (f64::from(u32::from_le_bytes(bytes)) + 0.5) / (f64::from(u32::MAX) + 1.0);
    f64::from(weight) / -point.ln()
}
