//! The reference of the API: every call with what it takes and a `curl` to copy, made of the same
//! description as `/openapi.json`. Anybody may read it.

use askama::Template;
use axum::extract::State;
use http::StatusCode;

use crate::{
    api::{
        absent::{ABSENT, Absent},
        openapi::{Call, SECTIONS, Section},
    },
    web::{Page, Web, cx::Cx, lang::Lang, page},
};

#[derive(Template)]
#[template(path = "reference.html")]
struct ReferencePage {
    cx: Cx,
    base: String,
    sections: &'static [Section],
    absent: &'static [Absent],
}

impl ReferencePage {
    /// A text of the description in the reader's language.
    fn words(&self, texts: &[&'static str; 2]) -> &'static str {
        match self.cx.lang {
            Lang::En => texts[0],
            Lang::Es => texts[1],
        }
    }

    fn curl(&self, call: &Call) -> String {
        call.curl(&self.base)
    }
}

pub async fn reference(State(web): State<Web>, cx: Cx) -> Page {
    let template = ReferencePage { cx, base: web.config.dashboard_url(), sections: SECTIONS.as_slice(), absent: ABSENT.as_slice() };
    Ok(page(StatusCode::OK, &template))
}
