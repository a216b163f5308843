//! Markdown to HTML. HTML in it is shown as the text it is; links between the documents lead to their pages, and those
//! out of the documents' folder keep their words alone.

use pulldown_cmark::{CowStr, Event, LinkType, Options, Parser, Tag, TagEnd, html};
use std::collections::BTreeMap;

pub struct Rendered {
    /// The text of the first heading.
    pub title: String,
    pub html: String,
    /// Headings of the second level: id and text.
    pub parts: Vec<(String, String)>,
    /// Every heading's id.
    pub ids: Vec<String>,
    /// Where the links within the documents lead: page and, perhaps, heading.
    pub links: Vec<(String, Option<String>)>,
}

/// Reads a page that stands at `name` below `/docs`.
pub fn render(name: &str, source: &str) -> Rendered {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let mut events: Vec<Event<'_>> = Parser::new_ext(source, options).map(plain).collect();
    let mut rendered = Rendered {
        title: String::new(),
        html: String::new(),
        parts: Vec::new(),
        ids: Vec::new(),
        links: Vec::new(),
    };
    name_headings(&mut events, &mut rendered);
    resolve_links(name, &mut events, &mut rendered.links);
    html::push_html(&mut rendered.html, framed(events).into_iter());
    // The policy of the page forbids styles in line, and a region that scrolls must be reachable by keyboard. Text cannot
    // be mistaken for these: its brackets are escaped.
    rendered.html = rendered
        .html
        .replace("<pre>", "<pre tabindex=\"0\">")
        .replace("<th style=\"text-align: right\">", "<th class=\"right\">")
        .replace("<td style=\"text-align: right\">", "<td class=\"right\">")
        .replace("<th style=\"text-align: left\">", "<th>")
        .replace("<td style=\"text-align: left\">", "<td>");
    rendered
}

fn plain(event: Event<'_>) -> Event<'_> {
    match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        other => other,
    }
}

/// Gives each heading the id that a link to it names, as GitHub forms it.
fn name_headings(events: &mut [Event<'_>], rendered: &mut Rendered) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let starts: Vec<usize> = (0..events.len())
        .filter(|&at| matches!(events[at], Event::Start(Tag::Heading { .. })))
        .collect();
    for start in starts {
        let text: String = events[start + 1..]
            .iter()
            .take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))))
            .filter_map(|event| match event {
                Event::Text(text) | Event::Code(text) => Some(&**text),
                _ => None,
            })
            .collect();
        let slug = slug(&text);
        let count = seen.entry(slug.clone()).or_default();
        let own = match *count {
            0 => slug,
            again => format!("{slug}-{again}"),
        };
        *count += 1;
        let Event::Start(Tag::Heading { level, id, .. }) = &mut events[start] else {
            continue;
        };
        *id = Some(CowStr::from(own.clone()));
        match *level as usize {
            1 if rendered.title.is_empty() => rendered.title = text,
            2 => rendered.parts.push((own.clone(), text)),
            _ => {}
        }
        rendered.ids.push(own);
    }
}

fn slug(text: &str) -> String {
    text.to_lowercase()
        .chars()
        .filter_map(|character| match character {
            ' ' | '-' => Some('-'),
            '_' => Some('_'),
            other => other.is_alphanumeric().then_some(other),
        })
        .collect()
}

fn resolve_links(
    name: &str,
    events: &mut Vec<Event<'_>>,
    links: &mut Vec<(String, Option<String>)>,
) {
    // Links do not nest, so one flag is enough to drop both ends of one that leads nowhere here.
    let mut dropped = false;
    events.retain_mut(|event| match event {
        Event::Start(Tag::Link {
            dest_url,
            link_type,
            ..
        }) if *link_type != LinkType::Email => {
            let place = place(name, dest_url);
            dropped = matches!(place, Place::Elsewhere);
            if let Place::Page { name, heading } = place {
                *dest_url = CowStr::from(href(&name, heading.as_deref()));
                links.push((name, heading));
            }
            !dropped
        }
        Event::End(TagEnd::Link) => !std::mem::take(&mut dropped),
        Event::Start(Tag::Image { dest_url, .. }) => {
            *dest_url = CowStr::from(format!("/docs/{}", joined(name, dest_url).join("/")));
            true
        }
        _ => true,
    });
}

enum Place {
    Page {
        name: String,
        heading: Option<String>,
    },
    /// On the web, or of this server.
    Address,
    /// A file of the repository that is no page.
    Elsewhere,
}

fn place(name: &str, link: &str) -> Place {
    if link.contains("://") || link.starts_with('/') || link.starts_with("mailto:") {
        return Place::Address;
    }
    let (path, heading) = match link.split_once('#') {
        Some((path, heading)) => (path, Some(heading.to_owned())),
        None => (link, None),
    };
    if path.is_empty() {
        let name = name.to_owned();
        return Place::Page { name, heading };
    }
    let parts = joined(name, path);
    match parts.join("/").strip_suffix(".md") {
        Some(page) if !parts.iter().any(|part| part == "..") => Place::Page {
            name: page.to_owned(),
            heading,
        },
        _ => Place::Elsewhere,
    }
}

/// A path from the folder of the page `name`; `..` stays where it leads out of the documents.
fn joined(name: &str, path: &str) -> Vec<String> {
    let mut parts: Vec<String> = name.split('/').map(str::to_owned).collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." if parts.last().is_some_and(|last| last != "..") => {
                parts.pop();
            }
            part => parts.push(part.to_owned()),
        }
    }
    parts
}

/// The address of a page.
pub fn href(name: &str, heading: Option<&str>) -> String {
    let page = match name {
        super::FIRST => "/docs".to_owned(),
        name => format!("/docs/{name}"),
    };
    match heading {
        Some(heading) => format!("{page}#{heading}"),
        None => page,
    }
}

/// Tables scroll by themselves where they are wider than the page.
fn framed(events: Vec<Event<'_>>) -> Vec<Event<'_>> {
    let html = |text: &'static str| Event::Html(CowStr::from(text));
    let mut framed = Vec::with_capacity(events.len());
    for event in events {
        let begins = matches!(event, Event::Start(Tag::Table(_)));
        let ends = matches!(event, Event::End(TagEnd::Table));
        if begins {
            framed.push(html(
                "<div class=\"table\" tabindex=\"0\" role=\"group\" aria-label=\"Table\">",
            ));
        }
        framed.push(event);
        if ends {
            framed.push(html("</div>"));
        }
    }
    framed
}
