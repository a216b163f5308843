use super::*;
use secrecy::ExposeSecret;

fn lanes(variables: &[(&str, &str)]) -> Vec<LaneConfig> {
    lanes_from_env(|name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    })
    .unwrap()
}

fn brief(lane: &LaneConfig) -> (&str, LaneKind, Option<&str>, Option<&str>) {
    let key = lane.api_key.as_ref().map(|key| key.expose_secret());
    (&lane.name, lane.kind, lane.base_url.as_deref(), key)
}

#[test]
fn no_variables_make_no_lanes() {
    assert!(lanes(&[]).is_empty());
    assert!(lanes(&[("OPENAI_API_KEY", " "), ("RUNYARD_MODEL", "x")]).is_empty());
}

#[test]
fn each_provider_makes_a_lane_in_a_fixed_order() {
    let found = lanes(&[
        ("OLLAMA_HOST", "gpu-box:11500"),
        ("GOOGLE_API_KEY", "g"),
        ("ANTHROPIC_API_KEY", "a"),
        ("OPENAI_API_KEY", "o\n"),
    ]);
    let found: Vec<_> = found.iter().map(brief).collect();
    assert_eq!(
        found,
        [
            ("openai", LaneKind::Cloud, None, Some("o")),
            ("anthropic", LaneKind::Cloud, None, Some("a")),
            ("gemini", LaneKind::Cloud, None, Some("g")),
            (
                "ollama",
                LaneKind::Local,
                Some("http://gpu-box:11500"),
                None
            ),
        ]
    );
}

#[test]
fn another_server_at_the_openai_address_takes_any_model() {
    let found = lanes(&[("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1")]);
    assert_eq!(
        brief(&found[0]),
        (
            "openai",
            LaneKind::Local,
            Some("http://127.0.0.1:8000/v1"),
            None
        )
    );
    assert!(found[0].models.is_empty());
}

#[test]
fn the_wished_model_goes_to_its_family() {
    let found = lanes(&[
        ("OPENAI_API_KEY", "o"),
        ("ANTHROPIC_API_KEY", "a"),
        ("RUNYARD_MODEL", "claude-opus-5"),
    ]);
    assert_eq!(found[0].models[0], OPENAI[0]);
    assert_eq!(found[1].models[..2], ["claude-opus-5", ANTHROPIC[0]]);

    let found = lanes(&[
        ("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1"),
        ("RUNYARD_MODEL", "qwen3"),
    ]);
    assert_eq!(found[0].models, ["qwen3", "*"]);
}

#[test]
fn ollama_hosts_are_read_as_ollama_reads_them() {
    let url = |host: &str| ollama_url(host);
    assert_eq!(url("0.0.0.0"), "http://127.0.0.1:11434");
    assert_eq!(url("0.0.0.0:9999"), "http://127.0.0.1:9999");
    assert_eq!(url("localhost"), "http://localhost:11434");
    assert_eq!(
        url("https://ollama.example.com"),
        "https://ollama.example.com"
    );
}

#[test]
fn an_address_that_cannot_work_is_refused_by_name() {
    let refused = lanes_from_env(|name| (name == "OPENAI_BASE_URL").then(|| "localhost:1".into()));
    assert_eq!(
        refused.unwrap_err(),
        ConfigError::BaseUrl {
            lane: "openai".to_owned()
        }
    );
}
