//! Every answer against Heroku's own description: `heroku-fields.txt` has the fields of each resource
//! with their types as its hyper-schema of 2025 names them. A field more is fine, one less is not.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::server::{Person, Server};

/// A type as the file writes it.
#[derive(Debug)]
enum Kind {
    Any,
    Null,
    Bool,
    Text,
    Uuid,
    Time,
    Number,
    Integer,
    Object(BTreeMap<String, Kind>),
    List(Box<Kind>),
    Words(Vec<String>),
    OneOf(Vec<Kind>),
}

/// Reads `null/{id, name: string}`, `[uuid]`, `enum(a/b)`.
struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn eat(&mut self, wanted: char) -> bool {
        self.rest = self.rest.trim_start();
        let found = self.rest.starts_with(wanted);
        if found {
            self.rest = &self.rest[wanted.len_utf8()..];
        }
        found
    }

    fn word(&mut self) -> String {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || "_-?".contains(c))).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.to_owned()
    }

    fn kind(&mut self) -> Kind {
        let mut kinds = vec![self.single()];
        while self.eat('/') {
            kinds.push(self.single());
        }
        if kinds.len() == 1 { kinds.remove(0) } else { Kind::OneOf(kinds) }
    }

    fn single(&mut self) -> Kind {
        if self.eat('[') {
            let inner = self.kind();
            assert!(self.eat(']'), "a list ends: {}", self.rest);
            return Kind::List(Box::new(inner));
        }
        if self.eat('{') {
            let mut fields = BTreeMap::new();
            while !self.eat('}') {
                let name = self.word();
                let kind = if self.eat(':') { self.kind() } else { Kind::Any };
                // `name?` may be missing.
                if !name.ends_with('?') {
                    fields.insert(name, kind);
                }
                self.eat(',');
            }
            return Kind::Object(fields);
        }
        match self.word().as_str() {
            "null" => Kind::Null,
            "boolean" => Kind::Bool,
            "string" | "email" | "uri" => Kind::Text,
            "uuid" => Kind::Uuid,
            "date-time" => Kind::Time,
            "number" => Kind::Number,
            "integer" => Kind::Integer,
            "object" => Kind::Object(BTreeMap::new()),
            "any" => Kind::Any,
            "enum" => {
                assert!(self.eat('('), "an enum lists its words");
                let mut words = Vec::new();
                while !self.eat(')') {
                    words.push(self.word());
                    self.eat('/');
                }
                Kind::Words(words)
            }
            other => panic!("no type is called {other:?}: {}", self.rest),
        }
    }
}

impl Kind {
    /// What does not fit, as `path: why`.
    fn faults(&self, value: &Value, path: &str, faults: &mut Vec<String>) {
        let fits = match (self, value) {
            (Kind::Any, _) | (Kind::Null, Value::Null) | (Kind::Bool, Value::Bool(_)) | (Kind::Text, Value::String(_)) => true,
            (Kind::Uuid, Value::String(text)) => uuid::Uuid::try_parse(text).is_ok(),
            (Kind::Time, Value::String(text)) => text.len() >= 20 && text.as_bytes()[10] == b'T' && text.ends_with('Z'),
            (Kind::Number, Value::Number(_)) => true,
            (Kind::Integer, Value::Number(number)) => number.is_i64() || number.is_u64(),
            (Kind::Words(words), Value::String(text)) => words.contains(text),
            (Kind::List(kind), Value::Array(items)) => {
                items.iter().enumerate().for_each(|(index, item)| kind.faults(item, &format!("{path}[{index}]"), faults));
                true
            }
            (Kind::Object(fields), Value::Object(found)) => {
                for (name, kind) in fields {
                    match found.get(name) {
                        Some(value) => kind.faults(value, &format!("{path}.{name}"), faults),
                        None => faults.push(format!("{path}.{name} is missing")),
                    }
                }
                true
            }
            (Kind::OneOf(kinds), value) => kinds.iter().any(|kind| {
                let mut inner = Vec::new();
                kind.faults(value, path, &mut inner);
                inner.is_empty()
            }),
            _ => false,
        };
        if !fits {
            faults.push(format!("{path} is {value}, not {self:?}"));
        }
    }
}

/// The resources of the file by name.
fn resources() -> BTreeMap<&'static str, Kind> {
    let text = include_str!("heroku-fields.txt");
    let lines = text.lines().filter(|line| line.contains('`'));
    lines
        .map(|line| {
            let (name, fields) = line.split_once(": ").expect("a name");
            // `field` type, `field` type: the tick marks tell fields from types.
            let mut kinds = BTreeMap::new();
            let mut pieces = fields.split('`').skip(1);
            while let (Some(field), Some(kind)) = (pieces.next(), pieces.next()) {
                kinds.insert(field.to_owned(), Parser { rest: kind.trim().trim_end_matches(',') }.kind());
            }
            (name, Kind::Object(kinds))
        })
        .collect()
}

struct Check<'a> {
    server: &'a Server,
    ana: &'a Person,
    resources: BTreeMap<&'static str, Kind>,
    faults: Vec<String>,
}

impl Check<'_> {
    /// Calls and holds the answer, or each of its items, to the resource's fields.
    async fn of(&mut self, resource: &str, method: Method, path: &str, body: Option<Value>) -> Value {
        let answer = self.server.call(Some(&self.ana.token), method.clone(), path, body).await;
        assert!(answer.status.is_success(), "{method} {path}: {} {}", answer.status, answer.text);
        let json = answer.json();
        let items = json.as_array().cloned().unwrap_or_else(|| vec![json.clone()]);
        assert!(!items.is_empty(), "{method} {path} has something to look at");
        let kind = self.resources.get(resource).unwrap_or_else(|| panic!("{resource} is in the file"));
        for item in &items {
            kind.faults(item, &format!("{method} {path}: {resource}"), &mut self.faults);
        }
        json
    }
}

#[tokio::test]
async fn every_answer_has_the_fields_heroku_describes() {
    let server = Server::start().await;
    let (ana, bob) = (server.person("ana@example.org").await, server.person("bob@example.org").await);
    let app = server.app(&ana, "tienda").await;
    server.app(&ana, "tienda-dos").await;
    server.deploy(&ana, &app).await;
    let (get, post, patch, put) = (Method::GET, Method::POST, Method::PATCH, Method::PUT);
    let mut check = Check { server: &server, ana: &ana, resources: resources(), faults: Vec::new() };
    check.of("account", get.clone(), "/account", None).await;
    check.of("account", patch.clone(), "/account", Some(json!({ "name": "Ana" }))).await;
    check.of("rate-limit", get.clone(), "/account/rate-limits", None).await;
    check.of("app", get.clone(), "/apps", None).await;
    check.of("app", patch.clone(), "/apps/tienda", Some(json!({ "maintenance": false }))).await;
    check.of("app-feature", get.clone(), "/apps/tienda/features", None).await;
    check.of("collaborator", post.clone(), "/apps/tienda/collaborators", Some(json!({ "user": "bob@example.org" }))).await;
    check.of("collaborator", get.clone(), "/apps/tienda/collaborators", None).await;
    check.of("domain", post.clone(), "/apps/tienda/domains", Some(json!({ "hostname": "www.example.org" }))).await;
    check.of("domain", get.clone(), "/apps/tienda/domains", None).await;
    check.of("dyno", get.clone(), "/apps/tienda/dynos", None).await;
    check.of("dyno-size", get.clone(), "/dyno-sizes", None).await;
    check.of("formation", get.clone(), "/apps/tienda/formation", None).await;
    check.of("log-session", post.clone(), "/apps/tienda/log-sessions", Some(json!({}))).await;
    check.of("oauth-authorization", post.clone(), "/oauth/authorizations", Some(json!({ "scope": ["global"] }))).await;
    check.of("region", get.clone(), "/regions", None).await;
    check.of("stack", get.clone(), "/stacks", None).await;
    check.of("source", post.clone(), "/sources", None).await;
    let releases = check.of("release", get.clone(), "/apps/tienda/releases", None).await;
    let slug = releases.as_array().unwrap().iter().find_map(|release| release["slug"]["id"].as_str()).unwrap().to_owned();
    check.of("slug", get.clone(), &format!("/apps/tienda/slugs/{slug}"), None).await;
    let buildpacks = json!({ "updates": [{ "buildpack": "heroku/python" }] });
    check.of("buildpack-installation", put, "/apps/tienda/buildpack-installations", Some(buildpacks)).await;
    check.of("pipeline", post.clone(), "/pipelines", Some(json!({ "name": "tiendas" }))).await;
    let pipeline = check.of("pipeline", get.clone(), "/pipelines/tiendas", None).await["id"].clone();
    for (app, stage) in [("tienda", "staging"), ("tienda-dos", "production")] {
        let body = json!({ "app": app, "pipeline": pipeline, "stage": stage });
        check.of("pipeline-coupling", post.clone(), "/pipeline-couplings", Some(body)).await;
    }
    let two = server.get(&ana, "/apps/tienda-dos").await.json()["id"].clone();
    let body = json!({ "pipeline": { "id": pipeline }, "source": { "app": { "id": app.id } }, "targets": [{ "app": { "id": two } }] });
    let promotion =
        check.of("pipeline-promotion", post.clone(), "/pipeline-promotions", Some(body)).await["id"].as_str().unwrap().to_owned();
    check.of("pipeline-promotion-target", get, &format!("/pipeline-promotions/{promotion}/promotion-targets"), None).await;
    let offer = json!({ "app": "tienda", "recipient": bob.user.email });
    check.of("app-transfer", post, "/account/app-transfers", Some(offer)).await;
    assert!(check.faults.is_empty(), "{}", check.faults.join("\n"));
    server.stop().await;
}
