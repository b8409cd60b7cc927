//! The address of a drain as a user types it, and as much of it as may be shown.

use std::{fmt, str::FromStr};

use reqwest::Url;
use secrecy::SecretString;

const MAX_BYTES: usize = 2_000;

/// What speaks at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Protocol {
    /// Batches by POST, in Logplex's framing.
    Https,
    /// A stream of lines; encrypted with `syslog+tls`.
    Syslog { tls: bool },
}

/// Where lines go. `Display` leaves out what may be secret: credentials, path and query.
#[derive(Clone)]
pub struct DrainAddress {
    url: Url,
    pub(super) protocol: Protocol,
    pub(super) host: String,
    pub(super) port: u16,
}

/// Why a text is no address of a drain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("Url must be like https://user:secret@logs.example.org/in, syslog://logs.example.org:514 or syslog+tls://logs.example.org:6514")]
pub struct DrainAddressError;

impl FromStr for DrainAddress {
    type Err = DrainAddressError;

    fn from_str(text: &str) -> Result<DrainAddress, DrainAddressError> {
        let text = text.trim();
        let url: Url = text.parse().map_err(|_| DrainAddressError)?;
        let (protocol, port) = match url.scheme() {
            "https" => (Protocol::Https, 443),
            "http" => (Protocol::Https, 80),
            "syslog" => (Protocol::Syslog { tls: false }, 514),
            "syslog+tls" => (Protocol::Syslog { tls: true }, 6514),
            _ => return Err(DrainAddressError),
        };
        let host = url.host_str().filter(|host| !host.is_empty() && text.len() <= MAX_BYTES).ok_or(DrainAddressError)?.to_owned();
        let port = url.port().unwrap_or(port);
        Ok(DrainAddress { url, protocol, host, port })
    }
}

impl DrainAddress {
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// The whole address, with whatever secrets it holds.
    pub fn secret(&self) -> SecretString {
        self.url.as_str().into()
    }

    pub(super) fn is(&self, text: &str) -> bool {
        text.parse::<DrainAddress>().is_ok_and(|other| other.url == self.url)
    }
}

impl fmt::Display for DrainAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = if self.url.username().is_empty() && self.url.password().is_none() { "" } else { "•••@" };
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let rest = if matches!(self.url.path(), "" | "/") && self.url.query().is_none() { "" } else { "/•••" };
        write!(f, "{}://{login}{}{port}{rest}", self.url.scheme(), self.host)
    }
}

impl fmt::Debug for DrainAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DrainAddress({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_not_shown() {
        for (typed, shown) in [
            ("https://ana:s3cret@logs.example.org/in/t0ken?key=s3cret", "https://•••@logs.example.org/•••"),
            ("https://logs.example.org", "https://logs.example.org"),
            ("https://logs.example.org:8088/?key=s3cret", "https://logs.example.org:8088/•••"),
            (" syslog://logs.example.org:514 ", "syslog://logs.example.org:514"),
            ("syslog+tls://[2001:db8::1]:6514", "syslog+tls://[2001:db8::1]:6514"),
        ] {
            let address: DrainAddress = typed.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert!(!format!("{address:?}").contains("s3cret") && address.is(typed));
        }
    }

    #[test]
    fn ports_follow_the_protocol_and_other_protocols_are_refused() {
        for (typed, protocol, port) in [
            ("https://x.example.org", Protocol::Https, 443),
            ("syslog://x.example.org", Protocol::Syslog { tls: false }, 514),
            ("syslog+tls://x.example.org", Protocol::Syslog { tls: true }, 6514),
            ("syslog://x.example.org:99", Protocol::Syslog { tls: false }, 99),
        ] {
            let address: DrainAddress = typed.parse().unwrap();
            assert_eq!((address.protocol, address.port), (protocol, port), "{typed}");
        }
        for bad in ["", "logs.example.org", "ftp://x.example.org", "syslog:x", "syslog://", "https://", "file:///etc/passwd"] {
            assert!(bad.parse::<DrainAddress>().is_err(), "{bad}");
        }
        assert!(format!("https://x.example.org/{}", "x".repeat(MAX_BYTES)).parse::<DrainAddress>().is_err());
    }
}
