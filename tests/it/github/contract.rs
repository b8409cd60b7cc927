//! What a git host does, whichever one it is: the suite runs over the one in memory here and over
//! the real client against the stand-in in `docker::github`.

use async_trait::async_trait;
use futures_util::StreamExt as _;
use secrecy::SecretString;
use siesta::{
    domain::{CommitSha, RepoName, git::CiState},
    github::{
        Access, GitHost, GitHostError, HeadAnswer, NewHook, OauthClient, Report, ReportState, Search,
        fake::FakeGitHub,
        oauth::{Question, challenge},
    },
};

/// How a suite arranges its host.
#[async_trait]
pub trait Arrange: Send + Sync {
    async fn person(&self, login: &str);
    async fn repository(&self, name: &str, private: bool) -> RepoName;
    async fn push(&self, name: &RepoName, branch: &str, message: &str, files: &[(&str, &str)]) -> CommitSha;
    async fn rename(&self, name: &RepoName, to: &str) -> RepoName;
    async fn pass_ci(&self, name: &RepoName, sha: &CommitSha);
    /// The code of somebody who allowed a program with this challenge and address to come back to.
    async fn code(&self, login: &str, challenge: &str, redirect: &str) -> String;
}

#[async_trait]
impl Arrange for FakeGitHub {
    async fn person(&self, login: &str) {
        FakeGitHub::person(self, login, Some(&format!("{login}@example.org")));
    }

    async fn repository(&self, name: &str, private: bool) -> RepoName {
        self.repository_of(name, private, &[name.split('/').next().unwrap()])
    }

    async fn push(&self, name: &RepoName, branch: &str, message: &str, files: &[(&str, &str)]) -> CommitSha {
        FakeGitHub::push(self, name, branch, message, files)
    }

    async fn rename(&self, name: &RepoName, to: &str) -> RepoName {
        FakeGitHub::rename(self, name, to)
    }

    async fn pass_ci(&self, _name: &RepoName, sha: &CommitSha) {
        self.set_ci(sha, CiState::Success);
    }

    async fn code(&self, login: &str, challenge: &str, _redirect: &str) -> String {
        self.allow(login, &format!("?code_challenge={challenge}&scope=repo"))
    }
}

#[tokio::test]
async fn the_host_in_memory_keeps_the_contract() {
    let fake = FakeGitHub::new();
    let client = OauthClient { id: "Iv1.test".to_owned(), secret: "s3cret".into() };
    keeps_the_contract(&fake, &fake, client).await;
}

const BACK: &str = "http://localhost:8080/github/callback";

/// Everything.
pub async fn keeps_the_contract(host: &dyn GitHost, arrange: &dyn Arrange, client: OauthClient) {
    arrange.person("ana").await;
    arrange.person("eve").await;
    let (ana, eve) = (flow(host, arrange, &client, "ana").await, flow(host, arrange, &client, "eve").await);
    let account = host.account(ana.clone()).await.unwrap();
    assert_eq!((account.login.as_str(), account.email.as_deref()), ("ana", Some("ana@example.org")));
    assert_eq!(host.account(Access::Token("gho_wrong".into())).await, Err(GitHostError::Unauthorized));

    let secret = arrange.repository("ana/secreta", true).await;
    let open = arrange.repository("ana/tienda", false).await;
    let first = arrange.push(&open, "main", "First\n\nlong", &[("app.py", "1"), ("sub/x.txt", "x")]).await;
    arrange.push(&secret, "main", "Hidden", &[("app.py", "2")]).await;
    repositories(host, (&ana, &eve), (&open, &secret)).await;
    heads(host, arrange, &ana, &open, &first).await;
    back(host, &ana, &open, &first).await;
    hooks(host, (&ana, &eve), &open).await;

    let id = host.repository(ana.clone(), open.clone()).await.unwrap().id;
    let renamed = arrange.rename(&open, "ana/otra").await;
    assert_eq!(host.repository_by_id(ana.clone(), id).await.unwrap().name, renamed);
    let Access::Token(token) = &ana else { panic!("a token") };
    host.revoke(client.clone(), token.clone()).await.unwrap();
    assert_eq!(host.account(ana).await, Err(GitHostError::Unauthorized));
}

/// The web flow: a code works once and with its verifier.
async fn flow(host: &dyn GitHost, arrange: &dyn Arrange, client: &OauthClient, login: &str) -> Access {
    let verifier: SecretString = "v".repeat(43).into();
    let exchange = async |code: &str, verifier: &SecretString| {
        host.exchange_code(client.clone(), code.into(), verifier.clone(), BACK.to_owned()).await
    };
    let state: SecretString = "s".into();
    let web = host.web_url();
    let question = Question { web: &web, client_id: &client.id, redirect: BACK, scope: "repo", state: &state, verifier: &verifier };
    assert!(question.address().starts_with(&web));
    let stolen = arrange.code(login, &challenge(&verifier), BACK).await;
    let refused = exchange(&stolen, &"another".into()).await.unwrap_err();
    assert_eq!(refused, GitHostError::Oauth("bad_verification_code".to_owned()));
    let code = arrange.code(login, &challenge(&verifier), BACK).await;
    let grant = exchange(&code, &verifier).await.unwrap();
    assert_eq!(grant.scopes, "repo");
    assert!(exchange(&code, &verifier).await.is_err(), "a code works once");
    Access::Token(grant.access)
}

async fn repositories(host: &dyn GitHost, (ana, eve): (&Access, &Access), (open, secret): (&RepoName, &RepoName)) {
    let owner = host.owners(ana.clone(), false).await.unwrap().remove(0);
    assert_eq!(owner.login, "ana");
    let search = |text: &str| Search { owner: owner.clone(), text: text.to_owned(), page: 1 };
    let all = host.repositories(ana.clone(), search("")).await.unwrap();
    assert_eq!((all.items.len(), all.more), (2, false));
    let found = host.repositories(ana.clone(), search("tien")).await.unwrap().items;
    assert_eq!((found.len(), &found[0].name, found[0].private, found[0].admin), (1, open, false, true));
    assert!(host.repository(ana.clone(), secret.clone()).await.unwrap().private);
    assert_eq!(host.repository(eve.clone(), secret.clone()).await, Err(GitHostError::NotFound));
    assert_eq!(host.repository(Access::Anonymous, secret.clone()).await, Err(GitHostError::NotFound));
    assert!(!host.repository(eve.clone(), open.clone()).await.unwrap().admin);
    assert!(!host.repository(Access::Anonymous, open.clone()).await.unwrap().admin);
}

async fn heads(host: &dyn GitHost, arrange: &dyn Arrange, ana: &Access, open: &RepoName, first: &CommitSha) {
    let head = async |branch: &str, etag| host.head(ana.clone(), open.clone(), branch.parse().unwrap(), etag).await;
    let HeadAnswer::Now { head: seen, etag } = head("main", None).await.unwrap() else { panic!("a head") };
    assert_eq!((&seen.sha, seen.title()), (first, "First"));
    assert_eq!(head("main", etag.clone()).await, Ok(HeadAnswer::Unchanged));
    let second = arrange.push(open, "feature/cart", "Second", &[("app.py", "3")]).await;
    let HeadAnswer::Now { head: seen, .. } = head("feature/cart", etag).await.unwrap() else { panic!("a head") };
    assert_eq!(seen.sha, second, "a slash in a branch's name");
    assert_eq!(head("nope", None).await, Err(GitHostError::NotFound));
    let branches = host.branches(ana.clone(), open.clone(), 1).await.unwrap();
    assert_eq!(branches.items.iter().map(|branch| branch.as_str()).collect::<Vec<_>>(), ["feature/cart", "main"]);

    assert_eq!(host.ci(ana.clone(), open.clone(), second.clone(), "siesta/".to_owned()).await, Ok(CiState::Silent));
    arrange.pass_ci(open, &second).await;
    assert_eq!(host.ci(ana.clone(), open.clone(), second, "siesta/".to_owned()).await, Ok(CiState::Success));

    let mut archive = Vec::new();
    let mut stream = host.tarball(ana.clone(), open.clone(), first.clone()).await.unwrap();
    while let Some(piece) = stream.next().await {
        archive.extend_from_slice(&piece.unwrap());
    }
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&archive[..]));
    let paths = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
    let inner: Vec<String> = paths.filter_map(|path| path.split_once('/').map(|(_, inner)| inner.to_owned())).collect();
    assert!(inner.contains(&"app.py".to_owned()) && inner.contains(&"sub/x.txt".to_owned()), "one top folder: {inner:?}");
    let nowhere: CommitSha = "0".repeat(40).parse().unwrap();
    assert!(host.tarball(ana.clone(), open.clone(), nowhere).await.is_err());
    assert_eq!(host.submodules(ana.clone(), open.clone(), first.clone()).await, Ok(Vec::new()));
    assert_eq!(host.file(ana.clone(), open.clone(), first.clone(), "sub/x.txt".to_owned()).await.as_deref(), Ok("x"));
}

async fn back(host: &dyn GitHost, ana: &Access, open: &RepoName, sha: &CommitSha) {
    let deployment = host.create_deployment(ana.clone(), open.clone(), sha.clone(), "tienda".to_owned()).await.unwrap();
    for state in [ReportState::Queued, ReportState::Building, ReportState::Live, ReportState::Failed, ReportState::Cancelled] {
        let report = Report {
            sha: sha.clone(),
            environment: "tienda".to_owned(),
            state,
            log_url: "http://localhost:8080/apps/tienda/builds/1".to_owned(),
            environment_url: "http://tienda.localhost:8080/".to_owned(),
        };
        host.report(ana.clone(), open.clone(), Some(deployment), report).await.unwrap();
    }
}

async fn hooks(host: &dyn GitHost, (ana, eve): (&Access, &Access), open: &RepoName) {
    let hook = || NewHook { url: "http://127.0.0.1:9/github/webhook/x".to_owned(), secret: "s".into() };
    assert_eq!(host.create_hook(eve.clone(), open.clone(), hook()).await, Err(GitHostError::NotFound), "not hers");
    let id = host.create_hook(ana.clone(), open.clone(), hook()).await.unwrap();
    host.delete_hook(ana.clone(), open.clone(), id).await.unwrap();
    host.delete_hook(ana.clone(), open.clone(), id).await.unwrap();
}
