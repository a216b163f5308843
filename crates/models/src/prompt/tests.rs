use super::*;

#[test]
fn names_that_every_provider_takes_are_told_as_they_are() {
    let names = ToolNames::new(["list_models", "get-model"].into_iter());
    assert_eq!(names.told("list_models"), "list_models");
    assert_eq!(names.real("get-model"), "get-model");
}

#[test]
fn other_names_are_told_in_a_form_that_leads_back() {
    let long = "x".repeat(80);
    let real = [
        "files.read",
        "files read",
        "files_read",
        "żółw",
        long.as_str(),
    ];
    let names = ToolNames::new(real.into_iter());
    let told: Vec<&str> = real.iter().map(|name| names.told(name)).collect();
    assert_eq!(
        told[..4],
        ["files_read_2", "files_read_3", "files_read", "___w"][..]
    );
    for (real, told) in real.iter().zip(told) {
        assert!(told.len() <= 64 && told.bytes().all(is_word), "{told}");
        assert_eq!(names.real(told), *real);
    }
}

#[test]
fn foreign_call_ids_become_valid_and_stay_apart() {
    let id = |text: &str| call_id(&CallId::from_client(text.to_owned())).into_owned();
    let ours = CallId::minted(uuid::Uuid::from_u128(7));
    assert_eq!(call_id(&ours), ours.as_str());
    let long = "x".repeat(41);
    let odd = ["", "with space", "ünï", long.as_str()];
    let told: Vec<String> = odd.iter().map(|text| id(text)).collect();
    for (index, one) in told.iter().enumerate() {
        assert!(one.starts_with("call_") && one.len() <= CALL_ID_BYTES_MAX);
        assert!(!told[..index].contains(one));
    }
    assert_eq!(id("with space"), told[1]);
}

#[test]
fn data_urls_give_their_type_and_bytes() {
    assert_eq!(
        data_url("data:image/png;base64,AAAA"),
        Some(("image/png", "AAAA"))
    );
    assert_eq!(
        data_url("data:image/png;charset=x;base64,AAAA"),
        Some(("image/png", "AAAA"))
    );
    assert_eq!(data_url("data:text/plain,hello"), None);
    assert_eq!(data_url("https://example.com/a.png"), None);
}

#[test]
fn signatures_go_back_only_where_they_came_from() {
    let reasoning = Reasoning {
        text: String::new(),
        signatures: vec![
            signature("anthropic", "0", "a|b"),
            signature("gemini", "text", "c"),
            "anthropicx|0|d".to_owned(),
        ],
    };
    let found: Vec<_> = signatures(Some(&reasoning), "anthropic").collect();
    assert_eq!(found, [("0", "a|b")]);
    assert_eq!(signatures(None, "anthropic").count(), 0);
}
