//! Which addresses are public, and which others the configuration allows.

use crate::config::EgressConfig;
use crate::error::ConfigError;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A pattern of the egress rules cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("`{pattern}` is no host name and no `*.` in front of one")]
    Host { pattern: String },
    #[error(
        "`{pattern}` is no address (`127.0.0.1`), address and port (`127.0.0.1:9000`, `[::1]:9000`) or network (`10.0.0.0/8`)"
    )]
    Address { pattern: String },
}

/// The configured exceptions.
pub(super) struct Allowed {
    hosts: Vec<HostPattern>,
    networks: Vec<Network>,
}

enum HostPattern {
    Exactly(String),
    /// With the dot in front.
    Below(String),
}

struct Network {
    address: IpAddr,
    bits: u32,
    port: Option<u16>,
}

impl Allowed {
    pub(super) fn new(config: &EgressConfig) -> Result<Self, ConfigError> {
        let hosts = config.allow_hosts.iter().map(|pattern| host(pattern));
        let networks = config.allow_private.iter().map(|pattern| network(pattern));
        let wrong = |setting| move |source| ConfigError::Egress { setting, source };
        Ok(Self {
            hosts: hosts
                .collect::<Result<_, _>>()
                .map_err(wrong("allow_hosts"))?,
            networks: networks
                .collect::<Result<_, _>>()
                .map_err(wrong("allow_private"))?,
        })
    }

    /// Whether the list of hosts, if there is one, has this name.
    pub(super) fn host(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.hosts.is_empty()
            || self.hosts.iter().any(|pattern| match pattern {
                HostPattern::Exactly(host) => *host == name,
                HostPattern::Below(ending) => name.ends_with(ending.as_str()),
            })
    }

    /// Whether a connection to this address may be made.
    pub(super) fn address(&self, ip: IpAddr, port: u16) -> bool {
        let (public, target) = match ip {
            IpAddr::V4(v4) => (is_public_v4(v4), ip),
            IpAddr::V6(v6) => match embedded(v6) {
                Some(v4) if may_embed(v6) => (is_public_v4(v4), IpAddr::V4(v4)),
                Some(_) => (false, ip),
                None => (is_public_v6(v6), ip),
            },
        };
        public
            || self.networks.iter().any(|network| {
                network.port.is_none_or(|allowed| allowed == port) && network.holds(target)
            })
    }
}

impl Network {
    fn holds(&self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => {
                let shift = 32 - self.bits;
                network.to_bits().checked_shr(shift) == ip.to_bits().checked_shr(shift)
            }
            (IpAddr::V6(network), IpAddr::V6(ip)) => {
                let shift = 128 - self.bits;
                network.to_bits().checked_shr(shift) == ip.to_bits().checked_shr(shift)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

fn host(pattern: &str) -> Result<HostPattern, PatternError> {
    let (name, below) = match pattern.strip_prefix('*') {
        Some(rest) => (rest.strip_prefix('.').unwrap_or_default(), true),
        None => (pattern, false),
    };
    // What a URL would make of the name, so that both are compared in the same spelling.
    let name = match url::Host::parse(name) {
        Ok(url::Host::Domain(name)) => name,
        Ok(url::Host::Ipv4(ip)) if !below => ip.to_string(),
        Ok(url::Host::Ipv6(ip)) if !below => ip.to_string(),
        Ok(_) | Err(_) => {
            return Err(PatternError::Host {
                pattern: pattern.to_owned(),
            });
        }
    };
    let name = name.trim_end_matches('.');
    Ok(if below {
        HostPattern::Below(format!(".{name}"))
    } else {
        HostPattern::Exactly(name.to_owned())
    })
}

fn network(pattern: &str) -> Result<Network, PatternError> {
    let wrong = || PatternError::Address {
        pattern: pattern.to_owned(),
    };
    if let Ok(with_port) = pattern.parse::<std::net::SocketAddr>() {
        return Ok(Network {
            address: with_port.ip(),
            bits: if with_port.is_ipv4() { 32 } else { 128 },
            port: Some(with_port.port()),
        });
    }
    let (address, bits) = match pattern.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (pattern, None),
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        Some(bits) => bits.parse().map_err(|_| wrong())?,
        None => bits_max,
    };
    if bits > bits_max {
        return Err(wrong());
    }
    Ok(Network {
        address,
        bits,
        port: None,
    })
}

/// Networks that are not the public internet (IANA's special-purpose registry for IPv4, and addresses at which clouds
/// keep their metadata).
const NOT_PUBLIC_V4: [(Ipv4Addr, u32); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast, reserved and broadcast.
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

fn is_public_v4(ip: Ipv4Addr) -> bool {
    !NOT_PUBLIC_V4
        .iter()
        .any(|(network, bits)| network.to_bits() >> (32 - bits) == ip.to_bits() >> (32 - bits))
}

/// Networks inside 2000::/3 that are not the public internet (IANA's special-purpose registry for IPv6).
const NOT_PUBLIC_V6: [(Ipv6Addr, u32); 4] = [
    // Protocol assignments: Teredo, benchmarking, ORCHID and others.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

fn is_public_v6(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xe000 == 0x2000
        && !NOT_PUBLIC_V6.iter().any(|(network, bits)| {
            network.to_bits() >> (128 - bits) == ip.to_bits() >> (128 - bits)
        })
}

/// The IPv4 address that packets to this IPv6 address may end at: mapped and compatible (RFC 4291 §2.5.5), translated
/// (RFC 2765 §2.1), NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380) and ISATAP (RFC 5214).
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0) if g != 0 => Some(v4(g, h)),
        (0, 0, 0, 0, 0, 0xffff) | (0, 0, 0, 0, 0xffff, 0) => Some(v4(g, h)),
        (0x64, 0xff9b, 0, 0, 0, 0) | (0x64, 0xff9b, 1, _, _, _) => Some(v4(g, h)),
        (0x2002, _, _, _, _, _) => Some(v4(b, c)),
        (0x2001, 0, _, _, _, _) => Some(v4(!g, !h)),
        (_, _, _, _, 0 | 0x200, 0x5efe) => Some(v4(g, h)),
        _ => None,
    }
}

/// Mapped addresses and the well-known NAT64 prefix are in real use; the other ways to embed are relics or private.
fn may_embed(ip: Ipv6Addr) -> bool {
    matches!(
        ip.segments(),
        [0, 0, 0, 0, 0, 0xffff, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _]
    )
}
