//! Layers around every answer: request ids, the origin check, security headers.

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use uuid::Uuid;

use crate::http::Fault;

/// The id of a request, in log lines and in the answer.
#[derive(Clone, Debug)]
pub struct RequestId(pub HeaderValue);

/// Layer: gives the request an id, the client's own if it looks like one, and answers with it.
pub async fn request_id(mut request: Request, next: Next) -> Response {
    let given = ["request-id", "x-request-id"].iter().find_map(|name| request.headers().get(*name));
    let usable = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (20..=200).contains(&bytes.len()) && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_,".contains(b))
    };
    let id = given
        .filter(usable)
        .cloned()
        .unwrap_or_else(|| HeaderValue::try_from(Uuid::new_v4().to_string()).expect("a uuid is a header value"));
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    response.headers_mut().insert("request-id", id);
    response
}

/// Layer of the pages: a request that changes something must come from a page of ours. Browsers say
/// so in `Sec-Fetch-Site`, or in `Origin` where the address is plain http. Apps' pages are foreign.
pub async fn require_same_origin(request: Request, next: Next) -> Response {
    if is_safe(request.method()) || is_same_origin(request.headers()) {
        return next.run(request).await;
    }
    Fault::forbidden("This form was sent from another site. Open the page here and try again.").into_response()
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
        return matches!(site, "same-origin" | "none");
    }
    has_own_origin(headers)
}

/// Whether a browser says that the request comes from a page of ours: what a websocket must show,
/// for which no other rule of the browser holds.
pub fn has_own_origin(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(origin), Some(host)) = (text(header::ORIGIN), text(header::HOST)) else { return false };
    origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}

/// Layer: the headers every page carries (security.md 5). A handler that has set one keeps its own.
pub async fn security_headers(request: Request, next: Next) -> Response {
    const HEADERS: &[(&str, &str)] = &[
        (
            "content-security-policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; \
             form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'",
        ),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().entry(*name).or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_our_own_pages_may_change_something() {
        let host = ("host", "localhost:8080");
        for ours in [
            headers(&[host, ("sec-fetch-site", "same-origin")]),
            headers(&[host, ("sec-fetch-site", "none")]),
            headers(&[host, ("origin", "http://localhost:8080")]),
            headers(&[host, ("origin", "https://LOCALHOST:8080")]),
        ] {
            assert!(is_same_origin(&ours), "{ours:?}");
        }
        for foreign in [
            headers(&[host]),
            headers(&[host, ("sec-fetch-site", "same-site"), ("origin", "http://localhost:8080")]),
            headers(&[host, ("sec-fetch-site", "cross-site")]),
            headers(&[host, ("origin", "null")]),
            headers(&[host, ("origin", "http://tienda.localhost:8080")]),
            headers(&[host, ("origin", "http://localhost")]),
            headers(&[("origin", "http://localhost:8080")]),
        ] {
            assert!(!is_same_origin(&foreign), "{foreign:?}");
        }
    }
}
