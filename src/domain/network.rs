//! Address ranges in CIDR form, and which addresses are public.

use std::{net::IpAddr, str::FromStr};

/// The header by which `siesta proxy` tells its port: what is answered names addresses at that door.
pub const DOOR: &str = "siesta-door";

/// A network or a single address: `10.0.0.0/8`, `192.0.2.7`, `2001:db8::/32`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// The text is neither an address nor a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("Name an address or a network, such as 10.0.0.0/8.")]
pub struct NetworkError;

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(widest), str::parse).map_err(|_| NetworkError)?;
        if bits > widest { Err(NetworkError) } else { Ok(Network { address, bits }) }
    }
}

impl Network {
    /// Whether the address lies in it; an IPv4 address in IPv6 clothes counts as what it is.
    pub fn holds(&self, ip: IpAddr) -> bool {
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => same(network.to_bits().into(), ip.to_bits().into(), 32 - self.bits),
            (IpAddr::V6(network), IpAddr::V6(ip)) => same(network.to_bits(), ip.to_bits(), 128 - self.bits),
            _ => false,
        }
    }
}

/// Equal but for the last `free` bits.
fn same(a: u128, b: u128, free: u8) -> bool {
    free == 128 || (a ^ b) >> free == 0
}

/// Not public though outside the ranges that are left out as a whole: this host, private, shared,
/// link-local, documentation, benchmarks, multicast, reserved; tunnels that carry IPv4 addresses.
const SPECIAL: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
];

/// Whether anybody on the internet means the same machine by this address.
pub fn is_public(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let assigned = match ip {
        IpAddr::V4(_) => true,
        // 2000::/3 is all that was given out so far.
        IpAddr::V6(ip) => ip.segments()[0] >> 13 == 1,
    };
    assigned && !SPECIAL.iter().any(|network| network.parse::<Network>().is_ok_and(|network| network.holds(ip)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_only() {
        for (network, ip, held) in [
            ("10.1.0.0/16", "10.1.255.1", true),
            ("10.1.0.0/16", "10.2.0.1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("10.1.0.0/16", "::ffff:10.1.0.9", true),
            ("2001:db8::/32", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db9::1", true),
            ("0.0.0.0/0", "::1", false),
        ] {
            assert_eq!(network.parse::<Network>().unwrap().holds(ip.parse().unwrap()), held, "{network} {ip}");
        }
        for bad in ["10.0.0.0/33", "proxy", "10.0.0.0/x", "", "::/129"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_what_the_internet_can_reach_is_public() {
        for ip in ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "223.255.255.1", "2606:4700::1111", "2a00::1", "::ffff:8.8.8.8"] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "4000::1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        assert!(SPECIAL.iter().all(|network| network.parse::<Network>().is_ok()));
    }
}
