//! What selection decides, as a table: each row is a situation and the order of the lanes that may serve in it.

#![expect(clippy::too_many_lines, reason = "the rows of a table are one thing")]

use super::*;
use crate::session::Client;
use std::collections::BTreeMap;

/// `device`, `near` (local), `far` and `dear` (cloud), as most servers have them.
fn usual() -> Vec<LaneInfo> {
    let priced = |mut lane: LaneInfo, input, output| {
        lane.price = LanePrice {
            input_micro_usd: input,
            output_micro_usd: output,
        };
        lane
    };
    vec![
        serving("phone", LaneKind::Device, &["phi", "gemma"]),
        serving("near", LaneKind::Local, &["llama", "phi"]),
        priced(
            serving("far", LaneKind::Cloud, &["mini", "big"]),
            1_000_000,
            5_000_000,
        ),
        priced(
            serving("dear", LaneKind::Cloud, &["big"]),
            10_000_000,
            50_000_000,
        ),
    ]
}

fn serving(name: &str, kind: LaneKind, models: &[&str]) -> LaneInfo {
    let mut lane = LaneInfo::new(name, kind);
    lane.models = texts(models);
    lane
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

/// A session: every kind can serve.
fn session() -> Wishes {
    Wishes {
        kinds: vec![LaneKind::Device, LaneKind::Local, LaneKind::Cloud],
        ..Wishes::default()
    }
}

/// A run on a thread: there is no device.
fn run() -> Wishes {
    Wishes {
        kinds: SERVER_KINDS.to_vec(),
        ..Wishes::default()
    }
}

fn client(change: impl FnOnce(&mut Client)) -> Option<Client> {
    let mut client = Client {
        platform: Some("android".to_owned()),
        memory_mb: Some(8_192),
        models: Some(texts(&["phi"])),
        accelerators: texts(&["npu"]),
    };
    change(&mut client);
    Some(client)
}

fn with(base: Wishes, change: impl FnOnce(&mut Wishes)) -> Wishes {
    let mut wishes = base;
    change(&mut wishes);
    wishes
}

fn changed(change: impl FnOnce(&mut [LaneInfo])) -> Vec<LaneInfo> {
    let mut lanes = usual();
    change(&mut lanes);
    lanes
}

fn needing(needs: DeviceNeeds) -> Vec<LaneInfo> {
    changed(|lanes| lanes[0].needs = needs)
}

/// Candidates as `lane/model`, best first.
fn order(lanes: &[LaneInfo], wishes: &Wishes) -> String {
    let chosen = select(lanes, wishes).candidates;
    let shown: Vec<String> = chosen
        .iter()
        .map(|choice| format!("{}/{}", choice.name, choice.model))
        .collect();
    shown.join(" ")
}

struct Row {
    what: &'static str,
    lanes: Vec<LaneInfo>,
    wishes: Wishes,
    order: &'static str,
}

fn row(what: &'static str, lanes: Vec<LaneInfo>, wishes: Wishes, order: &'static str) -> Row {
    Row {
        what,
        lanes,
        wishes,
        order,
    }
}

fn orders_and_models() -> Vec<Row> {
    let all = "phone/phi near/llama far/mini dear/big";
    vec![
        row("nothing wished", usual(), session(), all),
        row(
            "no device in a run",
            usual(),
            run(),
            "near/llama far/mini dear/big",
        ),
        row("no lanes at all", vec![], run(), ""),
        row("no lanes, but a client", vec![], session(), "device/client"),
        row(
            "no device lane, but a client",
            vec![serving("near", LaneKind::Local, &["llama"])],
            session(),
            "device/client near/llama",
        ),
        row(
            "the device goes first wherever it is written",
            vec![usual()[2].clone(), usual()[0].clone()],
            session(),
            "phone/phi far/mini",
        ),
        row(
            "the agent's order",
            usual(),
            with(session(), |w| w.lanes = texts(&["dear", "phone"])),
            "dear/big phone/phi",
        ),
        row(
            "the agent names a kind",
            usual(),
            with(session(), |w| w.lanes = texts(&["local", "device"])),
            "near/llama phone/phi",
        ),
        row(
            "within a kind the cheaper comes first",
            changed(|lanes| lanes.swap(2, 3)),
            with(session(), |w| w.lanes = texts(&["cloud"])),
            "far/mini dear/big",
        ),
        row(
            "without an order the configuration's stands, whatever the price",
            changed(|lanes| lanes.swap(2, 3)),
            run(),
            "near/llama dear/big far/mini",
        ),
        row(
            "a name before its kind",
            usual(),
            with(run(), |w| w.lanes = texts(&["dear", "cloud"])),
            "dear/big far/mini",
        ),
        row(
            "a lane that is not there",
            usual(),
            with(run(), |w| w.lanes = texts(&["gone", "near"])),
            "near/llama",
        ),
        row(
            "the wished model decides",
            usual(),
            with(run(), |w| w.models = texts(&["big"])),
            "far/big dear/big",
        ),
        row(
            "models by preference, in each lane its own",
            usual(),
            with(session(), |w| w.models = texts(&["llama", "phi"])),
            "phone/phi near/llama",
        ),
        row(
            "nobody has the model",
            usual(),
            with(session(), |w| w.models = texts(&["gpt"])),
            "",
        ),
        row(
            "a beginning stands for what begins so",
            changed(|lanes| lanes[2].beginnings = texts(&["gpt-"])),
            with(run(), |w| w.models = texts(&["gpt-9"])),
            "far/gpt-9",
        ),
        row(
            "a lane that names nothing takes any name",
            vec![LaneInfo::new("any", LaneKind::Local)],
            with(run(), |w| w.models = texts(&["x"])),
            "any/x",
        ),
        row(
            "but it has no model to offer by itself",
            vec![LaneInfo::new("any", LaneKind::Local)],
            run(),
            "",
        ),
        row(
            "pinned",
            usual(),
            with(session(), |w| w.pinned = Some("far".to_owned())),
            "far/mini",
        ),
        row(
            "pinned outside the agent's lanes",
            usual(),
            with(session(), |w| {
                w.pinned = Some("far".to_owned());
                w.lanes = texts(&["near"]);
            }),
            "",
        ),
    ]
}

fn policies() -> Vec<Row> {
    let org = |change: fn(&mut OrgLanes)| with(session(), |w| change(&mut w.org));
    vec![
        row(
            "the agent's content stays local",
            usual(),
            with(session(), |w| w.data_policy = DataPolicy::Local),
            "phone/phi near/llama",
        ),
        row(
            "the agent's content stays on the device",
            usual(),
            with(session(), |w| w.data_policy = DataPolicy::Device),
            "phone/phi",
        ),
        row(
            "content that stays on the device has no lane in a run",
            usual(),
            with(run(), |w| w.data_policy = DataPolicy::Device),
            "",
        ),
        row(
            "the org's content stays local",
            usual(),
            org(|org| org.data_policy = DataPolicy::Local),
            "phone/phi near/llama",
        ),
        row(
            "the stricter policy wins: the org's",
            usual(),
            with(org(|org| org.data_policy = DataPolicy::Device), |w| {
                w.data_policy = DataPolicy::Local;
            }),
            "phone/phi",
        ),
        row(
            "the stricter policy wins: the agent's",
            usual(),
            with(org(|org| org.data_policy = DataPolicy::Local), |w| {
                w.data_policy = DataPolicy::Device;
            }),
            "phone/phi",
        ),
        row(
            "the org allows some lanes",
            usual(),
            org(|org| org.lanes = texts(&["dear", "near"])),
            "near/llama dear/big",
        ),
        row(
            "the org allows some kinds",
            usual(),
            org(|org| org.kinds = vec![LaneKind::Cloud]),
            "far/mini dear/big",
        ),
        row(
            "pinning does not get past the org",
            usual(),
            with(org(|org| org.kinds = vec![LaneKind::Local]), |w| {
                w.pinned = Some("far".to_owned());
            }),
            "",
        ),
        row(
            "the org's price limit",
            usual(),
            org(|org| org.max_price_micro_usd = Some(2_000_000)),
            "phone/phi near/llama far/mini",
        ),
        row(
            "the agent's price limit",
            usual(),
            with(session(), |w| w.max_price_micro_usd = Some(1_999_999)),
            "phone/phi near/llama",
        ),
        row(
            "the lower price limit wins",
            usual(),
            with(org(|org| org.max_price_micro_usd = Some(1)), |w| {
                w.max_price_micro_usd = Some(99_000_000);
            }),
            "phone/phi near/llama",
        ),
    ]
}

fn devices() -> Vec<Row> {
    let told = |change: fn(&mut Client)| with(session(), |w| w.client = client(change));
    let needs = DeviceNeeds {
        platforms: texts(&["ios", "android"]),
        memory_mb: Some(6_000),
        accelerators: texts(&["gpu", "npu"]),
    };
    let rest = "near/llama far/mini dear/big";
    let all = "phone/phi near/llama far/mini dear/big";
    vec![
        row(
            "a device that has all",
            needing(needs.clone()),
            told(|_| ()),
            all,
        ),
        row(
            "a device that says nothing is taken at its word",
            needing(needs.clone()),
            session(),
            all,
        ),
        row(
            "too little memory",
            needing(needs.clone()),
            told(|c| c.memory_mb = Some(5_999)),
            rest,
        ),
        row(
            "memory not said",
            needing(needs.clone()),
            told(|c| c.memory_mb = None),
            rest,
        ),
        row(
            "another platform",
            needing(needs.clone()),
            told(|c| c.platform = Some("linux".to_owned())),
            rest,
        ),
        row(
            "platforms are not told apart by case",
            needing(needs.clone()),
            told(|c| c.platform = Some("Android".to_owned())),
            all,
        ),
        row(
            "no accelerator",
            needing(needs.clone()),
            told(|c| c.accelerators.clear()),
            rest,
        ),
        row(
            "one of the accelerators is enough",
            needing(needs),
            told(|c| c.accelerators = texts(&["GPU"])),
            all,
        ),
        row(
            "the device can run no model",
            usual(),
            told(|c| c.models = Some(vec![])),
            rest,
        ),
        row(
            "the device's best model that the lane serves",
            usual(),
            told(|c| c.models = Some(texts(&["qwen", "gemma", "phi"]))),
            "phone/gemma near/llama far/mini dear/big",
        ),
        row(
            "the device has none of the lane's models",
            usual(),
            told(|c| c.models = Some(texts(&["qwen"]))),
            rest,
        ),
        row(
            "the device lacks the wished model, another lane has it",
            usual(),
            with(told(|c| c.models = Some(texts(&["gemma"]))), |w| {
                w.models = texts(&["phi"]);
            }),
            "near/phi",
        ),
        row(
            "the unconfigured device lane takes the client's models",
            usual()[1..].to_vec(),
            told(|c| c.models = Some(texts(&["qwen"]))),
            "device/qwen near/llama far/mini dear/big",
        ),
        row(
            "the device is too weak and content may not leave it",
            usual(),
            with(told(|c| c.models = Some(vec![])), |w| {
                w.data_policy = DataPolicy::Device;
            }),
            "",
        ),
    ]
}

fn health_and_shares() -> Vec<Row> {
    let ill = |names: &[&str]| {
        changed(|lanes| {
            for lane in lanes
                .iter_mut()
                .filter(|lane| names.contains(&lane.name.as_str()))
            {
                lane.health = LaneHealth::Open;
            }
        })
    };
    let mut stand_in = serving("offline", LaneKind::Local, &["runyard-offline"]);
    stand_in.beginnings = texts(&[""]);
    stand_in.is_stand_in = true;
    let mut beside = vec![stand_in.clone()];
    beside.extend(usual());
    let mut dark = ill(&["near", "far", "dear"]);
    dark.insert(0, stand_in.clone());
    let weighed = |old: u32, new: u32| {
        changed(|lanes| {
            lanes[2].weight = Some(old);
            lanes[3].weight = Some(new);
        })
    };
    let big = |key: Option<&str>| {
        with(run(), |w| {
            w.models = texts(&["big"]);
            w.sticky = key.map(str::to_owned);
        })
    };
    vec![
        row(
            "a failing lane goes last",
            ill(&["near"]),
            run(),
            "far/mini dear/big near/llama",
        ),
        row(
            "failing lanes keep their order among themselves",
            ill(&["near", "far"]),
            run(),
            "dear/big near/llama far/mini",
        ),
        row(
            "all failing: a try beats a refusal",
            ill(&["near", "far", "dear"]),
            run(),
            "near/llama far/mini dear/big",
        ),
        row(
            "the agent's first choice is failing",
            ill(&["far"]),
            with(run(), |w| w.lanes = texts(&["far", "near"])),
            "near/llama far/mini",
        ),
        row(
            "what failed this turn goes behind what is failing",
            ill(&["far"]),
            with(run(), |w| w.failed = texts(&["near"])),
            "dear/big far/mini near/llama",
        ),
        row(
            "the stand-in never serves beside a model",
            beside,
            run(),
            "near/llama far/mini dear/big",
        ),
        row(
            "nor where all models are failing",
            dark,
            run(),
            "near/llama far/mini dear/big",
        ),
        row(
            "alone it answers under its own name",
            vec![stand_in],
            with(run(), |w| w.models = texts(&["gpt"])),
            "offline/runyard-offline",
        ),
        row(
            "shares without a key go by order",
            weighed(1, 99),
            big(None),
            "far/big dear/big",
        ),
        row(
            "a share of nothing",
            weighed(100, 0),
            big(Some("thread 7")),
            "far/big dear/big",
        ),
        row(
            "a share of all",
            weighed(0, 100),
            big(Some("thread 7")),
            "dear/big far/big",
        ),
        row(
            "a failing lane has no share",
            {
                let mut lanes = weighed(1, 1_000_000);
                lanes[3].health = LaneHealth::Open;
                lanes
            },
            big(Some("thread 7")),
            "far/big dear/big",
        ),
        row(
            "lanes that the agent orders by name do not share",
            weighed(0, 100),
            with(big(Some("thread 7")), |w| w.lanes = texts(&["far", "dear"])),
            "far/big dear/big",
        ),
        row(
            "lanes of a kind that the agent names do",
            weighed(0, 100),
            with(big(Some("thread 7")), |w| w.lanes = texts(&["cloud"])),
            "dear/big far/big",
        ),
        row(
            "a first lane without a share is not moved",
            weighed(0, 100),
            with(run(), |w| w.sticky = Some("thread 7".to_owned())),
            "near/llama far/mini dear/big",
        ),
    ]
}

#[test]
fn every_situation_has_its_order() {
    let rows: Vec<Row> = [
        orders_and_models(),
        policies(),
        devices(),
        health_and_shares(),
    ]
    .into_iter()
    .flatten()
    .collect();
    assert!(rows.len() >= 40, "{}", rows.len());
    for row in &rows {
        assert_eq!(order(&row.lanes, &row.wishes), row.order, "{}", row.what);
        let selection = select(&row.lanes, &row.wishes);
        let eligible = selection.considered.iter().filter(|said| said.eligible);
        assert_eq!(eligible.count(), selection.candidates.len(), "{}", row.what);
        for said in &selection.considered {
            assert!(!said.reason.is_empty(), "{}: {}", row.what, said.name);
            assert_eq!(
                said.eligible,
                said.verdict == LaneVerdict::Eligible,
                "{}",
                row.what
            );
        }
        assert!(
            selection.considered.len() >= row.lanes.len(),
            "{}",
            row.what
        );
    }
}

/// One situation in which each lane is out for another reason.
#[test]
fn every_lane_is_told_why_not() {
    let mut lanes = usual();
    lanes[0].needs.memory_mb = Some(16_000);
    let wishes = with(session(), |w| {
        w.client = client(|_| ());
        w.data_policy = DataPolicy::Local;
        w.models = texts(&["mistral"]);
        w.org.lanes = texts(&["phone", "near", "far"]);
    });
    let considered = select(&lanes, &wishes).considered;
    let said: Vec<(&str, LaneVerdict, &str)> = considered
        .iter()
        .map(|said| (said.name.as_str(), said.verdict, said.reason.as_str()))
        .collect();
    let expected = [
        (
            "phone",
            LaneVerdict::DeviceLacks,
            "needs 16000 MB of memory; the client's is 8192 MB",
        ),
        (
            "near",
            LaneVerdict::NoModel,
            "serves none of the models asked for",
        ),
        (
            "far",
            LaneVerdict::DataPolicy,
            "data policy of the agent: content may not leave this server and the models beside it",
        ),
        (
            "dear",
            LaneVerdict::OrgForbids,
            "the org does not allow this lane",
        ),
    ];
    assert_eq!(said, expected);
}

fn canary(old: u32, new: u32, keys: u32) -> BTreeMap<String, String> {
    let mut lanes = usual();
    lanes[2].weight = Some(old);
    lanes[3].weight = Some(new);
    let side = |key: u32| {
        let key = format!("thread {key}");
        let wishes = with(run(), |w| {
            w.models = texts(&["big"]);
            w.sticky = Some(key.clone());
        });
        let chosen = select(&lanes, &wishes).choose().unwrap();
        (key, chosen.name)
    };
    (0..keys).map(side).collect()
}

#[test]
fn shares_are_kept_within_chance() {
    let sides = canary(90, 10, 10_000);
    let new = sides.values().filter(|side| *side == "dear").count();
    // Ten standard deviations of a fair draw: the keys are fixed, so this holds always or never.
    assert!((700..1_300).contains(&new), "{new}");
    assert_eq!(canary(90, 10, 100), canary(90, 10, 100), "no state");
}

#[test]
fn a_growing_canary_keeps_whom_it_had() {
    let small = canary(95, 5, 2_000);
    let large = canary(80, 20, 2_000);
    let had: Vec<&String> = small
        .iter()
        .filter_map(|(key, side)| (side == "dear").then_some(key))
        .collect();
    assert!(!had.is_empty());
    assert!(had.iter().all(|key| large[*key] == "dear"));
}

#[test]
fn a_session_falls_back_to_any_model_unless_it_asked_for_one() {
    let lanes = usual();
    let wishes = with(session(), |w| w.models = texts(&["gpt"]));
    let by = |wishes: &Wishes| select(&lanes, wishes);
    let any = session_selection(by, &wishes, None);
    assert_eq!(any.candidates[0].model, "phi");
    assert!(
        session_selection(by, &wishes, Some("gpt"))
            .candidates
            .is_empty()
    );
    let asked = session_selection(by, &wishes, Some("big"));
    assert_eq!(asked.candidates[0].name, "far");
}

#[test]
fn the_choice_carries_what_was_said_of_all() {
    let choice = select(&usual(), &run()).choose().unwrap();
    assert_eq!(choice.considered.len(), 4);
    assert_eq!(choice.considered[0].verdict, LaneVerdict::Unreachable);
    let none = select(&usual(), &with(run(), |w| w.models = texts(&["x"]))).choose();
    assert_eq!(none.unwrap_err().len(), 4);
}
