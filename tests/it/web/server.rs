//! A server of real parts around the pages: temporary SQLite, the fake engine, a clock moved by hand.

use axum::{Router, body::Body};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use secrecy::{ExposeSecret, SecretString};
use siesta::{
    accounts::{Accounts, Origin, SignUp},
    apps::{App, Apps},
    clock::Clock,
    domain::user::Actor,
    logs::Logs,
    releases::Releases,
};
use tower::ServiceExt as _;

use crate::support::house::{COMMIT, House};

pub const PASSWORD: &str = "correct horse battery";

/// One answer, read whole.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The `Set-Cookie` that begins with this name.
    pub fn set_cookie(&self, name: &str) -> Option<String> {
        let mut all = self.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
        all.find(|cookie| cookie.starts_with(&format!("{name}="))).map(str::to_owned)
    }
}

/// Somebody with a browser: keeps the session cookie, speaks a language.
pub struct Visitor {
    pub actor: Option<Actor>,
    pub cookie: String,
    pub language: &'static str,
}

impl Visitor {
    pub fn stranger() -> Visitor {
        Visitor { actor: None, cookie: String::new(), language: "en" }
    }
}

pub struct Server {
    pub accounts: Accounts,
    pub apps: Apps,
    pub releases: Releases,
    pub logs: Logs,
    router: Router,
    pub house: House,
}

impl Server {
    /// A server that was claimed by `ana@example.org`.
    pub async fn claimed() -> (Server, Visitor) {
        Server::claimed_with(&[]).await
    }

    /// The same with these flags of `siesta serve`.
    pub async fn claimed_with(flags: &[&str]) -> (Server, Visitor) {
        let server = Server::start(flags).await;
        let token = server.accounts.new_claim_token().await.unwrap().unwrap();
        let (user, session) =
            server.accounts.claim(&token, "ana@example.org", &PASSWORD.into(), SignUp::Open, &Origin::default()).await.unwrap();
        let cookie = format!("siesta={}", session.expose_secret());
        (server, Visitor { actor: Some(Actor { id: user.id, email: user.email }), cookie, language: "en" })
    }

    pub async fn start(flags: &[&str]) -> Server {
        let house = House::start(flags).await;
        let owners = &house.owners;
        Server {
            accounts: owners.accounts.clone(),
            apps: owners.apps.clone(),
            releases: owners.releases.clone(),
            logs: owners.logs.clone(),
            router: owners.web(),
            house,
        }
    }

    pub async fn stop(self) {
        self.house.stop().await;
    }

    /// Somebody else with an account.
    pub async fn person(&self, email: &str) -> Visitor {
        let (user, session) = self.accounts.sign_up(email, &PASSWORD.into(), None, &Origin::default()).await.unwrap();
        let cookie = format!("siesta={}", session.expose_secret());
        Visitor { actor: Some(Actor { id: user.id, email: user.email }), cookie, language: "en" }
    }

    /// The six digits of a second factor, now.
    pub fn code(&self, secret: &SecretString) -> String {
        let secret = totp_rs::Secret::try_from_base32(secret.expose_secret()).unwrap();
        let generator = totp_rs::Builder::new().with_secret(secret).with_account_name("ana").build().unwrap();
        generator.generate(u64::try_from(self.house.clock.now().0 / 1000).unwrap()).to_string()
    }

    pub async fn app(&self, owner: &Visitor, name: &str) -> App {
        self.apps.create(Some(name.parse().unwrap()), owner.actor.as_ref().unwrap()).await.unwrap()
    }

    /// Deploys a slug with a web and a worker process whose image is in the engine already.
    pub async fn deploy(&self, owner: &Visitor, app: &App) {
        let actor = owner.actor.as_ref().unwrap();
        self.releases.deploy(app.id, self.house.slug(app.id), COMMIT, actor).await.unwrap();
    }

    /// A request as this visitor's browser sends it, before its body.
    pub fn request(&self, visitor: &Visitor, method: Method, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost:8080")
            .header("accept", "text/html")
            .header("accept-language", visitor.language)
            .header("cookie", &visitor.cookie)
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    /// The status alone: of answers that never end too.
    pub async fn status(&self, request: Request<Body>) -> StatusCode {
        self.router.clone().oneshot(request).await.unwrap().status()
    }

    pub async fn get(&self, visitor: &Visitor, path: &str) -> Answer {
        self.send(self.request(visitor, Method::GET, path).body(Body::empty()).unwrap()).await
    }

    /// Sends a form from a page of ours.
    pub async fn post(&self, visitor: &Visitor, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = self.request(visitor, Method::POST, path).header("sec-fetch-site", "same-origin");
        self.send(form(request, fields)).await
    }
}

/// A form's body.
pub fn form(request: http::request::Builder, fields: &[(&str, &str)]) -> Request<Body> {
    let encoded = |text: &str| text.bytes().map(|b| format!("%{b:02X}")).collect::<String>();
    let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    request.header("content-type", "application/x-www-form-urlencoded").body(Body::from(body.join("&"))).unwrap()
}
