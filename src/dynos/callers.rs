//! Who keeps an app awake: its last requests, few and short, so that the Overview can name them.

use std::{
    borrow::Cow,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::domain::Timestamp;

/// Requests remembered of one app.
const KEPT: usize = 8;
/// Requests that come within this time of the last one noted are not worth an allocation.
const PAUSE_MILLIS: i64 = 1_000;
/// Bytes kept of a path, and of the name a client gives itself.
const PATH_BYTES: usize = 120;
const AGENT_BYTES: usize = 80;

/// A request that kept an app awake.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Caller {
    pub at: Timestamp,
    pub method: String,
    /// Without the query: it may hold what is nobody's business.
    pub path: String,
    /// What the client calls itself; may be empty.
    pub agent: String,
    /// The client's network, not the client.
    pub address: String,
}

impl Caller {
    /// Cuts what is long and what is private.
    pub fn new(at: Timestamp, method: &str, path: &str, agent: &[u8], address: IpAddr) -> Caller {
        let agent = String::from_utf8_lossy(agent);
        let path = path.split(['?', '#']).next().unwrap_or("/");
        Caller {
            at,
            method: method.to_owned(),
            path: cut(Cow::Borrowed(path), PATH_BYTES),
            agent: cut(agent, AGENT_BYTES),
            address: network(address),
        }
    }

    fn is_like(&self, other: &Caller) -> bool {
        (&self.method, &self.path, &self.agent, &self.address) == (&other.method, &other.path, &other.agent, &other.address)
    }
}

impl std::fmt::Display for Caller {
    /// `GET /carrito from 203.0.113.x (curl/8.1)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} from {}", self.method, self.path, self.address)?;
        if self.agent.is_empty() { Ok(()) } else { write!(f, " ({})", self.agent) }
    }
}

fn cut(text: Cow<'_, str>, bytes: usize) -> String {
    let clean = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.len() <= bytes { clean(&text) } else { clean(&text[..text.floor_char_boundary(bytes)]) + "…" }
}

fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            format!("{a}.{b}.{c}.x")
        }
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:x")
        }
    }
}

/// The last callers of one app, the newest first.
#[derive(Debug, Default)]
pub(super) struct Callers(Mutex<Vec<Caller>>);

impl Callers {
    fn lock(&self) -> MutexGuard<'_, Vec<Caller>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request at `now` is worth noting when the last noted came at `noted`.
    pub(super) fn is_due(noted: Timestamp, now: Timestamp) -> bool {
        (now.millis() - noted.millis()).abs() >= PAUSE_MILLIS
    }

    /// Remembers a request; one like it gives way.
    pub(super) fn note(&self, caller: Caller) {
        let mut callers = self.lock();
        callers.retain(|known| !known.is_like(&caller));
        callers.truncate(KEPT - 1);
        callers.insert(0, caller);
    }

    pub(super) fn list(&self) -> Vec<Caller> {
        self.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(at: i64, path: &str) -> Caller {
        Caller::new(Timestamp(at), "GET", path, b"curl/8.1", "203.0.113.9".parse().unwrap())
    }

    #[test]
    fn a_caller_shows_neither_its_query_nor_its_whole_address() {
        let long = format!("/{}?token=secret", "é".repeat(200));
        let text = caller(0, &long).to_string();
        assert!(text.len() < 250 && !text.contains("secret") && text.ends_with("… from 203.0.113.x (curl/8.1)"), "{text}");
        let six = Caller::new(Timestamp(0), "GET", "/", b"", "2001:db8:7:8::1".parse().unwrap());
        assert_eq!(six.to_string(), "GET / from 2001:db8:7:x");
        let mapped = Caller::new(Timestamp(0), "GET", "/", b"a\x1b[1m", "::ffff:192.0.2.1".parse().unwrap());
        assert_eq!(mapped.to_string(), "GET / from 192.0.2.x (a [1m)");
    }

    #[test]
    fn the_newest_come_first_and_the_same_request_once() {
        let callers = Callers::default();
        for at in 0..20 {
            callers.note(caller(at, &format!("/{}", at % 10)));
        }
        callers.note(caller(99, "/15?x=1"));
        callers.note(caller(100, "/19"));
        callers.note(caller(101, "/15"));
        let paths: Vec<_> = callers.list().into_iter().map(|c| (c.at.millis(), c.path)).collect();
        assert_eq!(paths.len(), KEPT);
        assert_eq!(paths[..2], [(101, "/15".to_owned()), (100, "/19".to_owned())]);
    }
}
