//! The frame around a document: navigation, the parts of the page, and what comes next.

use super::markdown::{Rendered, href, render};
use super::{FIRST, REFERENCE, SECTIONS};
use std::collections::BTreeSet;
use std::fmt::Write;

/// A page whole.
pub fn page(name: &str, source: &str) -> String {
    let Rendered {
        title, html, parts, ..
    } = render(name, source);
    let title = match name {
        FIRST => "Documentation".to_owned(),
        _ => escaped(&title),
    };
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title} · Runyard</title>\n<link rel=\"icon\" href=\"/console/mark.svg\">\n\
         <link rel=\"stylesheet\" href=\"/docs/page.css\">\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the page</a>\n"
    );
    text.push_str(
        "<header><a class=\"brand\" href=\"/docs\">Runyard</a> <a href=\"/\">Console</a> \
         <a class=\"contents\" href=\"#contents\">Contents</a></header>\n",
    );
    let _ = write!(text, "<main id=\"main\" tabindex=\"-1\">\n{html}");
    next(&mut text, name);
    text.push_str("</main>\n");
    // Behind the page, so that a phone shows the page first; a wide window has room for both.
    navigation(&mut text, name);
    if parts.len() > 1 {
        text.push_str("<aside><nav aria-label=\"On this page\"><h2>On this page</h2>\n<ul>\n");
        for (id, part) in &parts {
            let _ = writeln!(
                text,
                "<li><a href=\"#{}\">{}</a></li>",
                escaped(id),
                escaped(part)
            );
        }
        text.push_str("</ul></nav></aside>\n");
    }
    text.push_str("</body>\n</html>\n");
    text
}

/// The pages that there are, in order, under their headings.
pub fn sections() -> Vec<(&'static str, Vec<String>)> {
    let names = super::names();
    let known: BTreeSet<&str> = SECTIONS
        .iter()
        .flat_map(|(_, names)| names.iter().copied())
        .collect();
    SECTIONS
        .iter()
        .map(|&(section, wanted)| {
            let mut pages: Vec<String> = wanted
                .iter()
                .filter(|wanted| names.iter().any(|name| name == *wanted))
                .map(|&name| name.to_owned())
                .collect();
            if section == REFERENCE {
                let others = names
                    .iter()
                    .filter(|name| !name.contains('/') && !known.contains(name.as_str()));
                pages.extend(others.cloned());
            }
            (section, pages)
        })
        .collect()
}

fn navigation(text: &mut String, here: &str) {
    text.push_str("<nav class=\"pages\" id=\"contents\" aria-label=\"Documentation\">\n");
    for (section, pages) in sections() {
        let _ = writeln!(text, "<h2>{section}</h2>\n<ul>");
        for page in &pages {
            entry(text, &href(page, None), &title(page), page == here);
        }
        if section == REFERENCE {
            entry(text, "/docs/api", "API", false);
            let is_problem = here.starts_with("problems/");
            entry(
                text,
                "/docs/problems",
                "Error codes",
                is_problem || here == "problems",
            );
        }
        text.push_str("</ul>\n");
    }
    text.push_str("</nav>\n");
}

fn entry(text: &mut String, href: &str, title: &str, is_here: bool) {
    let current = if is_here {
        " aria-current=\"page\""
    } else {
        ""
    };
    let _ = writeln!(
        text,
        "<li><a href=\"{}\"{current}>{}</a></li>",
        escaped(href),
        escaped(title)
    );
}

fn next(text: &mut String, here: &str) {
    let order: Vec<String> = sections()
        .into_iter()
        .flat_map(|(_, pages)| pages)
        .collect();
    let place = order.iter().position(|page| page == here);
    if let Some(next) = place.and_then(|place| order.get(place + 1)) {
        let _ = writeln!(
            text,
            "<p class=\"next\">Next: <a href=\"{}\">{}</a></p>",
            escaped(&href(next, None)),
            escaped(&title(next))
        );
    }
}

/// A page's title is its first heading.
fn title(name: &str) -> String {
    let source = super::source(name).unwrap_or_default();
    let heading = source.lines().find_map(|line| line.strip_prefix("# "));
    match (heading, name) {
        (_, FIRST) => "Overview".to_owned(),
        (Some(heading), _) => heading.replace('`', ""),
        (None, _) => name.to_owned(),
    }
}

/// The list of all error codes, with their titles.
pub fn problems() -> String {
    let mut source = "# Error codes\n\nEvery failure has one body, and in it a `code` that never changes its meaning. \
                      Each has a page that says what happened and what to do.\n\n| Code | What it says |\n|---|---|\n"
        .to_owned();
    for code in crate::problem::Code::ALL {
        let (name, title) = (code.as_str(), code.title().replace('|', "\\|"));
        let _ = writeln!(source, "| [`{name}`](problems/{name}.md) | {title} |");
    }
    source
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
