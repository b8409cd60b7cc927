//! GitHub through octocrab: one function that calls, and what each answer means to us.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use octocrab::{Octocrab, service::middleware::retry::RetryConfig};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    domain::{
        BranchName, CommitSha, RepoName,
        git::{CiState, Head},
    },
    egress::Egress,
    github::{
        Access, ArchiveStream, GitHost, GitHostError, Grant, HeadAnswer, HostAccount, Listing, NewHook, OauthClient, Owner, OwnerKind,
        PAGE, Report, ReportState, Repository, Search, Submodule, oauth::encode,
    },
};

/// The largest answer that is read.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// Redirects an archive may take: GitHub sends one.
const REDIRECTS: usize = 3;
/// A call that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// What commit statuses of ours are called, before the app's name.
pub const CONTEXT: &str = "siesta/";

/// GitHub, or a GitHub Enterprise Server.
#[derive(Clone)]
pub struct GithubClient {
    api: Octocrab,
    site: Octocrab,
    /// For archives alone: never follows a redirect by itself, never carries a token to another host.
    plain: reqwest::Client,
    egress: Egress,
    web_url: String,
    api_url: String,
}

/// One answer.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// One call: method, path below the base address, what is sent.
struct Call {
    method: Method,
    path: String,
    body: Option<Value>,
    headers: HeaderMap,
}

impl Call {
    fn get(path: impl Into<String>) -> Call {
        Call { method: Method::GET, path: path.into(), body: None, headers: HeaderMap::new() }
    }

    fn send(method: Method, path: impl Into<String>, body: Value) -> Call {
        Call { method, path: path.into(), body: Some(body), headers: HeaderMap::new() }
    }

    fn header(mut self, name: header::HeaderName, value: HeaderValue) -> Call {
        self.headers.insert(name, value);
        self
    }
}

impl GithubClient {
    /// `web_url` and `api_url` are the operator's, without trailing slashes; `egress` must let them pass.
    ///
    /// # Errors
    /// When an address is none.
    pub fn new(web_url: &str, api_url: &str, egress: Egress) -> Result<GithubClient, GitHostError> {
        let unusable = |error: octocrab::Error| GitHostError::Unreachable(format!("its address cannot be used: {error}"));
        let plain = egress.http().read_timeout(PATIENCE).build().map_err(|error| GitHostError::Unreachable(error.to_string()))?;
        let builder = |base: &str| {
            let builder = Octocrab::builder().base_uri(base).map_err(unusable)?;
            let patience = Some(PATIENCE);
            Ok::<_, GitHostError>(
                builder
                    .add_retry_config(RetryConfig::None)
                    .set_connect_timeout(Some(Duration::from_secs(10)))
                    .set_read_timeout(patience)
                    .set_write_timeout(patience),
            )
        };
        let api = builder(api_url)?
            .add_header(header::ACCEPT, "application/vnd.github+json".to_owned())
            .add_header(header::HeaderName::from_static("x-github-api-version"), "2022-11-28".to_owned());
        let site = builder(web_url)?.add_header(header::ACCEPT, "application/json".to_owned());
        Ok(GithubClient {
            api: api.build().map_err(unusable)?,
            site: site.build().map_err(unusable)?,
            plain,
            egress,
            web_url: web_url.to_owned(),
            api_url: api_url.to_owned(),
        })
    }

    fn as_of(&self, access: &Access) -> Result<Octocrab, GitHostError> {
        match access {
            Access::Anonymous => Ok(self.api.clone()),
            Access::Token(token) => self.api.user_access_token(token.clone()).map_err(|_| GitHostError::Unauthorized),
        }
    }

    async fn call(&self, access: &Access, call: Call) -> Result<Answer, GitHostError> {
        judged(exchange(&self.as_of(access)?, call).await?)
    }

    async fn read<T: DeserializeOwned>(&self, access: &Access, path: String) -> Result<T, GitHostError> {
        decode(&self.call(access, Call::get(path)).await?.body)
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
        let answer = judged(exchange(&self.site, Call::send(Method::POST, "/login/oauth/access_token", body)).await?)?;
        let token: Token = decode(&answer.body)?;
        match (token.access_token, token.error) {
            (Some(access), None) => Ok(Grant { access, expires_in: token.expires_in, refresh: token.refresh_token, scopes: token.scope }),
            (_, error) => Err(GitHostError::Oauth(error.unwrap_or_else(|| "no token".to_owned()))),
        }
    }

    /// Whether an archive may come from there: the API's host, the site's, and `codeload.` before it.
    fn is_ours(&self, url: &reqwest::Url) -> bool {
        let known = |base: &str, prefix: &str| {
            reqwest::Url::parse(base).is_ok_and(|base| {
                let host = format!("{prefix}{}", base.host_str().unwrap_or_default());
                base.scheme() == url.scheme()
                    && url.host_str() == Some(&host)
                    && base.port_or_known_default() == url.port_or_known_default()
            })
        };
        url.username().is_empty()
            && url.password().is_none()
            && (known(&self.api_url, "") || known(&self.web_url, "") || known(&self.web_url, "codeload."))
    }

    /// Follows an archive's redirects by hand; the token goes to the API alone.
    async fn archive(&self, access: &Access, path: &str) -> Result<reqwest::Response, GitHostError> {
        let mut url: reqwest::Url = format!("{}{path}", self.api_url).parse().map_err(|_| GitHostError::NotFound)?;
        for hop in 0..=REDIRECTS {
            self.egress.check(&url).map_err(|error| GitHostError::Refused(error.to_string()))?;
            let mut request = self.plain.get(url.clone()).header(header::USER_AGENT, "siesta");
            if let (0, Access::Token(token)) = (hop, access) {
                request = request.bearer_auth(token.expose_secret());
            }
            // An address may hold a short-lived token: it is never part of a message.
            let answer = request.send().await.map_err(|error| GitHostError::Unreachable(error.without_url().to_string()))?;
            if !answer.status().is_redirection() {
                return if answer.status().is_success() { Ok(answer) } else { Err(refused(answer).await) };
            }
            let target = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            url = target
                .and_then(|target| url.join(target).ok())
                .filter(|target| self.is_ours(target))
                .ok_or_else(|| GitHostError::Refused("the archive lies on a host that is not GitHub's".to_owned()))?;
        }
        Err(GitHostError::Refused("the archive's address leads in a circle".to_owned()))
    }

    async fn statuses(&self, access: &Access, repository: &RepoName, sha: &CommitSha, except: &str) -> Result<CiState, GitHostError> {
        #[derive(Deserialize)]
        struct Combined {
            statuses: Vec<Status>,
        }
        #[derive(Deserialize)]
        struct Status {
            context: String,
            state: String,
        }
        let combined: Combined = self.read(access, format!("/repos/{repository}/commits/{sha}/status?per_page=100")).await?;
        let foreign = combined.statuses.into_iter().filter(|status| !status.context.starts_with(except));
        Ok(together(foreign.map(|status| match status.state.as_str() {
            "success" => CiState::Success,
            "pending" => CiState::Pending,
            _ => CiState::Failure(status.context),
        })))
    }

    async fn check_runs(&self, access: &Access, repository: &RepoName, sha: &CommitSha) -> Result<CiState, GitHostError> {
        #[derive(Deserialize)]
        struct Runs {
            check_runs: Vec<Run>,
        }
        #[derive(Deserialize)]
        struct Run {
            name: String,
            status: String,
            conclusion: Option<String>,
        }
        let runs: Runs = self.read(access, format!("/repos/{repository}/commits/{sha}/check-runs?per_page=100")).await?;
        Ok(together(runs.check_runs.into_iter().map(|run| match (run.status.as_str(), run.conclusion.as_deref()) {
            ("completed", Some("success" | "neutral" | "skipped")) => CiState::Success,
            ("completed", _) => CiState::Failure(run.name),
            _ => CiState::Pending,
        })))
    }
}

/// What several say together: one failure fails, one that is pending is waited for.
fn together(states: impl Iterator<Item = CiState>) -> CiState {
    states.fold(CiState::Silent, |all, one| match (all, one) {
        (CiState::Failure(name), _) | (_, CiState::Failure(name)) => CiState::Failure(name),
        (CiState::Pending, _) | (_, CiState::Pending) => CiState::Pending,
        (CiState::Success, _) | (_, CiState::Success) => CiState::Success,
        (CiState::Silent, CiState::Silent) => CiState::Silent,
    })
}

async fn exchange(crab: &Octocrab, call: Call) -> Result<Answer, GitHostError> {
    let failed = |error: octocrab::Error| {
        tracing::debug!(?error, "a call of GitHub failed");
        GitHostError::Unreachable(cause(&error))
    };
    let mut builder = http::request::Builder::new().method(call.method).uri(call.path);
    if let Some(headers) = builder.headers_mut() {
        headers.extend(call.headers);
    }
    let request = crab.build_request(builder, call.body.as_ref()).map_err(failed)?;
    let whole = async {
        let (parts, body) = crab.execute(request).await.map_err(failed)?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|_| GitHostError::Unreachable("its answer broke off or is too large".to_owned()))?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    };
    tokio::time::timeout(PATIENCE, whole).await.unwrap_or_else(|_| Err(GitHostError::Unreachable("it did not answer in time".to_owned())))
}

/// The innermost reason, in a few words.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut inner = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string().chars().take(200).collect()
}

fn judged(answer: Answer) -> Result<Answer, GitHostError> {
    let fine = answer.status.is_success() || answer.status == StatusCode::NOT_MODIFIED;
    if fine { Ok(answer) } else { Err(meaning(answer.status, &answer.headers, &answer.body)) }
}

async fn refused(answer: reqwest::Response) -> GitHostError {
    let (status, headers) = (answer.status(), answer.headers().clone());
    meaning(status, &headers, &answer.bytes().await.unwrap_or_default())
}

/// What a refusal means.
fn meaning(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> GitHostError {
    let number = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<u64>().ok());
    let limited = status == StatusCode::TOO_MANY_REQUESTS || number("x-ratelimit-remaining") == Some(0) || number("retry-after").is_some();
    match status {
        StatusCode::UNAUTHORIZED => GitHostError::Unauthorized,
        StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS if limited => {
            GitHostError::RateLimited(number("retry-after").or_else(|| until_reset(headers)).unwrap_or(60).clamp(1, 3600))
        }
        StatusCode::FORBIDDEN => GitHostError::Forbidden(words(body)),
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => GitHostError::NotFound,
        status if status.is_client_error() => GitHostError::Refused(words(body)),
        status => GitHostError::Unreachable(format!("it answered {status}")),
    }
}

/// Seconds from the answer's own date to the reset of the allowance.
fn until_reset(headers: &HeaderMap) -> Option<u64> {
    let reset: u64 = headers.get("x-ratelimit-reset")?.to_str().ok()?.parse().ok()?;
    let date = httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()?;
    let date = date.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    Some(reset.saturating_sub(date))
}

/// GitHub's message, with the first of its details.
fn words(body: &[u8]) -> String {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = said["message"].as_str().unwrap_or("no reason given");
    let detail = said["errors"][0]["message"].as_str().or_else(|| said["errors"][0].as_str());
    let text = detail.map_or_else(|| message.to_owned(), |detail| format!("{message}: {detail}"));
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, GitHostError> {
    serde_json::from_slice(body).map_err(|error| GitHostError::Unreachable(format!("its answer is not understood: {error}")))
}

/// Whether `Link` names a next page.
fn has_more(headers: &HeaderMap) -> bool {
    headers.get(header::LINK).and_then(|value| value.to_str().ok()).is_some_and(|link| link.contains("rel=\"next\""))
}

#[derive(Deserialize)]
struct RepositoryBody {
    id: i64,
    full_name: String,
    private: bool,
    #[serde(default)]
    default_branch: Option<String>,
    permissions: Option<Permissions>,
    #[serde(default)]
    archived: bool,
    html_url: String,
}

#[derive(Deserialize)]
struct Permissions {
    #[serde(default)]
    admin: bool,
}

impl RepositoryBody {
    /// None for a name or branch that we would not put into a path.
    fn understood(self) -> Option<Repository> {
        Some(Repository {
            id: self.id,
            name: self.full_name.parse().ok()?,
            private: self.private,
            default_branch: self.default_branch.as_deref().unwrap_or("main").parse().ok()?,
            admin: self.permissions.is_some_and(|may| may.admin),
            archived: self.archived,
            url: self.html_url,
        })
    }
}

#[derive(Deserialize)]
struct Login {
    login: String,
}

#[async_trait]
impl GitHost for GithubClient {
    fn web_url(&self) -> String {
        self.web_url.clone()
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
        match judged(exchange(&self.api, call).await?) {
            Ok(_) | Err(GitHostError::NotFound) => Ok(()),
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
        #[derive(Deserialize)]
        struct Installations {
            installations: Vec<Installation>,
        }
        #[derive(Deserialize)]
        struct Installation {
            id: i64,
            account: Login,
        }
        if app {
            let all: Installations = self.read(&access, "/user/installations?per_page=100".to_owned()).await?;
            let owner = |one: Installation| Owner { login: one.account.login, kind: OwnerKind::Installation(one.id) };
            return Ok(all.installations.into_iter().map(owner).collect());
        }
        let own: Login = self.read(&access, "/user".to_owned()).await?;
        let organisations: Vec<Login> = self.read(&access, "/user/orgs?per_page=100".to_owned()).await?;
        let organisations = organisations.into_iter().map(|one| Owner { login: one.login, kind: OwnerKind::Organisation });
        Ok([Owner { login: own.login, kind: OwnerKind::Own }].into_iter().chain(organisations).collect())
    }

    async fn repositories(&self, access: Access, search: Search) -> Result<Listing<Repository>, GitHostError> {
        #[derive(Deserialize)]
        struct Found {
            items: Vec<RepositoryBody>,
        }
        #[derive(Deserialize)]
        struct Installed {
            repositories: Vec<RepositoryBody>,
        }
        let Search { owner, text, page } = search;
        let words = text.trim();
        let login = encode(&owner.login);
        if let OwnerKind::Installation(id) = owner.kind {
            let path = format!("/user/installations/{id}/repositories?per_page=100&page={page}");
            let answer = self.call(&access, Call::get(path)).await?;
            let all = decode::<Installed>(&answer.body)?.repositories.into_iter().filter_map(RepositoryBody::understood);
            let fits = |one: &Repository| one.name.as_str().to_ascii_lowercase().contains(&words.to_ascii_lowercase());
            return Ok(Listing { items: all.filter(fits).collect(), more: has_more(&answer.headers) });
        }
        let (path, searched) = if words.is_empty() {
            let whose = match owner.kind {
                OwnerKind::Own => "/user/repos?affiliation=owner&sort=pushed".to_owned(),
                _ => format!("/orgs/{login}/repos?sort=pushed"),
            };
            (format!("{whose}&per_page={PAGE}&page={page}"), false)
        } else {
            let query = encode(&format!("{words} in:name user:{} fork:true", owner.login));
            (format!("/search/repositories?q={query}&per_page={PAGE}&page={page}"), true)
        };
        let answer = self.call(&access, Call::get(path)).await?;
        let items = if searched { decode::<Found>(&answer.body)?.items } else { decode(&answer.body)? };
        Ok(Listing { items: items.into_iter().filter_map(RepositoryBody::understood).collect(), more: has_more(&answer.headers) })
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
        let all: Vec<Branch> = decode(&answer.body)?;
        Ok(Listing { items: all.into_iter().filter_map(|branch| branch.name.parse().ok()).collect(), more: has_more(&answer.headers) })
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
        let mut call = Call::get(format!("/repos/{repository}/branches/{}", encode(branch.as_str())));
        if let Some(etag) = etag.and_then(|etag| HeaderValue::try_from(etag).ok()) {
            call = call.header(header::IF_NONE_MATCH, etag);
        }
        let answer = self.call(&access, call).await?;
        if answer.status == StatusCode::NOT_MODIFIED {
            return Ok(HeadAnswer::Unchanged);
        }
        let etag = answer.headers.get(header::ETAG).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let Branch { commit } = decode(&answer.body)?;
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

    async fn submodules(&self, access: Access, repository: RepoName, sha: CommitSha) -> Result<Vec<Submodule>, GitHostError> {
        #[derive(Deserialize)]
        struct Tree {
            tree: Vec<Entry>,
        }
        #[derive(Deserialize)]
        struct Entry {
            path: Option<String>,
            mode: Option<String>,
            sha: Option<CommitSha>,
        }
        let tree: Tree = self.read(&access, format!("/repos/{repository}/git/trees/{sha}?recursive=1")).await?;
        let links = tree.tree.into_iter().filter(|entry| entry.mode.as_deref() == Some("160000"));
        Ok(links.filter_map(|entry| Some(Submodule { path: entry.path?, sha: entry.sha? })).collect())
    }

    async fn file(&self, access: Access, repository: RepoName, sha: CommitSha, path: String) -> Result<String, GitHostError> {
        #[derive(Deserialize)]
        struct File {
            content: String,
        }
        let path: Vec<String> = path.split('/').map(encode).collect();
        let file: File = self.read(&access, format!("/repos/{repository}/contents/{}?ref={sha}", path.join("/"))).await?;
        let packed: String = file.content.split_whitespace().collect();
        let bytes = BASE64_STANDARD.decode(packed).map_err(|_| GitHostError::Refused("a file is not readable".to_owned()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
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
        Ok(decode::<Made>(&answer.body)?.id)
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
        Ok(decode::<Made>(&answer.body)?.id)
    }

    async fn report(&self, access: Access, repository: RepoName, deployment: Option<i64>, report: Report) -> Result<(), GitHostError> {
        let (deployed, committed, words) = match report.state {
            ReportState::Queued => ("queued", "pending", "Waiting for its turn"),
            ReportState::Building => ("in_progress", "pending", "Building"),
            ReportState::Live => ("success", "success", "Live"),
            ReportState::Failed => ("failure", "failure", "The deploy failed"),
            ReportState::Cancelled => ("inactive", "error", "Not deployed: cancelled, or a newer push came first"),
        };
        if let Some(id) = deployment {
            let body = json!({
                "state": deployed, "log_url": report.log_url, "environment_url": report.environment_url, "description": words,
            });
            self.call(&access, Call::send(Method::POST, format!("/repos/{repository}/deployments/{id}/statuses"), body)).await?;
        }
        let context = format!("{CONTEXT}{}", report.environment);
        let body = json!({ "state": committed, "target_url": report.log_url, "description": words, "context": context });
        self.call(&access, Call::send(Method::POST, format!("/repos/{repository}/statuses/{}", report.sha), body)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> GithubClient {
        GithubClient::new("https://github.com", "https://api.github.com", Egress::new(&[], None).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn archives_come_from_github_s_own_hosts_only() {
        let client = client();
        let ours = |url: &str| client.is_ours(&url.parse().unwrap());
        for good in ["https://codeload.github.com/a/b/x?token=1", "https://api.github.com/x", "https://github.com/x"] {
            assert!(ours(good), "{good}");
        }
        for bad in [
            "http://codeload.github.com/x",
            "https://codeload.github.com:8443/x",
            "https://codeload.github.com.evil.example/x",
            "https://evil-github.com/x",
            "https://raw.github.com/x",
            "https://user@codeload.github.com/x",
            "https://127.0.0.1/x",
            "https://github.com@127.0.0.1/x",
        ] {
            assert!(!ours(bad), "{bad}");
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        let said = |status: u16, pairs: &[(&'static str, &'static str)], body: &str| {
            let headers = pairs.iter().map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)));
            meaning(StatusCode::from_u16(status).unwrap(), &headers.collect(), body.as_bytes())
        };
        assert_eq!(said(401, &[], ""), GitHostError::Unauthorized);
        assert_eq!(said(404, &[], ""), GitHostError::NotFound);
        assert_eq!(said(403, &[("retry-after", "30")], ""), GitHostError::RateLimited(30));
        let spent = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "784111837"), ("date", "Sun, 06 Nov 1994 08:49:37 GMT")];
        assert_eq!(said(403, &spent, ""), GitHostError::RateLimited(60));
        assert_eq!(said(403, &[], r#"{"message":"Must have admin rights"}"#), GitHostError::Forbidden("Must have admin rights".into()));
        let invalid = r#"{"message":"Validation Failed","errors":[{"message":"Hook already exists"}]}"#;
        assert_eq!(said(422, &[], invalid), GitHostError::Refused("Validation Failed: Hook already exists".into()));
        assert!(matches!(said(502, &[], ""), GitHostError::Unreachable(_)));
    }

    #[test]
    fn one_failure_fails_and_nobody_s_word_is_silence() {
        let all = |states: &[CiState]| together(states.iter().cloned());
        let failed = CiState::Failure("test".into());
        assert_eq!(all(&[]), CiState::Silent);
        assert_eq!(all(&[CiState::Silent, CiState::Success]), CiState::Success);
        assert_eq!(all(&[CiState::Success, CiState::Pending]), CiState::Pending);
        assert_eq!(all(&[CiState::Pending, failed.clone(), CiState::Success]), failed);
    }
}
