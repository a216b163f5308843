use super::*;
use secrecy::ExposeSecret;

fn read(text: &str) -> Result<LaneConfig, String> {
    toml::from_str::<LaneConfig>(text).map_err(|error| error.message().to_owned())
}

fn valid() -> LaneConfig {
    LaneConfig::new("cloud", LaneKind::Cloud, Wire::OpenaiChat)
}

#[test]
fn a_lane_is_read_with_everything_in_it() {
    let lane = read(
        r#"
        name = "cloud"
        kind = "cloud"
        wire = "anthropic"
        base_url = "https://gateway.example.com/anthropic/"
        api_key_env = "GATEWAY_KEY"
        models = ["claude-sonnet-5", "claude-*"]
        weight = 3
        max_concurrency = 8
        timeouts = { first_byte_ms = 90000 }
        price = { input_micro_usd = 3000000, cached_micro_usd = 300000, output_micro_usd = 15000000 }
        retries = { attempts = 5 }
        extra_body = { thinking = { type = "enabled", budget_tokens = 2048 } }
        "#,
    )
    .unwrap();
    assert_eq!(lane.validate(), Ok(()));
    assert_eq!(lane.kind, LaneKind::Cloud);
    assert_eq!(lane.wire, Some(Wire::Anthropic));
    assert_eq!(
        lane.timeouts,
        Timeouts {
            connect_ms: 5_000,
            first_byte_ms: 90_000,
            between_chunks_ms: 30_000
        }
    );
    assert_eq!(lane.price.cached_micro_usd, Some(300_000));
    assert_eq!(lane.retries.attempts, 5);
    assert_eq!(
        lane.endpoint().unwrap().as_str(),
        "https://gateway.example.com/anthropic"
    );
}

#[test]
fn what_is_wrong_is_named() {
    let message = |text: &str| read(text).unwrap_err();
    let lane = "name = \"a\"\nkind = \"cloud\"\nwire = \"openai-chat\"\n";
    assert!(message(&format!("{lane}modles = []")).contains("unknown field `modles`"));
    assert!(message(&format!("{lane}api_key = \"sk-1\"")).contains("unknown field `api_key`"));
    let kind = message("name = \"a\"\nkind = \"edge\"\nwire = \"openai-chat\"");
    assert!(
        kind.contains("`edge`") && kind.contains("`device`"),
        "{kind}"
    );
    let wire = message("name = \"a\"\nkind = \"cloud\"\nwire = \"openai\"");
    assert!(wire.contains("`openai-chat`"), "{wire}");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let lane = || "cloud".to_owned();
    let refused = |change: fn(&mut LaneConfig)| {
        let mut lane = valid();
        change(&mut lane);
        lane.validate().unwrap_err()
    };
    let zero = |field| ConfigError::Zero {
        lane: "cloud".to_owned(),
        field,
    };
    assert_eq!(
        refused(|lane| lane.name = "a b".to_owned()),
        ConfigError::Name {
            lane: "a b".to_owned()
        }
    );
    assert_eq!(
        refused(|lane| lane.wire = None),
        ConfigError::NoWire { lane: lane() }
    );
    assert_eq!(
        refused(|lane| lane.max_concurrency = Some(0)),
        zero("max_concurrency")
    );
    assert_eq!(
        refused(|lane| lane.retries.attempts = 0),
        zero("retries.attempts")
    );
    assert_eq!(
        refused(|lane| lane.timeouts.connect_ms = 0),
        zero("timeouts")
    );
    assert_eq!(
        refused(|lane| lane.models = vec![" ".to_owned()]),
        ConfigError::Model { lane: lane() }
    );
    assert_eq!(
        refused(|lane| {
            lane.extra_body.insert("messages".to_owned(), Value::Null);
        }),
        ConfigError::ExtraBody {
            lane: lane(),
            field: "messages".to_owned()
        }
    );
}

#[test]
fn addresses_that_hold_secrets_or_are_none_are_refused() {
    for url in [
        "localhost:8000",
        "ftp://host/v1",
        "https://user:pass@host/v1",
        "https://host/v1?key=1",
        "https://host/v1#x",
        "",
    ] {
        let mut lane = valid();
        lane.base_url = Some(url.to_owned());
        let refused = ConfigError::BaseUrl {
            lane: "cloud".to_owned(),
        };
        assert_eq!(lane.validate(), Err(refused), "{url}");
    }
}

#[test]
fn a_device_lane_needs_neither_wire_nor_address() {
    let lane = read("name = \"phone\"\nkind = \"device\"\nmodels = [\"phi-4-mini\"]").unwrap();
    assert_eq!(lane.validate(), Ok(()));
}

#[test]
fn keys_come_from_their_variable_and_are_never_printed() {
    let mut lane = valid();
    lane.api_key_env = Some("KEY".to_owned());
    let missing = ConfigError::KeyMissing {
        lane: "cloud".to_owned(),
        variable: "KEY".to_owned(),
    };
    assert_eq!(lane.resolve_key(|_| None), Err(missing.clone()));
    assert_eq!(lane.resolve_key(|_| Some(" ".to_owned())), Err(missing));
    lane.resolve_key(|_| Some("canary-key\n".to_owned()))
        .unwrap();
    let key = lane.api_key.as_ref().unwrap();
    assert_eq!(key.expose_secret(), "canary-key");
    assert!(!format!("{lane:?}").contains("canary"));
}

#[test]
fn patterns_stand_for_what_begins_like_them() {
    let mut lane = valid();
    assert!(lane.serves("anything"));
    lane.models = vec!["gpt-5".to_owned(), "o*".to_owned()];
    assert!(lane.serves("gpt-5") && lane.serves("o3"));
    assert!(!lane.serves("gpt-5.5") && !lane.serves("claude"));
    assert_eq!(lane.exact_models().collect::<Vec<_>>(), ["gpt-5"]);
}
