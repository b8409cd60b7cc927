//! Faults as pages: the status, a title in the reader's language, what to do.

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, StatusCode, header};

use crate::{
    http::Fault,
    web::{cx::Cx, page},
};

#[derive(Template)]
#[template(path = "oops.html")]
struct Oops<'a> {
    cx: &'a Cx,
    code: u16,
    title: String,
    text: String,
    /// To find it in the server's log; for faults of ours.
    request: Option<&'a str>,
    /// The same may work later.
    again: bool,
}

/// The page of a fault. Somebody who is not signed in is led to the login, and back after it.
pub fn render(cx: &Cx, fault: &Fault, (reads, request): (bool, &str), plain: Response) -> Response {
    if fault.status == StatusCode::UNAUTHORIZED {
        let next = if reads && cx.path != "/apps" { format!("/login?next={}", encode(&cx.path)) } else { "/login".to_owned() };
        return Redirect::to(&next).into_response();
    }
    let (title, text) = match fault.status {
        StatusCode::NOT_FOUND => (cx.t("oops-404"), cx.t("oops-404-text")),
        StatusCode::FORBIDDEN => (cx.t("oops-403"), fault.message.clone()),
        StatusCode::METHOD_NOT_ALLOWED => (cx.t("oops-405"), cx.t("oops-405-text")),
        status if status.is_server_error() && fault.id == "internal_server_error" => (cx.t("oops-500"), cx.t("oops-500-text")),
        _ => (cx.t("oops-other"), fault.message.clone()),
    };
    let ours = fault.status.is_server_error();
    let mut response =
        page(fault.status, &Oops { cx, code: fault.status.as_u16(), title, text, request: ours.then_some(request), again: ours && reads });
    let kept: HeaderMap = plain.headers().get(header::RETRY_AFTER).map(|value| (header::RETRY_AFTER, value.clone())).into_iter().collect();
    response.headers_mut().extend(kept);
    response
}

/// What follows `?next=`: everything that is not plain is percent-encoded.
pub fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
    text.bytes().map(|b| if plain(b) { (b as char).to_string() } else { format!("%{b:02X}") }).collect()
}

/// An address of ours to go back to; anything else leads home.
pub fn local_path(path: &str) -> &str {
    let ours = path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\r', '\n', '\t']);
    if ours { path } else { "/apps" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_never_leaves_the_dashboard() {
        for ours in ["/apps", "/apps/tienda?x=//y"] {
            assert_eq!(local_path(ours), ours);
        }
        for foreign in ["//evil.example", "https://evil.example", "/\\evil.example", "", "javascript:alert(1)", "/\t/evil.example"] {
            assert_eq!(local_path(foreign), "/apps", "{foreign}");
        }
    }
}
