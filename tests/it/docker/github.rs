//! The real client of GitHub, against the stand-in that is held to GitHub's own description.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use siesta::{
    domain::{CommitSha, RepoName},
    egress::Egress,
    fail_point,
    github::{Access, GitHost as _, GitHostError, HeadAnswer, OauthClient, Owner, OwnerKind, Search, client::GithubClient},
};

use crate::{
    github::{
        contract::{Arrange, MODULES, keeps_the_contract},
        examples::{Example, every_example_is_taken},
    },
    support::served::{ADMIN, PASSWORD, Served, program},
};

const CLIENT: (&str, &str) = ("Ov23demo0000000000000", "demo-client-secret");

/// The stand-in in a process of its own; ends with its drop.
struct StandIn {
    child: Child,
    url: String,
    client: reqwest::Client,
    _data: tempfile::TempDir,
}

impl StandIn {
    fn start() -> StandIn {
        let data = tempfile::tempdir().expect("a folder");
        let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("script/github-demo/server.mjs");
        let node = std::env::var("SIESTA_NODE").unwrap_or_else(|_| "node".to_owned());
        let mut child = program(node)
            .arg(server)
            .args(["--port", "0", "--control", "--data"])
            .arg(data.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node; script/test installs it");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let url = lines.find_map(|line| line.ok()?.strip_prefix("GitHub stand-in: ").map(str::to_owned)).expect("its address");
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        StandIn { child, url, client, _data: data }
    }

    async fn arrange(&self, what: &str, given: Value) -> Value {
        let answer = self.client.post(format!("{}/_control/{what}", self.url)).json(&given).send().await.expect("an answer");
        answer.json::<Value>().await.expect("JSON")["done"].take()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[async_trait]
impl Arrange for StandIn {
    async fn person(&self, login: &str) {
        self.arrange("person", json!({ "login": login })).await;
    }

    async fn repository(&self, name: &str, private: bool) -> RepoName {
        self.arrange("repository", json!({ "name": name, "isPrivate": private })).await;
        name.parse().unwrap()
    }

    async fn push(&self, name: &RepoName, branch: &str, message: &str, files: &[(&str, &str)]) -> CommitSha {
        let files: serde_json::Map<String, Value> = files.iter().map(|(path, text)| ((*path).to_owned(), json!(text))).collect();
        let sha = self.arrange("commit", json!({ "name": name, "branch": branch, "message": message, "files": files })).await;
        sha.as_str().expect("a commit").parse().unwrap()
    }

    async fn organisation(&self, login: &str, members: &[&str]) {
        self.arrange("organisation", json!({ "login": login, "members": members })).await;
    }

    async fn push_submodule(&self, name: &RepoName, of: &CommitSha) -> CommitSha {
        let submodules = json!([{ "path": "libs/tema", "sha": of }]);
        let given = json!({ "name": name, "branch": "main", "message": "With a theme", "files": { ".gitmodules": MODULES }, "submodules": submodules });
        self.arrange("commit", given).await.as_str().expect("a commit").parse().unwrap()
    }

    async fn be_an_app(&self) {
        self.arrange("app", json!({})).await;
    }

    async fn install(&self, login: &str, chosen: &[&RepoName]) {
        self.arrange("install", json!({ "login": login, "names": chosen })).await;
    }

    async fn rename(&self, name: &RepoName, to: &str) -> RepoName {
        self.arrange("rename", json!({ "name": name, "to": to })).await;
        to.parse().unwrap()
    }

    async fn pass_ci(&self, name: &RepoName, sha: &CommitSha) {
        self.arrange("status", json!({ "name": name, "sha": sha, "state": "pending", "context": "siesta/tienda" })).await;
        self.arrange("status", json!({ "name": name, "sha": sha, "state": "success", "context": "ci" })).await;
        self.arrange("check", json!({ "name": name, "sha": sha, "check": "tests", "status": "completed", "conclusion": "neutral" })).await;
    }

    async fn code(&self, login: &str, challenge: &str, redirect: &str) -> String {
        let code = self.arrange("code", json!({ "login": login, "challenge": challenge, "redirect": redirect })).await;
        code.as_str().expect("a code").to_owned()
    }
}

fn client_of(stand_in: &StandIn) -> GithubClient {
    let allowed = [stand_in.url.trim_start_matches("http://").to_owned()];
    let egress = Egress::new(&allowed, None).unwrap();
    GithubClient::new(&stand_in.url, &format!("{}/api/v3", stand_in.url), egress).unwrap()
}

#[tokio::test]
async fn the_real_client_keeps_the_contract_and_fits_github_s_description() {
    let stand_in = StandIn::start();
    let client = OauthClient { id: CLIENT.0.to_owned(), secret: CLIENT.1.into() };
    keeps_the_contract(&client_of(&stand_in), &stand_in, client).await;
    let seen = stand_in.arrange("seen", json!({})).await;
    assert_eq!(seen["faults"], json!([]), "every request and answer fits the description");
    assert_eq!(seen["unused"], json!([]), "and every operation we know of was asked");
}

/// A repository of `ana`'s with one commit, and her access.
async fn repository(stand_in: &StandIn) -> (RepoName, CommitSha, Access) {
    stand_in.person("ana").await;
    let repo = stand_in.repository("ana/tienda", true).await;
    let sha = stand_in.push(&repo, "main", "First", &[("app.py", "1")]).await;
    let token = stand_in.arrange("token", json!({ "login": "ana" })).await;
    (repo, sha, Access::Token(token.as_str().expect("a token").into()))
}

/// The status of every call of the API so far.
async fn statuses(stand_in: &StandIn) -> Vec<u64> {
    let seen = stand_in.arrange("seen", json!({})).await;
    seen["asked"].as_array().expect("calls").iter().filter_map(|call| call["status"].as_u64()).collect()
}

#[tokio::test]
async fn a_question_is_asked_once_more_for_nothing_and_none_while_the_host_wants_to_hear_none() {
    let stand_in = StandIn::start();
    let (repo, _, ana) = repository(&stand_in).await;
    let host = client_of(&stand_in);
    let owner = Owner { login: "ana".to_owned(), kind: OwnerKind::Own };
    let search = || Search { owner: owner.clone(), text: String::new(), page: 1 };
    let first = host.repositories(ana.clone(), search()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(host.repositories(ana.clone(), search()).await.as_ref(), Ok(&first));
        assert_eq!(host.owners(ana.clone(), false).await.unwrap().len(), 1);
    }
    assert_eq!(statuses(&stand_in).await, [200, 304, 200, 200, 304, 304, 304, 304, 304, 304], "only what is new counts");
    stand_in.repository("ana/otra", false).await;
    assert_eq!(host.repositories(ana.clone(), search()).await.unwrap().items.len(), 2, "what is new is seen");

    stand_in.arrange("limit", json!({ "login": "ana", "left": 0 })).await;
    let refused = host.repository(ana.clone(), repo.clone()).await.unwrap_err();
    assert!(matches!(refused, GitHostError::RateLimited(seconds) if seconds > 3000), "{refused:?}");
    let asked = statuses(&stand_in).await.len();
    for _ in 0..5 {
        assert!(matches!(host.repositories(ana.clone(), search()).await, Err(GitHostError::RateLimited(_))));
        assert!(matches!(
            host.tarball(ana.clone(), repo.clone(), "a".repeat(40).parse().unwrap()).await,
            Err(GitHostError::RateLimited(_))
        ));
    }
    assert_eq!(statuses(&stand_in).await.len(), asked, "until the hour is over nothing is asked");
    assert_eq!(host.repository(Access::Anonymous, repo).await, Err(GitHostError::NotFound), "others may ask");
}

#[tokio::test]
async fn redirects_lead_to_github_alone_and_a_moved_repository_is_found() {
    let stand_in = StandIn::start();
    let (repo, sha, ana) = repository(&stand_in).await;
    let host = client_of(&stand_in);
    let moved = stand_in.rename(&repo, "ana/otra").await;
    assert_eq!(host.repository(ana.clone(), repo.clone()).await.unwrap().name, moved);
    assert_eq!(host.branches(ana.clone(), repo.clone(), 1).await.unwrap().items.len(), 1);
    let main = || "main".parse().unwrap();
    assert_eq!(host.head(ana.clone(), repo.clone(), main(), None).await, Err(GitHostError::NotFound), "said, not passed over");
    assert!(matches!(host.head(ana.clone(), moved.clone(), main(), None).await, Ok(HeadAnswer::Now { .. })));
    assert!(host.tarball(ana.clone(), repo.clone(), sha.clone()).await.is_ok(), "a private one, with the token, by its new name");
    host.create_deployment(ana.clone(), repo, sha.clone(), "tienda".to_owned()).await.unwrap();

    let elsewhere = StandIn::start();
    for at in [format!("{}/archive", elsewhere.url), "http://169.254.169.254/latest/meta-data".to_owned(), "file:///etc/passwd".to_owned()]
    {
        stand_in.arrange("archives", json!({ "at": at })).await;
        let Err(refused) = host.tarball(ana.clone(), moved.clone(), sha.clone()).await else { panic!("{at} was followed") };
        assert_eq!(refused, GitHostError::Refused("the archive lies on a host that is not GitHub's".to_owned()), "{at}");
    }
    let circle = format!("{}/api/v3/repos/ana/otra/tarball/{sha}", stand_in.url);
    stand_in.arrange("archives", json!({ "at": circle })).await;
    assert!(matches!(host.tarball(ana.clone(), moved, sha).await, Err(GitHostError::Refused(_))));
    assert_eq!(stand_in.arrange("seen", json!({})).await["faults"], json!([]));
}

#[tokio::test]
async fn github_s_own_examples_signed_by_its_own_package_are_all_taken() {
    let stand_in = StandIn::start();
    let secret = "an example's secret, ñ";
    let examples = stand_in.arrange("examples", json!({ "secret": secret })).await;
    let examples: Vec<Example> = serde_json::from_value(examples).expect("examples");
    every_example_is_taken(secret, &examples).await;
    for example in examples.iter().step_by(40) {
        let ours = siesta::github::webhook::signature(&secret.into(), example.body.as_bytes()).expect("a signature");
        for (signature, good) in [(ours.clone(), true), (ours.replace(['a', 'b'], "c"), false)] {
            let given = json!({ "secret": secret, "body": example.body, "signature": signature });
            assert_eq!(stand_in.arrange("verify", given).await, json!(good), "the package verifies what we sign");
        }
    }
}

/// Somebody's browser at a real server: follows nothing, keeps its cookies.
struct Browser<'a> {
    served: &'a Served,
    cookies: std::collections::BTreeMap<String, String>,
}

impl Browser<'_> {
    /// One request to the dashboard; a form where there are fields. Where it leads.
    async fn ask(&mut self, path: &str, fields: Option<&[(&str, &str)]>) -> String {
        let origin = format!("http://localhost:{}", self.served.port);
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let client = &self.served.client;
        let request = match fields {
            Some(fields) => client.post(format!("{origin}{path}")).header("origin", &origin).form(fields),
            None => client.get(format!("{origin}{path}")),
        };
        let answer = request.header("cookie", cookies.join("; ")).send().await.expect("an answer");
        assert!(answer.status().is_redirection(), "{path}: {} {}", answer.status(), self.served.server_log());
        let header =
            |name: &str| answer.headers().get_all(name).iter().map(|value| value.to_str().expect("text").to_owned()).collect::<Vec<_>>();
        for cookie in header("set-cookie") {
            let (name, value) = cookie.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        header("location").pop().expect("a place")
    }

    /// Logs in and connects as `login` of the stand-in.
    async fn connect(&mut self, stand_in: &StandIn, login: &str) {
        self.ask("/login", Some(&[("email", ADMIN), ("password", PASSWORD), ("next", "/apps")])).await;
        let there = self.ask("/github/connect?next=/apps", None).await;
        let (page, query) = there.split_once('?').expect("a question");
        assert!(page.starts_with(&stand_in.url), "{page}");
        let asked: Vec<(String, String)> = reqwest::Url::parse(&format!("{page}?{query}")).unwrap().query_pairs().into_owned().collect();
        let mut form: Vec<(&str, &str)> = asked.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        form.extend([("login", login), ("authorize", "1")]);
        let answer = self.served.client.post(page).form(&form).send().await.expect("an answer");
        let back = answer.headers()["location"].to_str().expect("text").to_owned();
        let path = back.strip_prefix(&format!("http://localhost:{}", self.served.port)).expect("back to us");
        assert_eq!(self.ask(path, None).await, "/apps");
    }
}

/// A program that answers with a word.
fn program_of(word: &str) -> Vec<(&'static str, String)> {
    let code = format!(
        "import http.server, os\nclass H(http.server.BaseHTTPRequestHandler):\n    def do_GET(self):\n        self.send_response(200)\n        self.end_headers()\n        self.wfile.write(b'{word}')\nhttp.server.HTTPServer(('', int(os.environ['PORT'])), H).serve_forever()\n"
    );
    vec![("Procfile", "web: python app.py\n".to_owned()), ("requirements.txt", String::new()), ("app.py", code)]
}

async fn push(stand_in: &StandIn, word: &str) -> CommitSha {
    let files = program_of(word);
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    stand_in.push(&"ana/tienda".parse().unwrap(), "main", word, &files).await
}

#[tokio::test]
async fn killed_between_a_delivery_and_its_build_nothing_is_lost_and_no_secret_is_in_the_log() {
    let stand_in = StandIn::start();
    stand_in.person("ana").await;
    stand_in.repository("ana/tienda", true).await;
    push(&stand_in, "first").await;
    let log = "debug,siesta=trace,octocrab=trace,reqwest=trace,hyper_util=trace,tower_http=trace,sqlx=debug";
    let url = stand_in.url.clone();
    let settings = [
        ("SIESTA_GITHUB_URL", url.as_str()),
        ("SIESTA_GITHUB_CLIENT_ID", CLIENT.0),
        ("SIESTA_GITHUB_CLIENT_SECRET", CLIENT.1),
        ("RUST_LOG", log),
    ];
    let mut served = Served::start(&settings);
    let token = served.claim();
    served.api("POST", "/apps", &token).json(&json!({ "name": "tienda" })).send().await.expect("an answer");
    let mut browser = Browser { served: &served, cookies: Default::default() };
    browser.connect(&stand_in, "ana").await;
    browser.ask("/apps/tienda/github/connect", Some(&[("repository", "ana/tienda")])).await;
    browser.ask("/apps/tienda/github/automatic", Some(&[("branch", "main")])).await;
    let session: Vec<String> = browser.cookies.into_values().collect();
    let soak = std::env::var_os("SIESTA_TEST_SOAK").is_some();
    // What a build that has begun survives, `docker::kill` tests.
    let begun = if soak { &["build.claimed"][..] } else { &[] };
    let places = fail_point::GIT_PLACES.iter().chain(begun).map(|place| Some(*place));
    for (number, place) in places.chain([None]).enumerate() {
        served.kill();
        let word = format!("word-{number}");
        let sha = match place {
            // Told by the hook, to a server that dies of it.
            Some(place) => {
                served.set("SIESTA_FAIL_POINT", Some(place));
                served.run();
                let sha = push(&stand_in, &word).await;
                served.wait_for_end().await;
                assert!(served.server_log().contains(&format!("fail point {place} reached")), "{place} was never reached");
                sha
            }
            // Told to nobody: GitHub does not try again.
            None => push(&stand_in, &word).await,
        };
        served.set("SIESTA_FAIL_POINT", None);
        served.run();
        let builds = async || {
            let builds = served.get("/apps/tienda/builds", &token).await;
            let of = builds.as_array().into_iter().flatten().filter(|build| build["source_blob"]["version"] == json!(sha));
            of.map(|build| build["status"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        };
        served.until(Duration::from_secs(120), builds, |builds| builds.iter().any(|status| status == "succeeded")).await;
        assert_eq!(builds().await, ["succeeded"], "{place:?}: built once");
        let answer = async || served.app("tienda", "/").send().await.expect("an answer").text().await.unwrap_or_default();
        served.until(Duration::from_secs(120), answer, |text| *text == word).await;
    }
    let seen = stand_in.arrange("seen", json!({})).await;
    assert_eq!(seen["faults"], json!([]));
    let log = served.server_log();
    let hook = &seen["hooks"][0]["config"];
    let mut secrets = session;
    secrets.extend([CLIENT.1, PASSWORD].map(str::to_owned));
    secrets.extend(seen["tokens"].as_array().expect("tokens").iter().map(|token| token.as_str().expect("text").to_owned()));
    secrets.push(hook["secret"].as_str().expect("a secret").to_owned());
    secrets.push(hook["url"].as_str().and_then(|url| url.rsplit('/').next()).expect("a token").to_owned());
    for secret in secrets.iter().filter(|secret| secret.len() >= 10) {
        let at = log.lines().find(|line| line.contains(secret.as_str()));
        assert_eq!(at, None, "a secret is in the log");
    }
    assert!(secrets.len() > 5 && log.contains("TRACE"), "the log is as talkative as it can be");
}

#[tokio::test]
async fn a_server_without_any_authority_starts_and_its_deploy_tab_says_what_is_missing() {
    let served = Served::start(&[("SSL_CERT_FILE", "/nonexistent.pem"), ("SSL_CERT_DIR", "/nonexistent")]);
    let token = served.claim();
    served.api("POST", "/apps", &token).json(&json!({ "name": "tienda" })).send().await.expect("an answer");
    let mut browser = Browser { served: &served, cookies: Default::default() };
    browser.ask("/login", Some(&[("email", ADMIN), ("password", PASSWORD), ("next", "/apps")])).await;
    let session: Vec<String> = browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let page = served.client.get(format!("http://localhost:{}/apps/tienda/deploy", served.port)).header("cookie", session.join("; "));
    let text = page.send().await.expect("an answer").text().await.expect("a page");
    assert!(text.contains("knows no certificate authorities") && text.contains("ca-certificates"), "{text}");
    assert!(served.server_log().contains("GitHub is not asked"), "{}", served.server_log());
}
