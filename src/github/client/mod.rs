//! GitHub through octocrab: one function that calls, and one topic a file.

mod archive;
mod checks;
mod memory;
mod picker;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::StreamExt as _;
use http::{HeaderValue, Method, StatusCode, header};
use octocrab::Octocrab;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use self::{
    checks::together,
    memory::Memory,
    picker::RepositoryBody,
    wire::{Answer, Call, PATIENCE, crab, exchange, judged},
};
use super::oauth;
use crate::{
    domain::{
        BranchName, CommitSha, RepoName,
        git::{CiState, Head},
    },
    egress::Egress,
    github::{
        Access, ArchiveStream, GitHost, GitHostError, Grant, HeadAnswer, HostAccount, Listing, NewHook, OauthClient, Owner, OwnerKind,
        Report, Repository, Search, Submodule, Tree, TreeFile, oauth::encode,
    },
};

/// Redirects a call may take: GitHub sends one.
const REDIRECTS: usize = 3;
/// What commit statuses of ours are called, before the app's name.
pub const CONTEXT: &str = "siesta/";

/// GitHub, or a GitHub Enterprise Server.
#[derive(Clone)]
pub struct GithubClient {
    api: Octocrab,
    site: Octocrab,
    /// Never follows a redirect by itself, never carries a token to another host.
    plain: reqwest::Client,
    memory: Arc<Memory>,
    egress: Egress,
    web_url: String,
    api_url: String,
}

#[derive(Deserialize)]
struct Login {
    login: String,
}

impl GithubClient {
    /// `web_url` and `api_url` are the operator's, without trailing slashes; `egress` must let them pass.
    ///
    /// # Errors
    /// When an address is none.
    pub fn new(web_url: &str, api_url: &str, egress: Egress) -> Result<GithubClient, GitHostError> {
        let plain = egress.http().read_timeout(PATIENCE).build().map_err(|error| GitHostError::Unreachable(error.to_string()))?;
        Ok(GithubClient {
            api: crab(&plain, api_url, "application/vnd.github+json")?,
            site: crab(&plain, web_url, "application/json")?,
            plain,
            memory: Arc::default(),
            egress,
            web_url: web_url.to_owned(),
            api_url: api_url.to_owned(),
        })
    }

    /// Err where https is to be spoken and no authority is known that could vouch for the other side.
    fn can_speak(&self) -> Result<(), GitHostError> {
        let secure = [&self.web_url, &self.api_url].iter().any(|url| url.starts_with("https:"));
        if secure && !self.egress.trusts_anybody() { Err(GitHostError::NoAuthorities) } else { Ok(()) }
    }

    fn as_of(&self, access: &Access) -> Result<Octocrab, GitHostError> {
        match access {
            Access::Anonymous => Ok(self.api.clone()),
            Access::Token(token) => self.api.user_access_token(token.clone()).map_err(|_| GitHostError::Unauthorized),
        }
    }

    /// One call of the API. A question that was asked before is asked with the tag of its answer;
    /// while GitHub wants to hear nothing, nothing is asked.
    async fn call(&self, access: &Access, call: Call) -> Result<Answer, GitHostError> {
        self.can_speak()?;
        let who = memory::who(access);
        self.memory.may_ask(&who)?;
        let plain = call.method == Method::GET && !call.headers.contains_key(header::IF_NONE_MATCH);
        let known = if plain { self.memory.answer(&who, &call.path) } else { None };
        let tag = known.as_ref().and_then(memory::tag).cloned();
        let path = call.path.clone();
        let outcome = self.exchanged(access, tag.into_iter().fold(call, |call, tag| call.header(header::IF_NONE_MATCH, tag))).await;
        self.memory.note_limit(who, &outcome);
        let answer = outcome?;
        match known {
            Some(known) if answer.status == StatusCode::NOT_MODIFIED => Ok(known),
            _ => {
                if plain && answer.status == StatusCode::OK {
                    self.memory.keep(&who, &path, &answer);
                }
                Ok(answer)
            }
        }
    }

    /// Sends a call, also to where GitHub says that its repository is now: within the API alone.
    async fn exchanged(&self, access: &Access, mut call: Call) -> Result<Answer, GitHostError> {
        let crab = self.as_of(access)?;
        let mut answer = exchange(&crab, call.clone()).await?;
        for _ in 0..REDIRECTS {
            let moved = answer.moved_to().filter(|_| call.follows);
            let Some(path) = moved.and_then(|to| to.strip_prefix(&self.api_url)).filter(|path| path.starts_with('/')) else { break };
            call.path = path.to_owned();
            answer = exchange(&crab, call.clone()).await?;
        }
        judged(answer)
    }

    async fn read<T: DeserializeOwned>(&self, access: &Access, path: String) -> Result<T, GitHostError> {
        self.call(access, Call::get(path)).await?.decode()
    }

    async fn token(&self, body: Value) -> Result<Grant, GitHostError> {
        #[derive(Deserialize)]
        struct Token {
            access_token: Option<SecretString>,
            expires_in: Option<u64>,
            refresh_token: Option<SecretString>,
            #[serde(default)]
            scope: String,
            error: Option<String>,
        }
        self.can_speak()?;
        let answer = judged(exchange(&self.site, Call::send(Method::POST, "/login/oauth/access_token", body)).await?)?;
        let token: Token = answer.decode()?;
        match (token.access_token, token.error) {
            (Some(access), None) => Ok(Grant { access, expires_in: token.expires_in, refresh: token.refresh_token, scopes: token.scope }),
            (_, error) => Err(GitHostError::Oauth(error.unwrap_or_else(|| "no token".to_owned()))),
        }
    }
}

#[async_trait]
impl GitHost for GithubClient {
    fn web_url(&self) -> String {
        self.web_url.clone()
    }

    fn can_be_asked(&self) -> Result<(), GitHostError> {
        self.can_speak()
    }

    async fn exchange_code(
        &self,
        client: OauthClient,
        code: SecretString,
        verifier: SecretString,
        redirect: String,
    ) -> Result<Grant, GitHostError> {
        self.token(json!({
            "client_id": client.id,
            "client_secret": client.secret.expose_secret(),
            "code": code.expose_secret(),
            "code_verifier": verifier.expose_secret(),
            "redirect_uri": redirect,
        }))
        .await
    }

    async fn refresh(&self, client: OauthClient, refresh: SecretString) -> Result<Grant, GitHostError> {
        self.token(json!({
            "client_id": client.id,
            "client_secret": client.secret.expose_secret(),
            "grant_type": "refresh_token",
            "refresh_token": refresh.expose_secret(),
        }))
        .await
    }

    async fn revoke(&self, client: OauthClient, token: SecretString) -> Result<(), GitHostError> {
        let basic = BASE64_STANDARD.encode(format!("{}:{}", client.id, client.secret.expose_secret()));
        let mut basic = HeaderValue::try_from(format!("Basic {basic}")).expect("base64 is a header value");
        basic.set_sensitive(true);
        let body = json!({ "access_token": token.expose_secret() });
        let path = format!("/applications/{}/grant", encode(&client.id));
        let call = Call::send(Method::DELETE, path, body).header(header::AUTHORIZATION, basic);
        self.can_speak()?;
        match judged(exchange(&self.api, call).await?) {
            // 422: GitHub knows no such token any more.
            Ok(_) | Err(GitHostError::NotFound | GitHostError::Refused(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn account(&self, access: Access) -> Result<HostAccount, GitHostError> {
        #[derive(Deserialize)]
        struct User {
            id: i64,
            login: String,
        }
        #[derive(Deserialize)]
        struct Email {
            email: String,
            primary: bool,
            verified: bool,
        }
        let user: User = self.read(&access, "/user".to_owned()).await?;
        let emails: Vec<Email> = match self.read(&access, "/user/emails".to_owned()).await {
            // Without the scope or the permission it is simply not told.
            Err(GitHostError::NotFound | GitHostError::Forbidden(_)) => Vec::new(),
            emails => emails?,
        };
        let email = emails.into_iter().find(|email| email.primary && email.verified).map(|email| email.email);
        Ok(HostAccount { id: user.id, login: user.login, email })
    }

    async fn owners(&self, access: Access, app: bool) -> Result<Vec<Owner>, GitHostError> {
        if app { self.installations(&access).await } else { self.own(&access).await }
    }

    async fn repositories(&self, access: Access, search: Search) -> Result<Listing<Repository>, GitHostError> {
        match search.owner.kind {
            OwnerKind::Installation(id) => self.installed(&access, id, search.text.trim(), search.page).await,
            OwnerKind::Own | OwnerKind::Organisation => self.owned(&access, &search).await,
        }
    }

    async fn repository(&self, access: Access, name: RepoName) -> Result<Repository, GitHostError> {
        let body: RepositoryBody = self.read(&access, format!("/repos/{name}")).await?;
        body.understood().ok_or(GitHostError::NotFound)
    }

    async fn repository_by_id(&self, access: Access, id: i64) -> Result<Repository, GitHostError> {
        let body: RepositoryBody = self.read(&access, format!("/repositories/{id}")).await?;
        body.understood().ok_or(GitHostError::NotFound)
    }

    async fn branches(&self, access: Access, repository: RepoName, page: u32) -> Result<Listing<BranchName>, GitHostError> {
        #[derive(Deserialize)]
        struct Branch {
            name: String,
        }
        let answer = self.call(&access, Call::get(format!("/repos/{repository}/branches?per_page=100&page={page}"))).await?;
        let all: Vec<Branch> = answer.decode()?;
        Ok(Listing { items: all.into_iter().filter_map(|branch| branch.name.parse().ok()).collect(), more: answer.has_more() })
    }

    async fn head(
        &self,
        access: Access,
        repository: RepoName,
        branch: BranchName,
        etag: Option<String>,
    ) -> Result<HeadAnswer, GitHostError> {
        #[derive(Deserialize)]
        struct Branch {
            commit: Commit,
        }
        #[derive(Deserialize)]
        struct Commit {
            sha: CommitSha,
            commit: Text,
            author: Option<Login>,
        }
        #[derive(Deserialize)]
        struct Text {
            message: String,
            author: Option<Named>,
        }
        #[derive(Deserialize)]
        struct Named {
            name: Option<String>,
        }
        // That a repository has moved must become known: somebody else may take the name it had.
        let call = Call::get(format!("/repos/{repository}/branches/{}", encode(branch.as_str())));
        let mut call = Call { follows: false, ..call };
        if let Some(etag) = etag.and_then(|etag| HeaderValue::try_from(etag).ok()) {
            call = call.header(header::IF_NONE_MATCH, etag);
        }
        let answer = self.call(&access, call).await?;
        if answer.status == StatusCode::NOT_MODIFIED {
            return Ok(HeadAnswer::Unchanged);
        }
        let etag = answer.header(header::ETAG).map(str::to_owned);
        let Branch { commit } = answer.decode()?;
        let author = commit.author.map(|account| account.login).filter(|login| !login.is_empty());
        let author = author.or_else(|| commit.commit.author.and_then(|author| author.name)).unwrap_or_default();
        Ok(HeadAnswer::Now { head: Head { sha: commit.sha, message: commit.commit.message, author }, etag })
    }

    async fn ci(&self, access: Access, repository: RepoName, sha: CommitSha, except: String) -> Result<CiState, GitHostError> {
        let statuses = self.statuses(&access, &repository, &sha, &except).await?;
        let runs = match self.check_runs(&access, &repository, &sha).await {
            // A token without the permission sees none; statuses alone decide then.
            Err(GitHostError::Forbidden(_)) => CiState::Silent,
            runs => runs?,
        };
        Ok(together([statuses, runs].into_iter()))
    }

    async fn tarball(&self, access: Access, repository: RepoName, sha: CommitSha) -> Result<ArchiveStream, GitHostError> {
        let answer = self.archive(&access, &format!("/repos/{repository}/tarball/{sha}")).await?;
        Ok(answer.bytes_stream().map(|piece| piece.map_err(|error| std::io::Error::other(error.without_url()))).boxed())
    }

    async fn tree(&self, access: Access, repository: RepoName, sha: CommitSha) -> Result<Tree, GitHostError> {
        #[derive(Deserialize)]
        struct Answer {
            tree: Vec<Entry>,
            #[serde(default)]
            truncated: bool,
        }
        #[derive(Deserialize)]
        struct Entry {
            path: Option<String>,
            mode: Option<String>,
            sha: Option<CommitSha>,
            size: Option<u64>,
        }
        let answer: Answer = self.read(&access, format!("/repos/{repository}/git/trees/{sha}?recursive=1")).await?;
        let mut tree = Tree { truncated: answer.truncated, ..Tree::default() };
        for entry in answer.tree {
            match (entry.mode.as_deref(), entry.path, entry.sha) {
                (Some("160000"), Some(path), Some(sha)) => tree.submodules.push(Submodule { path, sha }),
                (Some("100644" | "100755"), Some(path), _) => tree.files.push(TreeFile { path, size: entry.size.unwrap_or(0) }),
                _ => {}
            }
        }
        Ok(tree)
    }

    async fn file(&self, access: Access, repository: RepoName, sha: CommitSha, path: String) -> Result<Vec<u8>, GitHostError> {
        #[derive(Deserialize)]
        struct File {
            content: String,
        }
        let path: Vec<String> = path.split('/').map(encode).collect();
        let file: File = self.read(&access, format!("/repos/{repository}/contents/{}?ref={sha}", path.join("/"))).await?;
        let packed: String = file.content.split_whitespace().collect();
        BASE64_STANDARD.decode(packed).map_err(|_| GitHostError::Refused("a file is not readable".to_owned()))
    }

    async fn create_hook(&self, access: Access, repository: RepoName, hook: NewHook) -> Result<i64, GitHostError> {
        #[derive(Deserialize)]
        struct Made {
            id: i64,
        }
        let body = json!({
            "name": "web",
            "active": true,
            "events": ["push", "status", "check_suite"],
            "config": { "url": hook.url, "content_type": "json", "insecure_ssl": "0", "secret": hook.secret.expose_secret() },
        });
        let answer = self.call(&access, Call::send(Method::POST, format!("/repos/{repository}/hooks"), body)).await?;
        Ok(answer.decode::<Made>()?.id)
    }

    async fn delete_hook(&self, access: Access, repository: RepoName, hook: i64) -> Result<(), GitHostError> {
        let call = Call { method: Method::DELETE, ..Call::get(format!("/repos/{repository}/hooks/{hook}")) };
        match self.call(&access, call).await {
            Ok(_) | Err(GitHostError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn create_deployment(
        &self,
        access: Access,
        repository: RepoName,
        sha: CommitSha,
        environment: String,
    ) -> Result<i64, GitHostError> {
        #[derive(Deserialize)]
        struct Made {
            id: i64,
        }
        let body = json!({
            "ref": sha, "environment": environment, "auto_merge": false, "required_contexts": [], "description": "Deployed by Siesta",
        });
        let answer = self.call(&access, Call::send(Method::POST, format!("/repos/{repository}/deployments"), body)).await?;
        Ok(answer.decode::<Made>()?.id)
    }

    async fn report(&self, access: Access, repository: RepoName, deployment: Option<i64>, report: Report) -> Result<(), GitHostError> {
        self.tell(&access, &repository, deployment, &report).await
    }
}
