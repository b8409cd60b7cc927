//! JSON bodies with errors people can act on: 400 for what is not JSON, 422 for JSON of another shape.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};
use http::header;
use serde::{Serialize, de::DeserializeOwned};

use crate::http::Fault;

/// A JSON body, both ways. An empty body reads as `{}`: clients leave it out when nothing is to say.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &S) -> Result<Self, Fault> {
        // What a form can send from a foreign page is refused; everything else is taken as JSON.
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let simple = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];
        let simple = simple.iter().any(|kind| content_type.to_ascii_lowercase().starts_with(kind));
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|error| Fault { status: error.status(), ..Fault::bad_request(error.body_text()) })?;
        if bytes.is_empty() {
            return parse(b"{}").map(Json);
        }
        if simple {
            return Err(Fault::bad_request("Send the body as JSON, with Content-Type: application/json."));
        }
        parse(&bytes).map(Json)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Fault::invalid(format!("Invalid parameters: {error}.")),
        serde_json::error::Category::Syntax | serde_json::error::Category::Eof | serde_json::error::Category::Io => {
            Fault::bad_request(format!("The body is not JSON: {error}."))
        }
    })
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}
