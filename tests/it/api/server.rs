//! A server of real parts around the API: temporary SQLite, the fake engine, a clock moved by hand.

use axum::{Router, body::Body};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use siesta::{
    accounts::{Accounts, User},
    apps::{App, Apps},
    clock::ManualClock,
    domain::user::Actor,
    logs::Logs,
    releases::Releases,
};
use tower::ServiceExt as _;

use crate::support::house::{COMMIT, House};

/// One answer, read whole.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {} {:?}", self.status, self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// An account and a token of it.
pub struct Person {
    pub user: User,
    pub token: SecretString,
}

impl Person {
    pub fn actor(&self) -> Actor {
        Actor { id: self.user.id, email: self.user.email.clone() }
    }
}

pub struct Server {
    pub clock: ManualClock,
    pub accounts: Accounts,
    pub apps: Apps,
    pub releases: Releases,
    pub logs: Logs,
    router: Router,
    pub house: House,
}

impl Server {
    pub async fn start() -> Server {
        Server::start_with(&[]).await
    }

    /// With flags of `siesta serve`.
    pub async fn start_with(flags: &[&str]) -> Server {
        let house = House::start(flags).await;
        let owners = &house.owners;
        Server {
            clock: house.clock.clone(),
            accounts: owners.accounts.clone(),
            apps: owners.apps.clone(),
            releases: owners.releases.clone(),
            logs: owners.logs.clone(),
            router: owners.api(),
            house,
        }
    }

    pub async fn stop(self) {
        self.house.stop().await;
    }

    pub async fn person(&self, email: &str) -> Person {
        let user = self.accounts.create_user(email, &"correct horse battery".into(), false).await.unwrap();
        let (_, token) = self.accounts.create_token(user.id, "test", None).await.unwrap();
        Person { user, token }
    }

    pub async fn app(&self, owner: &Person, name: &str) -> App {
        self.apps.create(Some(name.parse().unwrap()), &owner.actor()).await.unwrap()
    }

    /// Deploys a slug with a web and a worker process whose image is in the engine already.
    pub async fn deploy(&self, owner: &Person, app: &App) {
        self.releases.deploy(app.id, self.house.slug(app.id), COMMIT, &owner.actor()).await.unwrap();
    }

    /// Sends a request without waiting for the end of its body.
    pub async fn open(&self, request: Request<Body>) -> http::Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.open(request).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    /// A call with a token, if any, and a JSON body, if any.
    pub async fn call(&self, token: Option<&SecretString>, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = request(method, path).header("accept", "application/vnd.heroku+json; version=3");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {}", token.expose_secret()));
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let (method, path) = (request.method_ref().cloned(), path);
        let answer = self.send(request.body(body).unwrap()).await;
        super::fields::hold(&method.expect("a method"), path, answer.status.as_u16(), &answer.text);
        answer
    }

    /// Asks again until it is so; for work that goes on by itself.
    pub async fn until(&self, is: impl AsyncFn() -> bool) {
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(20));
        let patient = async {
            while !is().await {
                pace.tick().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), patient).await.expect("it never came");
    }

    pub async fn get(&self, person: &Person, path: &str) -> Answer {
        self.call(Some(&person.token), Method::GET, path, None).await
    }
}

pub fn request(method: Method, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path).header("host", "localhost:8080")
}

/// Ids and secrets as words, for snapshots; times come from the clock moved by hand.
pub fn redacted(mut value: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::String(text) if uuid::Uuid::try_parse(text).is_ok() => "[id]".clone_into(text),
            Value::String(text) if text.starts_with("HRKU-") => "[token]".clone_into(text),
            Value::String(text) => {
                for prefix in ["/streams/log/", "/streams/build/", "/sources/"] {
                    if let Some(at) = text.find(prefix) {
                        let from = at + prefix.len();
                        let to = text[from..].find('?').map_or(text.len(), |query| from + query);
                        text.replace_range(from..to, "[secret]");
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            Value::Object(fields) => fields.values_mut().for_each(walk),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    walk(&mut value);
    value
}
