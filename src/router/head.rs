//! Rules for the heads of requests and responses: what is refused, what is dropped on the way,
//! what the dyno is told (heroku.md 4.2 to 4.4, security.md SR19 and SR15).

use std::{borrow::Cow, net::IpAddr};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, SET_COOKIE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA},
    request, response,
};

use crate::router::{host, watch::Watch};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CONNECT_TIME: HeaderName = HeaderName::from_static("connect-time");
const TOTAL_ROUTE_TIME: HeaderName = HeaderName::from_static("total-route-time");
const OUR_VIA: HeaderValue = HeaderValue::from_static("1.1 siesta");
const UPGRADING: HeaderValue = HeaderValue::from_static("upgrade");

/// A cookie longer than this is refused (heroku.md 4.2).
const COOKIE_BYTES: usize = 8_192;

/// Why a request is refused before any app sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeadFault {
    /// 400, `cause="bad header"`.
    Bad,
    /// 417, `cause="unsupported expect header value"`.
    Expect,
    /// 414: the request target is too long.
    LongTarget,
    /// 431: a header line is too long.
    LongHeader,
    /// 405: CONNECT.
    Method,
}

impl HeadFault {
    pub fn status(self) -> StatusCode {
        match self {
            HeadFault::Bad => StatusCode::BAD_REQUEST,
            HeadFault::Expect => StatusCode::EXPECTATION_FAILED,
            HeadFault::LongTarget => StatusCode::URI_TOO_LONG,
            HeadFault::LongHeader => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            HeadFault::Method => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    pub fn cause(self) -> &'static str {
        match self {
            HeadFault::Expect => "unsupported expect header value",
            _ => "bad header",
        }
    }
}

/// What one pass over a request's headers found; the rare ones decide about further work.
#[derive(Default)]
pub struct Found {
    hosts: usize,
    connection: bool,
    chunked: bool,
    pub upgrade: bool,
    expect: bool,
    hop_by_hop: bool,
    forwarding: bool,
    underscore: bool,
    long: bool,
    via: bool,
    pub request_id: bool,
}

/// One pass over the headers of a request.
pub fn scan(headers: &HeaderMap, line_bytes: usize) -> Found {
    let mut found = Found::default();
    for (name, value) in headers {
        let name = name.as_str();
        found.long |= name.len() + value.len() + 2 > line_bytes || name.len() > 1_000;
        match name {
            "host" => found.hosts += 1,
            "connection" => found.connection = true,
            "transfer-encoding" => found.chunked = true,
            "upgrade" => found.upgrade = true,
            "expect" => found.expect = true,
            "keep-alive" | "proxy-connection" | "proxy-authenticate" | "proxy-authorization" | "te" | "trailer" | "http2-settings" => {
                found.hop_by_hop = true;
            }
            "via" => found.via = true,
            "x-request-id" => found.request_id = true,
            "forwarded" | "x-real-ip" | "x-forwarded-host" | "x-forwarded-by" | "x-forwarded-server" | "x-forwarded-for"
            | "x-forwarded-proto" | "x-forwarded-port" | "x-forwarded-prefix" => found.forwarding = true,
            other => found.underscore |= other.as_bytes().contains(&b'_'),
        }
    }
    found
}

/// Checks a request; None means fine. `name` is the canonical host if there is one.
pub fn fault(parts: &request::Parts, found: &Found, watch: &Watch, line_bytes: usize) -> Option<HeadFault> {
    if parts.method == Method::CONNECT || parts.method.as_str().len() > 127 {
        return Some(HeadFault::Method);
    }
    if found.long {
        return Some(HeadFault::LongHeader);
    }
    if parts.uri.path_and_query().is_some_and(|p| p.as_str().len() > line_bytes) {
        return Some(HeadFault::LongTarget);
    }
    if found.expect && !single(&parts.headers, &EXPECT).is_some_and(|v| v.eq_ignore_ascii_case(b"100-continue")) {
        return Some(HeadFault::Expect);
    }
    let target_fine = parts.uri.authority().is_some() || parts.uri.path().starts_with('/') || parts.method == Method::OPTIONS;
    if found.hosts != 1 || !target_fine || parts.version == Version::HTTP_09 {
        return Some(HeadFault::Bad);
    }
    if found.chunked {
        // The parser forgets `Content-Length` beside `Transfer-Encoding`; the raw head does not.
        let plain = single(&parts.headers, &TRANSFER_ENCODING).is_some_and(|v| v.eq_ignore_ascii_case(b"chunked"));
        if !plain || parts.headers.contains_key(CONTENT_LENGTH) || watch.head_may_have_length() {
            return Some(HeadFault::Bad);
        }
    }
    if found.connection && names_essential(&parts.headers) {
        return Some(HeadFault::Bad);
    }
    None
}

/// The host a request is for: its one `Host`, which an absolute target must repeat.
pub fn host_of(parts: &request::Parts) -> Option<Cow<'_, str>> {
    let host = parts.headers.get(HOST)?.to_str().ok()?;
    if let Some(authority) = parts.uri.authority() {
        let same = !authority.as_str().contains('@') && authority.as_str().eq_ignore_ascii_case(host);
        let web = matches!(parts.uri.scheme_str(), Some("http" | "https"));
        if !same || !web {
            return None;
        }
    }
    host::canonical(host)
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then(|| first.as_bytes().trim_ascii())
}

/// `Connection: host` and the like would drop what the dyno must see.
fn names_essential(headers: &HeaderMap) -> bool {
    let essential = |token: &str| {
        ["host", "content-length", "transfer-encoding", "cookie", "authorization", "content-type"]
            .iter()
            .any(|e| e.eq_ignore_ascii_case(token))
    };
    connection_tokens(headers).iter().any(|token| essential(token))
}

fn connection_tokens(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|v| v.to_str().ok());
    values.flat_map(|v| v.split(',')).map(|t| t.trim().to_ascii_lowercase()).filter(|t| !t.is_empty()).collect()
}

/// Removes what belongs to one connection only.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    for name in connection_tokens(headers) {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            headers.remove(name);
        }
    }
    for name in [CONNECTION, TRANSFER_ENCODING, TRAILER, UPGRADE] {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "http2-settings"] {
        headers.remove(name);
    }
}

/// Who is asking, as the dyno shall see it.
#[derive(Clone)]
pub struct Origin {
    pub ip: IpAddr,
    /// `ip` as a header value, made once for a connection.
    pub ip_value: HeaderValue,
    pub https: bool,
    pub port: u16,
    /// `port` as a header value.
    pub port_value: HeaderValue,
    /// The peer is a proxy whose word is believed.
    pub trusted: bool,
}

/// The value of `X-Forwarded-For`: our peer, behind what a trusted proxy says.
pub fn forwarded_for(origin: &Origin, found: &Found, headers: &HeaderMap) -> HeaderValue {
    if !origin.trusted || !found.forwarding {
        return origin.ip_value.clone();
    }
    let mut chain: Vec<&str> = headers.get_all(X_FORWARDED_FOR).iter().filter_map(|v| v.to_str().ok()).collect();
    let ip = origin.ip.to_string();
    chain.push(&ip);
    HeaderValue::from_str(&chain.join(", ")).unwrap_or_else(|_| origin.ip_value.clone())
}

/// Whether the visitor speaks https: our listener does, or a trusted proxy says so.
pub fn is_https(origin: &Origin, found: &Found, headers: &HeaderMap) -> bool {
    let told = || headers.get(X_FORWARDED_PROTO).filter(|_| origin.trusted && found.forwarding).map(|v| v.as_bytes() == b"https");
    told().unwrap_or(origin.https)
}

/// The visitor's address: our peer's, or what a trusted proxy says.
pub fn visitor_ip(origin: &Origin, found: &Found, headers: &HeaderMap) -> IpAddr {
    if !origin.trusted || !found.forwarding {
        return origin.ip;
    }
    let told = headers.get_all(X_FORWARDED_FOR).iter().next_back().and_then(|v| v.to_str().ok());
    told.and_then(|chain| chain.rsplit(',').next()).and_then(|ip| ip.trim().parse().ok()).unwrap_or(origin.ip)
}

/// Changes a request's headers into those the dyno gets, but for the times (`stamp`).
pub fn toward_dyno(headers: &mut HeaderMap, found: &Found, origin: &Origin, https: bool) {
    if found.connection || found.hop_by_hop || found.chunked || found.upgrade {
        let upgrade = headers.get(UPGRADE).cloned().filter(|_| found.upgrade);
        strip_hop_by_hop(headers);
        if let Some(protocol) = upgrade {
            headers.insert(CONNECTION, UPGRADING);
            headers.insert(UPGRADE, protocol);
        }
    }
    if found.chunked {
        // Said outright: else the body of a GET would be left out.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if found.expect {
        headers.remove(EXPECT);
    }
    let told_port = headers.get(X_FORWARDED_PORT).cloned().filter(|_| origin.trusted && found.forwarding);
    if found.forwarding && !origin.trusted {
        for name in ["forwarded", "x-real-ip", "x-forwarded-host", "x-forwarded-by", "x-forwarded-server", "x-forwarded-prefix"] {
            headers.remove(name);
        }
    }
    if found.underscore {
        drop_aliases(headers);
    }
    // Ours and those of `stamp` in one go.
    headers.reserve(8);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(if https { "https" } else { "http" }));
    headers.insert(X_FORWARDED_PORT, told_port.unwrap_or_else(|| origin.port_value.clone()));
    add_via(headers, found.via);
}

/// `X_Forwarded_For` and `X-Forwarded-For` are the same variable to a WSGI app.
fn drop_aliases(headers: &mut HeaderMap) {
    let ours = |name: &str| {
        let plain = name.replace('_', "-");
        name.contains('_')
            && (plain.starts_with("x-forwarded") || plain.starts_with("content-") || plain.starts_with("transfer-") || {
                matches!(
                    plain.as_str(),
                    "host" | "x-real-ip" | "x-request-id" | "x-request-start" | "connect-time" | "total-route-time" | "via"
                )
            })
    };
    let aliases: Vec<HeaderName> = headers.keys().filter(|n| ours(n.as_str())).cloned().collect();
    for alias in aliases {
        headers.remove(alias);
    }
}

/// What is known of a request when it goes to the dyno.
pub struct Stamp<'a> {
    pub forwarded_for: &'a HeaderValue,
    pub request_id: &'a HeaderValue,
    /// Milliseconds since the epoch.
    pub start: u64,
    pub connect: u64,
    pub route: u64,
}

/// The headers that name this request.
pub fn stamp(headers: &mut HeaderMap, stamp: &Stamp<'_>) {
    headers.insert(X_FORWARDED_FOR, stamp.forwarded_for.clone());
    headers.insert(X_REQUEST_ID, stamp.request_id.clone());
    headers.insert(X_REQUEST_START, stamp.start.into());
    headers.insert(CONNECT_TIME, millis(stamp.connect));
    headers.insert(TOTAL_ROUTE_TIME, millis(stamp.route));
}

/// A duration; the usual ones cost no allocation.
fn millis(count: u64) -> HeaderValue {
    match count {
        0 => HeaderValue::from_static("0"),
        1 => HeaderValue::from_static("1"),
        more => more.into(),
    }
}

fn add_via(headers: &mut HeaderMap, present: bool) {
    if !present {
        headers.insert(VIA, OUR_VIA);
        return;
    }
    let mut chain: Vec<&str> = headers.get_all(VIA).iter().filter_map(|v| v.to_str().ok()).collect();
    chain.push("1.1 siesta");
    let chain = HeaderValue::from_str(&chain.join(", ")).unwrap_or(OUR_VIA);
    headers.insert(VIA, chain);
}

/// The client's request id when it is one (heroku.md 4.4), else a new one.
pub fn request_id(headers: &HeaderMap, found: &Found) -> HeaderValue {
    let fine = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-');
    if found.request_id
        && let Some(given) = headers.get(X_REQUEST_ID)
        && (20..=200).contains(&given.len())
        && given.as_bytes().iter().all(fine)
    {
        return given.clone();
    }
    let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    let mut text = [0_u8; uuid::fmt::Hyphenated::LENGTH];
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut text)).expect("a UUID is a header value")
}

/// Changes a dyno's response head into what the client gets. The fault is H25's cause.
pub fn toward_client(parts: &mut response::Parts, domains: &[String]) -> Result<(), &'static str> {
    let (mut hop_by_hop, mut via, mut cookies, mut length) = (false, false, false, false);
    for (name, value) in &parts.headers {
        match name.as_str() {
            "connection" | "keep-alive" | "proxy-connection" | "proxy-authenticate" | "te" | "trailer" | "transfer-encoding"
            | "upgrade" => {
                hop_by_hop = true;
            }
            "via" => via = true,
            "content-length" => length = true,
            "set-cookie" => {
                if value.len() > COOKIE_BYTES {
                    return Err("oversized cookie");
                }
                cookies = true;
            }
            _ => {}
        }
    }
    if hop_by_hop {
        let upgrade = parts.headers.get(UPGRADE).cloned().filter(|_| parts.status == StatusCode::SWITCHING_PROTOCOLS);
        strip_hop_by_hop(&mut parts.headers);
        if let Some(protocol) = upgrade {
            parts.headers.insert(CONNECTION, UPGRADING);
            parts.headers.insert(UPGRADE, protocol);
        }
    }
    if cookies {
        drop_foreign_cookies(&mut parts.headers, domains);
    }
    if length && matches!(parts.status.as_u16(), 101 | 204 | 304) {
        parts.headers.remove(CONTENT_LENGTH);
    }
    add_via(&mut parts.headers, via);
    parts.version = Version::HTTP_11;
    Ok(())
}

/// An app may not set cookies for the domain it shares with other apps, nor for the dashboard's.
fn drop_foreign_cookies(headers: &mut HeaderMap, domains: &[String]) {
    let shared = |value: &HeaderValue| {
        String::from_utf8_lossy(value.as_bytes()).split(';').skip(1).any(|attribute| {
            let (key, domain) = attribute.split_once('=').unwrap_or((attribute, ""));
            let domain = domain.trim().trim_matches('"').trim_start_matches('.').trim_end_matches('.');
            key.trim().eq_ignore_ascii_case("domain") && !domain.is_empty() && domains.iter().any(|d| covers(domain, d))
        })
    };
    if !headers.get_all(SET_COOKIE).iter().any(shared) {
        return;
    }
    let kept: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().filter(|v| !shared(v)).cloned().collect();
    headers.remove(SET_COOKIE);
    for value in kept {
        headers.append(SET_COOKIE, value);
    }
}

/// A cookie for `domain` would reach `protected`.
fn covers(domain: &str, protected: &str) -> bool {
    let domain = domain.to_ascii_lowercase();
    protected == domain || protected.strip_suffix(&domain).is_some_and(|rest| rest.ends_with('.'))
}

/// A browser that opens a page and can show one that waits.
pub fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    let is = |name: &str, wanted: &str| headers.get(name).is_some_and(|v| v.as_bytes() == wanted.as_bytes());
    method == Method::GET
        && headers.get(http::header::ACCEPT).is_some_and(names_html)
        && (is("sec-fetch-mode", "navigate") || !headers.contains_key("sec-fetch-mode"))
}

/// Whether `Accept` names HTML.
pub fn names_html(accept: &HeaderValue) -> bool {
    accept.to_str().is_ok_and(|v| v.contains("text/html") || v.contains("application/xhtml"))
}
