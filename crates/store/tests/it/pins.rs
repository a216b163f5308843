//! What is trusted of tools that other servers offer.

use crate::fixtures::at;
use crate::harness::{Harness, on_both};
use domain::pin::{OtherOffer, ToolOffer, ToolPin};
use serde_json::{Map, json};

fn offer(name: &str, description: &str) -> ToolOffer {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
    ToolOffer {
        name: name.to_owned(),
        description: description.to_owned(),
        input_schema: schema.as_object().cloned().unwrap_or_default(),
        annotations: Map::from_iter([("readOnlyHint".to_owned(), json!(true))]),
    }
}

fn pin(trusted: &ToolOffer, pinned: i64, offered: Option<(&ToolOffer, i64)>) -> ToolPin {
    ToolPin {
        server: "files".to_owned(),
        trusted: trusted.clone(),
        digest: trusted.digest(),
        pinned_at: at(pinned),
        offered: offered.map(|(offer, seen)| OtherOffer {
            offer: offer.clone(),
            digest: offer.digest(),
            seen_at: at(seen),
        }),
    }
}

async fn a_swapped_definition_waits_beside_the_trusted_one(h: &Harness) {
    let (first, second, third) = (offer("read", "1"), offer("read", "2"), offer("read", "3"));
    let see = async |offer: &ToolOffer, millis| {
        let offers = std::slice::from_ref(offer);
        let seen = h.store.system_see_tools("files", offers, at(millis)).await;
        seen.unwrap()
    };
    assert_eq!(see(&first, 1).await, [pin(&first, 1, None)]);
    assert_eq!(see(&first, 2).await, [pin(&first, 1, None)]);
    assert_eq!(see(&second, 3).await, [pin(&first, 1, Some((&second, 3)))]);
    // Since when it is offered, not when it was last looked at.
    assert_eq!(see(&second, 4).await, [pin(&first, 1, Some((&second, 3)))]);
    assert_eq!(see(&third, 5).await, [pin(&first, 1, Some((&third, 5)))]);
    // The server took it back.
    assert_eq!(see(&first, 6).await, [pin(&first, 1, None)]);
    see(&second, 7).await;

    let accept = async |digest: &str| {
        let accepted = h.store.system_accept_tool("files", "read", digest, at(8));
        accepted.await.unwrap()
    };
    assert!(!accept(&third.digest()).await, "it is not offered any more");
    assert!(accept(&second.digest()).await);
    assert!(!accept(&second.digest()).await, "it was accepted already");
    let all = h.store.system_tool_pins().await.unwrap();
    assert_eq!(all, [pin(&second, 8, None)]);
}

async fn pins_of_servers_do_not_meet(h: &Harness) {
    let (one, two) = (offer("read", "1"), offer("write", "2"));
    let s = &h.store;
    let both = [one.clone(), two.clone()];
    s.system_see_tools("files", &both, at(1)).await.unwrap();
    s.system_see_tools("mail", &[two], at(2)).await.unwrap();
    s.system_see_tools("mail", &[], at(3)).await.unwrap();
    let names: Vec<(String, String)> = s
        .system_tool_pins()
        .await
        .unwrap()
        .into_iter()
        .map(|pin| (pin.server, pin.trusted.name))
        .collect();
    let expected = [("files", "read"), ("files", "write"), ("mail", "write")];
    assert_eq!(names, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    let digest = one.digest();
    let accepted = s.system_accept_tool("mail", "read", &digest, at(4)).await;
    assert!(!accepted.unwrap());
}

on_both!(
    a_swapped_definition_waits_beside_the_trusted_one,
    pins_of_servers_do_not_meet
);
