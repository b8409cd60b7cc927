//! What a git host does, whichever one it is: the suite runs over the one in memory here and over
//! the real client against the stand-in in `docker::github`.

use async_trait::async_trait;
use futures_util::StreamExt as _;
use secrecy::SecretString;
use siesta::{
    domain::{CommitSha, RepoName, git::CiState},
    github::{
        Access, GitHost, GitHostError, HeadAnswer, NewHook, OauthClient, OwnerKind, Report, ReportState, Search, Submodule, TreeFile,
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
    async fn organisation(&self, login: &str, members: &[&str]);
    /// Pushes a commit to `main` that holds another repository's commit in the folder `libs/tema`.
    async fn push_submodule(&self, name: &RepoName, of: &CommitSha) -> CommitSha;
    async fn rename(&self, name: &RepoName, to: &str) -> RepoName;
    /// From now on we are a GitHub App there.
    async fn be_an_app(&self);
    /// Installs it on an account, for these repositories.
    async fn install(&self, login: &str, chosen: &[&RepoName]);
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

    async fn organisation(&self, login: &str, members: &[&str]) {
        FakeGitHub::organisation(self, login, members);
    }

    async fn push_submodule(&self, name: &RepoName, of: &CommitSha) -> CommitSha {
        let sha = FakeGitHub::push(self, name, "main", "With a theme", &[(".gitmodules", MODULES)]);
        self.add_submodule(name, &sha, "libs/tema", of);
        sha
    }

    async fn be_an_app(&self) {
        FakeGitHub::be_an_app(self);
    }

    async fn install(&self, login: &str, chosen: &[&RepoName]) {
        FakeGitHub::install(self, login, chosen);
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

/// The file that says where the submodule comes from.
pub const MODULES: &str = "[submodule \"tema\"]\n\tpath = libs/tema\n\turl = ../tema.git\n";
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

    organisations(host, arrange, &ana).await;

    let id = host.repository(ana.clone(), open.clone()).await.unwrap().id;
    let renamed = arrange.rename(&open, "ana/otra").await;
    assert_eq!(host.repository_by_id(ana.clone(), id).await.unwrap().name, renamed);
    let old = host.head(ana.clone(), open.clone(), "main".parse().unwrap(), None).await;
    assert_eq!(old, Err(GitHostError::NotFound), "a new name is not passed over in silence");
    let Access::Token(token) = &ana else { panic!("a token") };
    host.revoke(client.clone(), token.clone()).await.unwrap();
    host.revoke(client.clone(), token.clone()).await.unwrap();
    assert_eq!(host.account(ana).await, Err(GitHostError::Unauthorized));
    as_an_app(host, arrange, &client, (&renamed, &secret)).await;
}

async fn organisations(host: &dyn GitHost, arrange: &dyn Arrange, ana: &Access) {
    arrange.organisation("ies", &["ana"]).await;
    let shop = arrange.repository("ies/tienda", false).await;
    let theme = arrange.repository("ies/tema", false).await;
    let style = arrange.push(&theme, "main", "Theme", &[("tema.css", "a{}")]).await;
    let owners = host.owners(ana.clone(), false).await.unwrap();
    assert_eq!(owners.iter().map(|owner| owner.login.as_str()).collect::<Vec<_>>(), ["ana", "ies"]);
    for (text, expected) in [("", 2), ("tema", 1)] {
        let search = Search { owner: owners[1].clone(), text: text.to_owned(), page: 1 };
        assert_eq!(host.repositories(ana.clone(), search).await.unwrap().items.len(), expected, "{text}");
    }
    let sha = arrange.push_submodule(&shop, &style).await;
    let found = host.tree(ana.clone(), shop.clone(), sha.clone()).await.unwrap().submodules;
    assert_eq!(found, [Submodule { path: "libs/tema".to_owned(), sha: style }]);
    assert_eq!(host.file(ana.clone(), shop, sha, ".gitmodules".to_owned()).await.as_deref(), Ok(MODULES.as_bytes()));
}

/// A GitHub App: short-lived tokens, and only what it is installed on.
async fn as_an_app(host: &dyn GitHost, arrange: &dyn Arrange, client: &OauthClient, (open, secret): (&RepoName, &RepoName)) {
    arrange.be_an_app().await;
    let verifier: SecretString = "w".repeat(43).into();
    let code = arrange.code("ana", &challenge(&verifier), BACK).await;
    let first = host.exchange_code(client.clone(), code.as_str().into(), verifier, BACK.to_owned()).await.unwrap();
    assert_eq!((first.expires_in, first.scopes.as_str()), (Some(28_800), ""));
    let refresh = first.refresh.expect("a refresh token");
    let grant = host.refresh(client.clone(), refresh.clone()).await.unwrap();
    assert_eq!(host.refresh(client.clone(), refresh).await.unwrap_err(), GitHostError::Oauth("bad_refresh_token".to_owned()));
    let ana = Access::Token(grant.access);
    assert_eq!(host.owners(ana.clone(), true).await, Ok(Vec::new()), "installed nowhere");
    assert_eq!(host.repository(ana.clone(), secret.clone()).await, Err(GitHostError::NotFound), "not chosen");
    arrange.install("ana", &[secret]).await;
    let owners = host.owners(ana.clone(), true).await.unwrap();
    assert!(owners.len() == 1 && owners[0].login == "ana" && matches!(owners[0].kind, OwnerKind::Installation(_)), "{owners:?}");
    for (text, expected) in [("", 1), ("secr", 1), ("tienda", 0), ("otra", 0)] {
        let search = Search { owner: owners[0].clone(), text: text.to_owned(), page: 1 };
        let found = host.repositories(ana.clone(), search).await.unwrap();
        assert_eq!((found.items.len(), found.more), (expected, false), "{text}");
    }
    assert!(host.repository(ana.clone(), secret.clone()).await.unwrap().admin);
    assert!(!host.repository(ana, open.clone()).await.unwrap().private, "what is public can be seen in any case");
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
    let tree = host.tree(ana.clone(), open.clone(), first.clone()).await.unwrap();
    assert!(tree.submodules.is_empty() && !tree.truncated);
    for path in ["app.py", "sub/x.txt"] {
        assert!(tree.files.contains(&TreeFile { path: path.to_owned(), size: 1 }), "{path}: {:?}", tree.files);
    }
    assert_eq!(host.file(ana.clone(), open.clone(), first.clone(), "sub/x.txt".to_owned()).await.as_deref(), Ok(&b"x"[..]));
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
