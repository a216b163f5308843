//! The egress guard: no spelling of an address, no name and no redirect leads inside.

use crate::support::{
    Raw, Reply, before, committed, gateway, http, result, run, try_gateway, try_gateway_with,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tools::EgressConfig;
use tools::egress::{Egress, Lookup, Refused, Reuse, refusal};
use url::Url;

fn config(private: &[String]) -> EgressConfig {
    EgressConfig {
        allow_hosts: Vec::new(),
        allow_private: private.to_vec(),
    }
}

/// IPv4 addresses that nothing may reach.
const INSIDE: [&str; 26] = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.254",
    "127.0.0.1",
    "127.1.2.3",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.251",
    "255.255.255.255",
];

/// Every way to write an IPv4 address as a URL's host that some program understands.
fn spellings(ip: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = ip.octets();
    let all = u32::from(ip);
    let (low16, low24) = (all & 0xffff, all & 0xff_ffff);
    let [hi, lo] = [all >> 16, all & 0xffff];
    let (not_hi, not_lo) = (!hi & 0xffff, !lo & 0xffff);
    let wide = |text: String| -> String {
        text.chars()
            .map(|c| {
                c.to_digit(10)
                    .and_then(|digit| char::from_u32(0xff10 + digit))
                    .unwrap_or(c)
            })
            .collect()
    };
    vec![
        format!("{a}.{b}.{c}.{d}"),
        format!("{a}.{b}.{c}.{d}."),
        format!("{all}"),
        format!("{all}."),
        format!("0x{all:x}"),
        format!("0X{all:X}"),
        format!("0x00000000{all:08x}"),
        format!("0{all:o}"),
        format!("0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("000{a:o}.000{b:o}.000{c:o}.000{d:o}"),
        format!("{a}.0x{b:x}.0{c:o}.{d}"),
        format!("{a}.{b}.{low16}"),
        format!("{a}.{b}.0x{low16:x}"),
        format!("{a}.{low24}"),
        format!("0x{a:x}.0x{low24:x}"),
        format!("0{a:o}.{low24}"),
        format!(
            "%{:02x}{}",
            format!("{a}").as_bytes()[0],
            &format!("{a}.{b}.{c}.{d}")[1..]
        ),
        format!("{a}%2e{b}%2E{c}%2e{d}"),
        format!("{a}\u{3002}{b}\u{3002}{c}\u{3002}{d}"),
        format!("{a}\u{ff0e}{b}\u{ff61}{c}.{d}"),
        wide(format!("{a}.{b}.{c}.{d}")),
        format!("{a}.{b}.{c}\u{ad}.{d}"),
        format!("[::ffff:{a}.{b}.{c}.{d}]"),
        format!("[::ffff:{hi:x}:{lo:x}]"),
        format!("[0:0:0:0:0:ffff:{hi:x}:{lo:x}]"),
        format!("[::{a}.{b}.{c}.{d}]"),
        format!("[::ffff:0:{a}.{b}.{c}.{d}]"),
        format!("[64:ff9b::{a}.{b}.{c}.{d}]"),
        format!("[64:ff9b::{hi:x}:{lo:x}]"),
        format!("[64:ff9b:1::{a}.{b}.{c}.{d}]"),
        format!("[2002:{hi:x}:{lo:x}::]"),
        format!("[2002:{hi:x}:{lo:x}::1]"),
        format!("[2001:0:4136:e378:8000:63bf:{not_hi:x}:{not_lo:x}]"),
        format!("[2606:4700::5efe:{a}.{b}.{c}.{d}]"),
        format!("[fe80::5efe:{a}.{b}.{c}.{d}]"),
    ]
}

/// IPv6 addresses that nothing may reach.
const INSIDE_V6: [&str; 34] = [
    "::",
    "::1",
    "::2",
    "0:0:0:0:0:0:0:1",
    "::0001",
    "100::1",
    "fc00::1",
    "fd00::1",
    "fd00:ec2::254",
    "fd12:3456:789a::1",
    "fdff:ffff::",
    "fe80::1",
    "fe80::a9fe:a9fe",
    "febf::1",
    "fec0::1",
    "feff::1",
    "ff02::1",
    "ff05::2",
    "ff0e::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2001:db8:ffff::",
    "2002::1",
    "3fff::1",
    "3fff:fff::1",
    "5f00::1",
    "4000::1",
    "64:ff9b:1::1",
    "::ffff:0:0",
    "1::",
    "e000::1",
];

const PUBLIC: [&str; 12] = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "198.20.0.0",
    "223.255.255.255",
];

#[test]
fn no_spelling_of_an_inside_address_passes() {
    let egress = Egress::new(&config(&[])).unwrap();
    let mut forms = BTreeSet::new();
    for inside in INSIDE {
        forms.extend(spellings(inside.parse().unwrap()));
    }
    forms.extend(INSIDE_V6.iter().map(|inside| format!("[{inside}]")));
    for form in &forms {
        for url in [
            format!("http://{form}/"),
            format!("https://{form}:8443/x?y#z"),
            format!("HTTP:\\\\{form}\\"),
        ] {
            // What is no URL goes nowhere.
            let Ok(url) = Url::parse(&url) else {
                continue;
            };
            let refused = egress.check(&url).expect_err(url.as_str());
            // A host that stays a name is resolved, and what it resolves to is checked.
            assert_eq!(refused, Refused::Address, "{url}");
        }
    }
    assert!(forms.len() >= 500, "{} forms", forms.len());
}

#[test]
fn public_addresses_pass_in_every_spelling_that_is_one() {
    let egress = Egress::new(&config(&[])).unwrap();
    for public in PUBLIC {
        let ip: Ipv4Addr = public.parse().unwrap();
        let all = u32::from(ip);
        for form in [
            public.to_owned(),
            format!("{all}"),
            format!("0x{all:x}"),
            format!("[::ffff:{public}]"),
            format!("[64:ff9b::{public}]"),
        ] {
            let url = Url::parse(&format!("https://{form}/")).unwrap();
            assert_eq!(egress.check(&url), Ok(443), "{url}");
        }
    }
    for public in [
        "2606:4700:4700::1111",
        "2a00:1450:4001::1",
        "2001:4860:4860::8888",
        "2400::1",
        "3ffe::1",
    ] {
        let url = Url::parse(&format!("http://[{public}]/")).unwrap();
        assert_eq!(egress.check(&url), Ok(80), "{url}");
    }
}

/// Listeners on both loopbacks that nobody is allowed to reach.
struct Traps {
    v4: Raw,
    v6: Raw,
}

impl Traps {
    async fn set() -> Self {
        let reply = Reply::Bytes(http("200 OK", b"\"trapped\""));
        Self {
            v4: Raw::at("127.0.0.1:0", reply.clone()).await,
            v6: Raw::at("[::1]:0", reply).await,
        }
    }

    fn caught(&self) -> usize {
        self.v4.connections() + self.v6.connections()
    }
}

#[tokio::test]
async fn no_packet_reaches_a_trap() {
    let traps = Traps::set().await;
    let folder = TempDir::new().unwrap();
    let (v4, v6) = (traps.v4.port, traps.v6.port);
    let mut urls: Vec<String> = Vec::new();
    for ip in ["127.0.0.1", "0.0.0.0", "127.0.0.2"] {
        urls.extend(
            spellings(ip.parse().unwrap())
                .into_iter()
                .map(|form| format!("http://{form}:{v4}/")),
        );
    }
    for form in [
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::0001]",
        "localhost",
        "LOCALHOST.",
        "localhost.localdomain",
        "ip6-localhost",
    ] {
        urls.push(format!("http://{form}:{v6}/"));
        urls.push(format!("https://{form}:{v6}/"));
    }
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    urls.push(format!("http://{}:{v4}/", host.trim()));
    let mut tried = 0;
    for url in &urls {
        let toml = format!(
            "[tools.t]\nkind = \"http\"\nmethod = \"POST\"\nurl = {url:?}\nbody = {{a = 1}}"
        );
        // What is no URL is found out when the server starts.
        let Ok(gateway) = try_gateway(&toml, folder.path()) else {
            continue;
        };
        let told = before(run(&gateway, "t", json!({})).await);
        assert!(
            !told.contains("127.0.0.1") && !told.contains("::1"),
            "{told}"
        );
        tried += 1;
    }
    assert!(tried >= 90, "{tried}");
    assert_eq!(traps.caught(), 0);
}

/// Answers each question with the next of its lists, the last for ever, and counts.
struct Script {
    answers: Mutex<Vec<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Script {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |list: &&[&str]| list.iter().map(|ip| ip.parse().unwrap()).collect();
        Arc::new(Self {
            answers: Mutex::new(answers.iter().rev().map(parse).collect()),
            asked: AtomicUsize::new(0),
        })
    }
}

impl Lookup for Script {
    fn lookup(&self, _host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 {
            answers.pop()
        } else {
            answers.last().cloned()
        };
        async move { answer.ok_or_else(|| io::Error::other("no such name")) }.boxed()
    }
}

#[tokio::test]
async fn a_name_that_flips_is_caught_at_the_connection() {
    let good = Raw::at("127.0.0.1:0", Reply::Bytes(http("200 OK", b"\"good\""))).await;
    let trap = Raw::at(
        &format!("127.0.0.2:{}", good.port),
        Reply::Bytes(http("200 OK", b"\"trapped\"")),
    )
    .await;
    let script = Script::new(&[
        &["127.0.0.1"],
        &["127.0.0.2"],
        &["127.0.0.1", "127.0.0.2"],
        &["::1"],
        &["169.254.169.254"],
        &[],
    ]);
    let folder = TempDir::new().unwrap();
    let toml = format!(
        "[egress]\nallow_private = [\"127.0.0.1:{0}\"]\n[tools.t]\nkind = \"http\"\nmethod = \"POST\"\nurl = \"http://rebind.example:{0}/\"",
        good.port
    );
    let gateway =
        try_gateway_with(&toml, folder.path(), Arc::clone(&script) as Arc<dyn Lookup>).unwrap();
    // Unsafe calls make a connection each, so each is resolved once and then connected to what was checked.
    assert_eq!(result(&gateway, "t", json!({})).await["body"], "good");
    assert_eq!(script.asked.load(Ordering::SeqCst), 1);
    for asked in 2..=5 {
        let told = before(run(&gateway, "t", json!({})).await);
        assert_eq!(told, Refused::Address.to_string());
        assert_eq!(script.asked.load(Ordering::SeqCst), asked);
    }
    assert_eq!(
        before(run(&gateway, "t", json!({})).await),
        Refused::NoAddress.to_string()
    );
    assert_eq!((good.connections(), trap.connections()), (1, 0));
}

#[tokio::test]
async fn a_name_that_is_not_found_is_told_before_any_effect() {
    let folder = TempDir::new().unwrap();
    let toml = "[tools.t]\nkind = \"http\"\nmethod = \"POST\"\nurl = \"http://nowhere.example/\"";
    let gateway = try_gateway_with(toml, folder.path(), Script::new(&[])).unwrap();
    assert_eq!(
        before(run(&gateway, "t", json!({})).await),
        "the service cannot be reached; nothing was sent"
    );
}

#[tokio::test]
async fn a_name_that_lies_reaches_no_trap() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let traps = Traps::set().await;
    for inside in INSIDE.iter().chain(&INSIDE_V6) {
        let script = Script::new(&[&[inside]]);
        let egress = Egress::with_lookup(&config(&[]), script as Arc<dyn Lookup>).unwrap();
        let is_v6 = inside.parse::<Ipv6Addr>().is_ok();
        let port = if is_v6 { traps.v6.port } else { traps.v4.port };
        let url = Url::parse(&format!("http://public.example:{port}/")).unwrap();
        let port = egress.check(&url).unwrap();
        let error = egress
            .client(port, Reuse::Never)
            .unwrap()
            .get(url)
            .send()
            .await
            .unwrap_err();
        assert_eq!(refusal(&error), Some(&Refused::Address), "{inside}");
    }
    assert_eq!(traps.caught(), 0);
}

#[tokio::test]
async fn the_list_of_hosts_holds_for_names_and_redirects() {
    let good = Raw::start(Reply::Bytes(http(
        "302 Found\r\nlocation: http://other.example/",
        b"",
    )))
    .await;
    let script = Script::new(&[&["127.0.0.1"]]);
    let folder = TempDir::new().unwrap();
    let toml = format!(
        "[egress]\nallow_hosts = [\"good.example\"]\nallow_private = [\"127.0.0.0/8\"]\n[tools.good]\nkind = \"http\"\nurl = \"http://good.example:{0}/\"\nredirects = 2\n[tools.bad]\nkind = \"http\"\nurl = \"http://bad.example:{0}/\"",
        good.port
    );
    let gateway = try_gateway_with(&toml, folder.path(), script).unwrap();
    assert_eq!(
        before(run(&gateway, "bad", json!({})).await),
        Refused::NotListed.to_string()
    );
    let (told, is_error) = committed(run(&gateway, "good", json!({})).await);
    assert!(is_error);
    assert_eq!(told["error"]["message"], Refused::NotListed.to_string());
    assert_eq!(good.connections(), 1);
}

#[tokio::test]
async fn redirects_to_the_inside_are_refused_at_every_hop() {
    let traps = Traps::set().await;
    let (v4, v6) = (traps.v4.port, traps.v6.port);
    for (status, location) in [
        ("301 Moved", format!("http://127.0.0.1:{v4}/")),
        ("302 Found", format!("http://0x7f000001:{v4}/")),
        ("303 See Other", format!("http://[::1]:{v6}/")),
        ("307 Temporary", format!("//127.0.0.1:{v4}/")),
        ("308 Permanent", format!("http://[::ffff:127.0.0.1]:{v4}/")),
        ("302 Found", format!("http://localhost:{v4}/")),
        ("302 Found", format!("https://127.0.0.1:{v4}/")),
        ("302 Found", format!("http://u:p@93.184.216.34:{v4}/")),
        ("302 Found", "ftp://93.184.216.34/".to_owned()),
        ("302 Found", "file:///etc/passwd".to_owned()),
        (
            "302 Found",
            "http://169.254.169.254/latest/meta-data/".to_owned(),
        ),
    ] {
        let last = Raw::start(Reply::Bytes(http(
            &format!("{status}\r\nlocation: {location}"),
            b"",
        )))
        .await;
        let first = Raw::start(Reply::Bytes(http(
            &format!("302 Found\r\nlocation: http://127.0.0.1:{}/", last.port),
            b"",
        )))
        .await;
        let folder = TempDir::new().unwrap();
        let gateway = gateway(
            &format!(
                "[egress]\nallow_private = [\"127.0.0.1:{}\", \"127.0.0.1:{}\"]\n[tools.t]\nkind = \"http\"\nurl = \"http://127.0.0.1:{}/\"\nredirects = 5",
                first.port, last.port, first.port
            ),
            folder.path(),
        );
        let (told, is_error) = committed(run(&gateway, "t", json!({})).await);
        assert!(
            is_error && told["error"]["message"].is_string(),
            "{location}: {told}"
        );
        assert_eq!(
            (first.connections(), last.connections()),
            (1, 1),
            "{location}"
        );
    }
    assert_eq!(traps.caught(), 0);
}

/// Also run by the test below, in a process whose environment names a proxy.
#[tokio::test]
async fn requests_go_straight_to_their_target() {
    let target = Raw::start(Reply::Bytes(http("200 OK", b"\"straight\""))).await;
    let folder = TempDir::new().unwrap();
    let gateway = gateway(
        &format!(
            "[egress]\nallow_private = [\"127.0.0.1:{0}\"]\n[tools.t]\nkind = \"http\"\nurl = \"http://127.0.0.1:{0}/\"",
            target.port
        ),
        folder.path(),
    );
    assert_eq!(result(&gateway, "t", json!({})).await["body"], "straight");
    assert_eq!(target.requests().len(), 1);
}

#[tokio::test]
async fn proxies_of_the_environment_are_not_used() {
    let traps = Traps::set().await;
    let proxy = format!("http://127.0.0.1:{}", traps.v4.port);
    let itself = std::env::current_exe().unwrap();
    let run = move || {
        let mut command = Command::new(itself);
        command.args(["--exact", "egress::requests_go_straight_to_their_target"]);
        for name in [
            "HTTP_PROXY",
            "http_proxy",
            "HTTPS_PROXY",
            "https_proxy",
            "ALL_PROXY",
            "all_proxy",
        ] {
            command.env(name, &proxy);
        }
        command
            .env_remove("NO_PROXY")
            .env_remove("no_proxy")
            .output()
            .unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
    assert_eq!(traps.caught(), 0);
}
