//! Pages of an app's own for the moments it cannot answer: `ERROR_PAGE_URL` and
//! `MAINTENANCE_PAGE_URL` (heroku.md 3.4, 10.1). The visitor's browser fetches them into a frame; we never do.

use http::Uri;
use secrecy::ExposeSecret;

use crate::domain::ConfigVars;

/// The longest address that is believed.
const ADDRESS_BYTES: usize = 2_048;

/// The pages an app has of its own.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pages {
    pub error: Option<Framed>,
    pub maintenance: Option<Framed>,
}

/// A page to be framed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Framed {
    pub address: String,
    /// Scheme, host and port: what the frame may load.
    pub origin: String,
}

impl Pages {
    /// Reads the two variables; what is no http address is as good as unset.
    pub fn of(vars: &ConfigVars) -> Pages {
        let framed = |name: &str| {
            let (_, value) = vars.iter().find(|(key, _)| key.as_str() == name)?;
            Framed::parse(value.expose_secret())
        };
        Pages { error: framed("ERROR_PAGE_URL"), maintenance: framed("MAINTENANCE_PAGE_URL") }
    }
}

impl Framed {
    fn parse(address: &str) -> Option<Framed> {
        let address = address.trim();
        let uri: Uri = address.parse().ok().filter(|_| address.len() <= ADDRESS_BYTES)?;
        let (scheme, authority) = (uri.scheme_str()?, uri.authority()?.as_str());
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
        let fits = matches!(scheme, "http" | "https") && !authority.is_empty() && authority.bytes().all(plain);
        fits.then(|| Framed { address: address.to_owned(), origin: format!("{scheme}://{authority}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_web_address_is_framed() {
        let framed = Framed::parse(" https://pages.example.org:8443/error.html?x=1 ").unwrap();
        assert_eq!(framed.origin, "https://pages.example.org:8443");
        for bad in [
            "",
            "/error.html",
            "javascript:alert(1)",
            "data:text/html,x",
            "//x/y",
            "https:///x",
            "https://a b/",
            "https://u@x/",
            "https://x;script-src *",
        ] {
            assert_eq!(Framed::parse(bad), None, "{bad}");
        }
    }
}
