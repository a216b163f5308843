use super::*;

fn egress(hosts: &[&str], private: &[&str]) -> Egress {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Egress::new(&EgressConfig {
        allow_hosts: owned(hosts),
        allow_private: owned(private),
    })
    .unwrap()
}

fn check(egress: &Egress, url: &str) -> Result<u16, Refused> {
    egress.check(&Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}")))
}

#[test]
fn the_list_of_hosts_is_kept_to() {
    let egress = egress(
        &[
            "api.example.com",
            "*.models.example",
            "BÜCHER.example",
            "93.184.216.34",
        ],
        &[],
    );
    for url in [
        "https://api.example.com/",
        "https://API.Example.COM./",
        "https://eu.models.example/x",
        "https://a.b.models.example",
        "https://bücher.example",
        "https://xn--bcher-kva.example",
        "http://93.184.216.34/",
        "http://0x5db8d822/",
    ] {
        assert!(check(&egress, url).is_ok(), "{url}");
    }
    for url in [
        "https://example.com/",
        "https://xapi.example.com/",
        "https://api.example.com.evil.example/",
        "https://models.example/",
        "https://evilmodels.example/",
        "http://93.184.216.35/",
    ] {
        assert_eq!(check(&egress, url), Err(Refused::NotListed), "{url}");
    }
}

#[test]
fn private_addresses_are_allowed_one_by_one() {
    let egress = egress(
        &[],
        &[
            "127.0.0.1:9000",
            "[::1]:9000",
            "10.1.0.0/16",
            "fd00:1::/32",
            "192.168.7.7",
        ],
    );
    for url in [
        "http://127.0.0.1:9000/",
        "http://0x7f.1:9000/",
        "http://[::ffff:127.0.0.1]:9000/",
        "http://[::1]:9000/",
        "http://10.1.255.255:1/",
        "https://[fd00:1::5]/",
        "http://192.168.7.7/",
        "http://192.168.7.7:81/",
        "http://[64:ff9b::10.1.0.1]/",
    ] {
        assert!(check(&egress, url).is_ok(), "{url}");
    }
    for url in [
        "http://127.0.0.1:9001/",
        "http://127.0.0.1/",
        "http://127.0.0.2:9000/",
        "http://[::1]/",
        "http://10.2.0.1/",
        "https://[fd00:2::5]/",
        "http://192.168.7.8/",
        "http://[2002:a01:1::]/",
        "http://[2001:0:1:2:3:4:f5fe:fffe]/",
        "http://[::10.1.0.1]/",
    ] {
        assert_eq!(check(&egress, url), Err(Refused::Address), "{url}");
    }
}

#[test]
fn patterns_that_mean_nothing_are_refused() {
    for pattern in [
        "",
        "*",
        "*.",
        "a b",
        "http://x/",
        "x/y",
        "*.1.2.3.4",
        "*x.example",
    ] {
        let config = EgressConfig {
            allow_hosts: vec![pattern.to_owned()],
            allow_private: Vec::new(),
        };
        assert!(Egress::new(&config).is_err(), "{pattern:?}");
    }
    for pattern in [
        "",
        "localhost",
        "localhost:80",
        "10.0.0.0/33",
        "::/129",
        "10.0.0.0/8:80",
        "0x7f.1",
        "1.2.3",
        "10.0.0.1:70000",
    ] {
        let config = EgressConfig {
            allow_hosts: Vec::new(),
            allow_private: vec![pattern.to_owned()],
        };
        assert!(Egress::new(&config).is_err(), "{pattern:?}");
    }
}

#[test]
fn only_plain_http_urls_pass() {
    let egress = egress(&[], &["0.0.0.0/0", "::/0"]);
    for (url, why) in [
        (
            "ftp://93.184.216.34/",
            Refused::Scheme {
                scheme: "ftp".to_owned(),
            },
        ),
        (
            "file:///etc/passwd",
            Refused::Scheme {
                scheme: "file".to_owned(),
            },
        ),
        (
            "gopher://93.184.216.34/",
            Refused::Scheme {
                scheme: "gopher".to_owned(),
            },
        ),
        (
            "data:text/plain,x",
            Refused::Scheme {
                scheme: "data".to_owned(),
            },
        ),
        (
            "unix:/run/x.sock",
            Refused::Scheme {
                scheme: "unix".to_owned(),
            },
        ),
        (
            "ws://93.184.216.34/",
            Refused::Scheme {
                scheme: "ws".to_owned(),
            },
        ),
        ("http://user@93.184.216.34/", Refused::UserInfo),
        ("http://user:word@93.184.216.34/", Refused::UserInfo),
        ("http://:word@93.184.216.34/", Refused::UserInfo),
        ("http://api.example%2f@93.184.216.34/", Refused::UserInfo),
    ] {
        assert_eq!(check(&egress, url), Err(why), "{url}");
    }
}
