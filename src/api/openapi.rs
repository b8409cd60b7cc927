//! The description of the API: every route with what it takes and answers, as an OpenAPI document
//! and as what the reference page shows. `openapi/calls.txt` has a line for each route (a test
//! holds both together), `openapi/resources.txt` the fields of the resources as Heroku's hyper-schema
//! of 2025 names them.

mod kind;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use axum::extract::State;
use http::Method;
use serde_json::{Map, Value, json};

use crate::{
    api::{Api, OPEN, Route, reference::BaseUrl},
    http::Json,
};
pub use kind::Kind;

/// The version of the document: Heroku's version of the API.
const VERSION: &str = "3";

pub fn routes() -> Vec<Route> {
    vec![Route::new(Method::GET, "/openapi.json", document)]
}

/// What is sent or comes back besides JSON.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    None,
    Json(Kind),
    Text,
    Binary,
}

/// One call as the reference tells it.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    pub path: &'static str,
    pub body: Content,
    pub status: u16,
    pub answer: Content,
    /// In English and in Spanish.
    pub summary: [&'static str; 2],
    pub open: bool,
}

/// Calls that belong together.
#[derive(Clone, Debug)]
pub struct Section {
    /// In English and in Spanish.
    pub title: [&'static str; 2],
    pub calls: Vec<Call>,
}

/// All calls in the order of the reference; a line whose route is not there says nothing.
pub static SECTIONS: LazyLock<Vec<Section>> = LazyLock::new(|| {
    let routed: BTreeSet<_> = crate::api::routes().into_iter().map(|route| (route.method.to_string(), route.path)).collect();
    let mut sections = read(include_str!("openapi/calls.txt"));
    for section in &mut sections {
        section.calls.retain(|call| routed.contains(&(call.method.to_string(), call.path)));
    }
    sections
});

/// The resources by name.
pub static RESOURCES: LazyLock<BTreeMap<&'static str, Kind>> = LazyLock::new(|| {
    let lines = include_str!("openapi/resources.txt").lines().filter(|line| line.contains('`'));
    lines
        .map(|line| {
            let (name, fields) = line.split_once(": ").expect("a resource has a name");
            // `field` type, `field` type: the tick marks tell fields from types.
            let mut kinds = BTreeMap::new();
            let mut pieces = fields.split('`').skip(1);
            while let (Some(field), Some(kind)) = (pieces.next(), pieces.next()) {
                kinds.insert(field.to_owned(), (Kind::parse(kind.trim().trim_end_matches(',')), true));
            }
            (name, Kind::Object(kinds))
        })
        .collect()
});

fn read(text: &'static str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut lines = text.lines();
    let pair = |line: &'static str| line.split_once(" | ").map(|(en, es)| [en.trim(), es.trim()]).expect("two languages");
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("= ") {
            sections.push(Section { title: pair(title), calls: Vec::new() });
        } else if let Some((call, answer)) = line.split_once(" -> ").filter(|(call, _)| call.contains(" /")) {
            let summary = pair(lines.next().expect("a call has a summary"));
            sections.last_mut().expect("a call stands in a section").calls.push(call_of(call, answer, summary));
        }
    }
    sections
}

fn call_of(call: &'static str, answer: &'static str, summary: [&'static str; 2]) -> Call {
    let (method, rest) = call.split_once(' ').expect("a method and a path");
    let (path, body) = rest.split_once(' ').unwrap_or((rest, "none"));
    let (status, answer) = match answer.split_once(' ') {
        Some((number, rest)) if number.parse::<u16>().is_ok() => (number.parse().unwrap_or(200), rest),
        _ => (200, answer),
    };
    let open = OPEN.iter().any(|prefix| path.starts_with(prefix));
    let method = method.parse().expect("a method");
    Call { method, path, body: content(body), status, answer: content(answer), summary, open }
}

fn content(text: &str) -> Content {
    match text {
        "none" => Content::None,
        "text" => Content::Text,
        "binary" => Content::Binary,
        kind => Content::Json(Kind::parse(kind)),
    }
}

impl Call {
    /// The names in braces in the path.
    pub fn parameters(&self) -> Vec<&'static str> {
        self.path.split('{').skip(1).filter_map(|part| part.split('}').next()).collect()
    }

    /// The call as it is typed into a terminal.
    pub fn curl(&self, base: &str) -> String {
        let path = self.path.replace("{app}", "$APP").replace("{account}", "~");
        let path = self
            .parameters()
            .into_iter()
            .fold(path, |path, name| path.replace(&format!("{{{name}}}"), &format!("${}", name.to_uppercase())));
        let mut lines = vec![format!("curl -X {} \"{base}{path}\"", self.method)];
        lines.push("-H \"Accept: application/vnd.heroku+json; version=3\"".to_owned());
        if !self.open {
            lines.push("-H \"Authorization: Bearer $HEROKU_API_KEY\"".to_owned());
        }
        match &self.body {
            Content::None => {}
            Content::Json(kind) => {
                lines.push("-H \"Content-Type: application/json\"".to_owned());
                lines.push(format!("-d '{}'", kind.example("")));
            }
            Content::Text | Content::Binary => lines.push("--data-binary @source.tgz".to_owned()),
        }
        lines.join(" \\\n  ")
    }

    /// The call as an operation of the document.
    fn operation(&self, section: &Section) -> Value {
        let mut parameters: Vec<Value> = self
            .parameters()
            .into_iter()
            .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }))
            .collect();
        let list = matches!(&self.answer, Content::Json(Kind::List(_)));
        if list {
            let about = "A part of the list: `id ..; max=10, order=desc`.";
            parameters.push(json!({ "name": "Range", "in": "header", "description": about, "schema": { "type": "string" } }));
        }
        let mut responses = Map::new();
        responses.insert(self.status.to_string(), response(&self.answer, "As wanted."));
        if list {
            responses.insert("206".to_owned(), response(&self.answer, "A part; the header Next-Range asks for the next."));
        }
        responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/error" }));
        let mut operation = json!({
            "operationId": self.operation_id(),
            "parameters": parameters,
            "responses": responses,
            "security": if self.open { json!([]) } else { json!([{ "key": [] }]) },
            "summary": self.summary[0],
            "tags": [section.title[0]],
        });
        if self.body != Content::None {
            operation["requestBody"] = request(&self.body);
        }
        operation
    }

    /// Its name in the document, and what links to it end with.
    pub fn operation_id(&self) -> String {
        let words = self.path.split(['/', '{', '}', '.']).filter(|word| !word.is_empty());
        format!("{}-{}", self.method.as_str().to_lowercase(), words.collect::<Vec<_>>().join("-"))
    }
}

fn media(content: &Content) -> Value {
    match content {
        Content::None => json!({}),
        Content::Json(kind) => json!({ "application/json": { "schema": kind.schema() } }),
        Content::Text => {
            json!({ "text/plain": { "schema": { "type": "string" } }, "text/event-stream": { "schema": { "type": "string" } } })
        }
        Content::Binary => json!({ "application/octet-stream": { "schema": { "type": "string", "format": "binary" } } }),
    }
}

fn response(content: &Content, about: &str) -> Value {
    match content {
        Content::None => json!({ "description": about }),
        content => json!({ "content": media(content), "description": about }),
    }
}

fn request(content: &Content) -> Value {
    json!({ "content": media(content), "required": matches!(content, Content::Json(Kind::Object(fields)) if fields.values().any(|(_, needed)| *needed)) })
}

/// The document; `base` is the server's own address.
pub fn openapi(base: &str) -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for section in SECTIONS.iter() {
        for call in &section.calls {
            paths.entry(call.path).or_default().insert(call.method.as_str().to_lowercase(), call.operation(section));
        }
    }
    let mut schemas: Map<String, Value> = RESOURCES.iter().map(|(name, kind)| ((*name).to_owned(), kind.schema())).collect();
    schemas.insert("reference".to_owned(), Kind::parse("string/{id?: string, name?: string}").schema());
    schemas.insert("error".to_owned(), Kind::parse("{id: string, message: string, resource?: string}").schema());
    let tags: Vec<Value> = SECTIONS.iter().map(|section| json!({ "name": section.title[0] })).collect();
    json!({
        "components": {
            "responses": {
                "error": {
                    "content": { "application/json": { "schema": { "$ref": "#/components/schemas/error" } } },
                    "description": "What is wrong, in a sentence.",
                },
            },
            "schemas": schemas,
            "securitySchemes": { "key": { "scheme": "bearer", "type": "http" } },
        },
        "info": {
            "description": "The Heroku Platform API as this server speaks it.",
            "title": "Siesta",
            "version": VERSION,
        },
        "openapi": "3.1.0",
        "paths": paths,
        "servers": [{ "url": base }],
        "tags": tags,
    })
}

async fn document(State(_): State<Api>, base: BaseUrl) -> Json<Value> {
    Json(openapi(&base.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_else_is() {
        let described: Vec<String> =
            SECTIONS.iter().flat_map(|section| &section.calls).map(|call| format!("{} {}", call.method, call.path)).collect();
        let told: BTreeSet<_> = described.iter().cloned().collect();
        let routed: BTreeSet<_> = crate::api::routes().into_iter().map(|route| format!("{} {}", route.method, route.path)).collect();
        assert_eq!(told.symmetric_difference(&routed).collect::<Vec<_>>(), Vec::<&String>::new());
        assert_eq!(described.len(), told.len(), "none twice");
    }

    #[test]
    fn every_type_the_document_names_is_in_it_and_every_call_speaks_two_languages() {
        let document = openapi("http://localhost:8080");
        let text = document.to_string();
        for (at, found) in text.match_indices("#/components/schemas/") {
            let name = text[at + found.len()..].split('"').next().unwrap();
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        }
        for call in SECTIONS.iter().flat_map(|section| &section.calls) {
            assert!(call.summary.iter().all(|text| !text.is_empty()) && call.summary[0] != call.summary[1], "{}", call.path);
            assert!(call.curl("http://localhost:8080").starts_with("curl -X "), "{}", call.path);
        }
        let ids: BTreeSet<_> = SECTIONS.iter().flat_map(|section| &section.calls).map(Call::operation_id).collect();
        assert_eq!(ids.len(), SECTIONS.iter().map(|section| section.calls.len()).sum::<usize>());
    }
}
