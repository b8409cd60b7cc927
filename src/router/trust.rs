//! Which peers are proxies whose `X-Forwarded-*` is believed.

use std::net::IpAddr;

use crate::domain::network::Network;

/// Networks, as `--trusted-proxy` names them.
#[derive(Debug, Default)]
pub struct Trusted(Vec<Network>);

impl Trusted {
    /// Parses addresses and networks in CIDR form. The error names what is neither.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Trusted, String> {
        let entries = entries.into_iter().map(str::trim).filter(|entry| !entry.is_empty());
        let network = |entry: &str| entry.parse().map_err(|error| format!("--trusted-proxy {entry}: {error}"));
        Ok(Trusted(entries.map(network).collect::<Result<_, _>>()?))
    }

    pub fn holds(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.holds(ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_named_is_trusted_and_a_wrong_one_is_told() {
        let trusted = Trusted::parse(["10.1.0.0/16", "2001:db8::/32", " "]).unwrap();
        assert!(trusted.holds("10.1.255.1".parse().unwrap()) && trusted.holds("2001:db8::1".parse().unwrap()));
        assert!(!trusted.holds("10.2.0.1".parse().unwrap()));
        assert_eq!(Trusted::parse(["proxy"]).unwrap_err(), "--trusted-proxy proxy: Name an address or a network, such as 10.0.0.0/8.");
    }
}
