//! Faults as Heroku's JSON, and ETags.

use axum::{
    Json,
    body::{Body, to_bytes},
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::http::Fault;

/// Layer: whatever failed below leaves as `{id, message[, resource]}`; also a wish for another
/// version of the API than 3.
pub async fn faults(request: Request, next: Next) -> Response {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("version=") && !accept.contains("version=3") {
        return body_of(Fault {
            status: StatusCode::NOT_ACCEPTABLE,
            id: "not_acceptable",
            ..Fault::bad_request("This server speaks version 3 of the API: send Accept: application/vnd.heroku+json; version=3.")
        });
    }
    let mut response = next.run(request).await;
    if let Some(fault) = response.extensions_mut().remove::<Fault>() {
        let mut rendered = body_of(fault);
        if let Some(seconds) = response.headers_mut().remove(header::RETRY_AFTER) {
            rendered.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        if let Some(left) = response.headers_mut().remove("ratelimit-remaining") {
            rendered.headers_mut().insert("ratelimit-remaining", left);
        }
        return rendered;
    }
    match response.status() {
        status if status.is_server_error() => body_of(Fault { status, ..Fault::internal(&std::io::Error::other("a handler panicked")) }),
        status if status.is_client_error() => body_of(Fault { status, ..Fault::bad_request("The request was not understood.") }),
        _ => response,
    }
}

fn body_of(fault: Fault) -> Response {
    let mut body = json!({ "id": fault.id, "message": fault.message });
    if let Some(resource) = fault.resource {
        body["resource"] = resource.into();
    }
    let mut response = (fault.status, Json(body)).into_response();
    if fault.status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Layer: an ETag on every JSON answer to a GET, and 304 for a client that has it already.
pub async fn etags(request: Request, next: Next) -> Response {
    let is_get = request.method() == Method::GET;
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    if !is_get || !is_json || !response.status().is_success() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return Fault::internal(&std::io::Error::other("a JSON body ended early")).into_response();
    };
    let tag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(&bytes)[..16]));
    let has_it =
        known.is_some_and(|known| known.to_str().is_ok_and(|list| list.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)));
    parts.headers.insert(header::ETAG, HeaderValue::try_from(tag).expect("base64 is a header value"));
    if has_it {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.remove(header::CONTENT_TYPE);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}
