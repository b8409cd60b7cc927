//! Which peers are proxies whose `X-Forwarded-*` is believed.

use std::net::IpAddr;

/// Networks, as `--trusted-proxy` names them.
#[derive(Debug, Default)]
pub struct Trusted(Vec<(IpAddr, u8)>);

impl Trusted {
    /// Parses addresses and networks in CIDR form. The error names what is neither.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Trusted, String> {
        let mut networks = Vec::new();
        for entry in entries.into_iter().map(str::trim).filter(|e| !e.is_empty()) {
            let fault = || format!("--trusted-proxy {entry}: name an address or a network, such as 10.0.0.0/8.");
            let (address, bits) = entry.split_once('/').map_or((entry, None), |(a, b)| (a, Some(b)));
            let address: IpAddr = address.parse().map_err(|_| fault())?;
            let widest = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Ok(widest), str::parse).map_err(|_| fault())?;
            if bits > widest {
                return Err(fault());
            }
            networks.push((address, bits));
        }
        Ok(Trusted(networks))
    }

    pub fn holds(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|(network, bits)| match (network, ip) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => same(network.to_bits().into(), ip.to_bits().into(), 32 - bits),
            (IpAddr::V6(network), IpAddr::V6(ip)) => same(network.to_bits(), ip.to_bits(), 128 - bits),
            _ => false,
        })
    }
}

/// Equal but for the last `free` bits.
fn same(a: u128, b: u128, free: u8) -> bool {
    free == 128 || (a ^ b) >> free == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses_only() {
        let trusted = Trusted::parse(["10.1.0.0/16", "192.0.2.7", "2001:db8::/32", " "]).unwrap();
        for (ip, held) in [
            ("10.1.255.1", true),
            ("10.2.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("::ffff:10.1.0.9", true),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(trusted.holds(ip.parse().unwrap()), held, "{ip}");
        }
        for bad in ["10.0.0.0/33", "proxy", "10.0.0.0/x"] {
            assert!(Trusted::parse([bad]).is_err(), "{bad}");
        }
    }
}
