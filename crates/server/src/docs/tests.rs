mod commands;
mod configuration;

use super::markdown::render;
use super::{names, page, source};
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn markup_is_text_and_links_lead_to_pages() {
    let text = "# One & two\n\n<script>x</script> <b onclick=y>z</b>\n\n## A `b` c!\n\n[d](configuration.md#lanes) \
                [e](../README.md) [f](#a-b-c) [g](https://example.com) ![h](images/i.webp)\n\n| j |\n|--:|\n| k |\n\n```sh\n<pre>\n```\n";
    let rendered = render("agents", text);
    assert_eq!(rendered.title, "One & two");
    assert_eq!(rendered.ids, ["one--two", "a-b-c"]);
    let html = &rendered.html;
    for part in [
        "&lt;script&gt;x&lt;/script&gt;",
        "&lt;b onclick=y&gt;z&lt;/b&gt;",
        "<h2 id=\"a-b-c\">A <code>b</code> c!</h2>",
        "<a href=\"/docs/configuration#lanes\">d</a> e <a href=\"/docs/agents#a-b-c\">f</a>",
        "<a href=\"https://example.com\">g</a>",
        "<img src=\"/docs/images/i.webp\" alt=\"h\" />",
        "<td class=\"right\">k</td>",
        "&lt;pre&gt;",
    ] {
        assert!(html.contains(part), "{part} is not in:\n{html}");
    }
    assert!(!html.contains("style="), "{html}");
}

#[test]
fn problem_pages_link_beside_themselves() {
    let rendered = render("problems/a", "[b](b.md) [c](../configuration.md)");
    let wanted = ["problems/b", "configuration"].map(|name| (name.to_owned(), None));
    assert_eq!(rendered.links, wanted);
}

/// Every link between the documents leads to a page, and to a heading that is there.
#[test]
fn links_between_documents_lead_somewhere() {
    let mut pages: BTreeMap<String, String> = names()
        .into_iter()
        .map(|name| (name.clone(), source(&name).unwrap()))
        .collect();
    pages.insert("problems".to_owned(), page::problems());
    let ids: BTreeMap<&String, BTreeSet<String>> = pages
        .iter()
        .map(|(name, text)| (name, render(name, text).ids.into_iter().collect()))
        .collect();
    let mut wrong = Vec::new();
    for (name, text) in &pages {
        for (page, heading) in render(name, text).links {
            let found = ids.get(&page);
            let is_there = match (found, &heading) {
                (Some(ids), Some(heading)) => ids.contains(heading),
                (found, None) => found.is_some(),
                (None, Some(_)) => false,
            };
            if !is_there {
                wrong.push(format!("{name}.md: {page}#{}", heading.unwrap_or_default()));
            }
        }
    }
    assert!(wrong.is_empty(), "links that lead nowhere: {wrong:#?}");
}

#[test]
fn every_page_has_a_title_and_is_in_the_navigation() {
    let listed: BTreeSet<String> = page::sections()
        .into_iter()
        .flat_map(|(_, pages)| pages)
        .collect();
    for name in names() {
        let text = source(&name).unwrap();
        assert!(text.starts_with("# "), "{name}.md begins with no title");
        let is_listed = name.starts_with("problems/") || listed.contains(&name);
        assert!(is_listed, "{name}.md");
        let html = page::page(&name, &text);
        assert!(html.contains("aria-current=\"page\""), "{name}");
    }
}
