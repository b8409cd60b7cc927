//! Which host a request is for: canonical names, and where they lead.

use std::{
    borrow::Cow,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use crate::{
    config::Config,
    dynos::{Route, Routes},
};

/// Where a host leads.
pub enum Place {
    /// Dashboard, API, git.
    Platform,
    App(Arc<Route>),
    Unknown,
}

/// The host names of the platform itself.
pub struct Hosts {
    dashboard: String,
    api: String,
    git: String,
    /// On a loopback server its addresses are the dashboard's too.
    local: bool,
    routes: Arc<Routes>,
}

impl Hosts {
    pub fn new(config: &Config, routes: Arc<Routes>) -> Hosts {
        let domain = &config.options.apps_domain;
        Hosts {
            dashboard: config.dashboard_host().to_ascii_lowercase(),
            api: format!("api.{domain}"),
            git: format!("git.{domain}"),
            local: domain == "localhost",
            routes,
        }
    }

    /// Looks up a canonical host name.
    pub fn find(&self, host: &str) -> Place {
        if host == self.dashboard || host == self.api || host == self.git || (self.local && is_local(host)) {
            return Place::Platform;
        }
        match self.routes.find(host) {
            Some(route) => Place::App(route),
            None => Place::Unknown,
        }
    }
}

fn is_local(host: &str) -> bool {
    let v6 = || host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
    host == "localhost" || host.parse::<Ipv4Addr>().is_ok() || v6()
}

/// The name in a `Host` header or an authority: lower case, without port and trailing dot.
/// None when it is no host name.
pub fn canonical(host: &str) -> Option<Cow<'_, str>> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => {
            if !port.bytes().all(|b| b.is_ascii_digit()) || port.len() > 5 {
                return None;
            }
            name
        }
        _ => host,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let bracketed = || name.starts_with('[') && is_local(name);
    if name.is_empty() || name.len() > 253 || !(name.bytes().all(plain) || bracketed()) {
        return None;
    }
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        return Some(Cow::Owned(name.to_ascii_lowercase()));
    }
    Some(Cow::Borrowed(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_without_case_port_and_trailing_dot() {
        for (given, canon) in [
            ("tienda.localhost", "tienda.localhost"),
            ("tienda.localhost:8080", "tienda.localhost"),
            ("tienda.localhost.", "tienda.localhost"),
            ("Tienda.LocalHost.:80", "tienda.localhost"),
            ("127.0.0.1:8080", "127.0.0.1"),
            ("[::1]:8080", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(canonical(given).as_deref(), Some(canon), "{given}");
        }
    }

    #[test]
    fn what_is_no_host_name_is_refused() {
        for bad in [
            "",
            ".",
            ":80",
            "a b",
            "a/b",
            "a@b",
            "a:b",
            "a:80:90",
            "a:999999",
            "a..\u{e9}",
            "a,b",
            "[::1",
            "::1",
            "a#b",
            "a?b",
            "a%41",
            "[x]",
        ] {
            assert_eq!(canonical(bad), None, "{bad}");
        }
    }
}
