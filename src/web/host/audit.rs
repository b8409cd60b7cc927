//! The audit log: who changed what when.

use askama::Template;
use axum::extract::{Query, State};
use http::StatusCode;
use serde::Deserialize;

use super::{Admin, Tab, TabLink, tabs};
use crate::{
    domain::audit::Entry,
    web::{Page, Web, cx::Cx, page},
};

/// Entries of a page.
const SHOWN: u32 = 200;

#[derive(Template)]
#[template(path = "host_audit.html")]
struct AuditPage {
    cx: Cx,
    tabs: Vec<TabLink>,
    query: String,
    rows: Vec<Entry>,
}

#[derive(Deserialize)]
pub struct Search {
    #[serde(default)]
    q: String,
}

pub async fn audit(State(web): State<Web>, cx: Cx, _: Admin, Query(Search { q }): Query<Search>) -> Page {
    let query: String = q.trim().chars().take(100).collect();
    let rows = web.audit.recent(&query, SHOWN).await?;
    Ok(page(StatusCode::OK, &AuditPage { tabs: tabs(&cx, Tab::Audit), cx, query, rows }))
}
