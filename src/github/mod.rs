//! The git host: `trait GitHost`, and GitHub behind it. Nobody else names octocrab.
//!
//! Every call carries owned values and the access it is made with, so that a person's call never
//! borrows another person's token.

pub mod client;
pub mod fake;
pub mod oauth;
pub mod webhook;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use secrecy::SecretString;

use crate::domain::{
    BranchName, CommitSha, RepoName,
    git::{CiState, Head},
};

/// An archive on its way.
pub type ArchiveStream = BoxStream<'static, std::io::Result<Bytes>>;

/// Repositories and branches on one page.
pub const PAGE: u32 = 30;

/// With what a call is made.
#[derive(Clone, Debug)]
pub enum Access {
    /// Public repositories only; the host allows few such calls.
    Anonymous,
    Token(SecretString),
}

/// The program as it is registered at the host.
#[derive(Clone, Debug)]
pub struct OauthClient {
    pub id: String,
    pub secret: SecretString,
}

/// What the host gave for a code or a refresh token.
#[derive(Clone, Debug)]
pub struct Grant {
    pub access: SecretString,
    /// Seconds until the access token ends; None: it stays good until it is revoked.
    pub expires_in: Option<u64>,
    pub refresh: Option<SecretString>,
    /// Space or comma separated; empty for a GitHub App.
    pub scopes: String,
}

/// Somebody's account at the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostAccount {
    pub id: i64,
    pub login: String,
    /// The primary address, if the host has verified it and may tell.
    pub email: Option<String>,
}

/// Whose repositories can be chosen from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner {
    pub login: String,
    pub kind: OwnerKind,
}

/// What an owner is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OwnerKind {
    /// The person of the token.
    Own,
    Organisation,
    /// An installation of our GitHub App, by its id.
    Installation(i64),
}

/// Which repositories are wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Search {
    pub owner: Owner,
    /// Part of the name; empty: all, latest pushed first.
    pub text: String,
    /// Counted from 1.
    pub page: u32,
}

/// One page of something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listing<T> {
    pub items: Vec<T>,
    pub more: bool,
}

/// A repository as the asker sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repository {
    /// Stays the same when the repository is renamed or transferred.
    pub id: i64,
    pub name: RepoName,
    pub private: bool,
    pub default_branch: BranchName,
    /// The asker administers it; without a token nobody does.
    pub admin: bool,
    pub archived: bool,
    /// Its page.
    pub url: String,
}

/// The head of a branch, or that it is still what `etag` stood for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HeadAnswer {
    Unchanged,
    Now { head: Head, etag: Option<String> },
}

/// A folder of a tree that is another repository's commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Submodule {
    pub path: String,
    pub sha: CommitSha,
}

/// What a commit holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tree {
    pub files: Vec<TreeFile>,
    pub submodules: Vec<Submodule>,
    /// The host has left some out: it tells of some 100,000.
    pub truncated: bool,
}

/// A file of a tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TreeFile {
    pub path: String,
    /// In bytes.
    pub size: u64,
}

/// A push hook to be made.
#[derive(Clone, Debug)]
pub struct NewHook {
    pub url: String,
    pub secret: SecretString,
}

/// What the repository's page shows of a build.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    pub sha: CommitSha,
    /// The environment: the app's name.
    pub environment: String,
    pub state: ReportState,
    /// The build's page.
    pub log_url: String,
    /// The app's address.
    pub environment_url: String,
}

/// How far a build is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReportState {
    Queued,
    Building,
    Live,
    Failed,
    /// A newer push came first, or somebody cancelled it.
    Cancelled,
}

/// Why the host did not do it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GitHostError {
    #[error("GitHub does not accept the connection any more. Connect to GitHub again.")]
    Unauthorized,
    /// GitHub's own words.
    #[error("GitHub does not allow that: {0}")]
    Forbidden(String),
    #[error("GitHub has no such repository, or this account may not see it.")]
    NotFound,
    #[error("GitHub allows no more requests for {0} seconds. Try again then.")]
    RateLimited(u64),
    /// GitHub's own words.
    #[error("GitHub refused: {0}")]
    Refused(String),
    /// The OAuth error code: `bad_verification_code`, `incorrect_client_credentials`.
    #[error("GitHub did not confirm the connection ({0}). Try again.")]
    Oauth(String),
    #[error("GitHub cannot be reached: {0}")]
    Unreachable(String),
    /// No https can be spoken at all.
    #[error(
        "This machine knows no certificate authorities, so nothing at GitHub can be trusted. \
         Install the package ca-certificates, or name a file with SIESTA_EGRESS_CA, and start Siesta again."
    )]
    NoAuthorities,
}

impl GitHostError {
    /// Another try later may do.
    pub fn is_passing(&self) -> bool {
        matches!(self, GitHostError::RateLimited(_) | GitHostError::Unreachable(_) | GitHostError::NoAuthorities)
    }
}

/// The git host. One real implementation (`client`) and one in memory (`fake`); a contract suite runs
/// over both.
#[async_trait]
pub trait GitHost: Send + Sync {
    /// The repository page, or any page of the host's web site, begins with this; no trailing slash.
    fn web_url(&self) -> String;

    /// Err: every call would fail for a reason of this machine's.
    fn can_be_asked(&self) -> Result<(), GitHostError>;

    async fn exchange_code(
        &self,
        client: OauthClient,
        code: SecretString,
        verifier: SecretString,
        redirect: String,
    ) -> Result<Grant, GitHostError>;

    async fn refresh(&self, client: OauthClient, refresh: SecretString) -> Result<Grant, GitHostError>;

    /// Ends the whole authorization a token belongs to; one that is not there is ended already.
    async fn revoke(&self, client: OauthClient, token: SecretString) -> Result<(), GitHostError>;

    async fn account(&self, access: Access) -> Result<HostAccount, GitHostError>;

    /// `app`: the token is a GitHub App's, and owners are where it is installed.
    async fn owners(&self, access: Access, app: bool) -> Result<Vec<Owner>, GitHostError>;

    async fn repositories(&self, access: Access, search: Search) -> Result<Listing<Repository>, GitHostError>;

    async fn repository(&self, access: Access, name: RepoName) -> Result<Repository, GitHostError>;

    /// By its id: also after it was renamed or transferred.
    async fn repository_by_id(&self, access: Access, id: i64) -> Result<Repository, GitHostError>;

    async fn branches(&self, access: Access, repository: RepoName, page: u32) -> Result<Listing<BranchName>, GitHostError>;

    /// A question with an `etag` that is still good costs nothing of the host's allowance.
    async fn head(
        &self,
        access: Access,
        repository: RepoName,
        branch: BranchName,
        etag: Option<String>,
    ) -> Result<HeadAnswer, GitHostError>;

    /// Commit statuses and check runs together; a status whose context begins with `except` is ours.
    async fn ci(&self, access: Access, repository: RepoName, sha: CommitSha, except: String) -> Result<CiState, GitHostError>;

    /// The source of exactly this commit as a tar.gz with one top folder.
    async fn tarball(&self, access: Access, repository: RepoName, sha: CommitSha) -> Result<ArchiveStream, GitHostError>;

    /// The files and submodules of a commit.
    async fn tree(&self, access: Access, repository: RepoName, sha: CommitSha) -> Result<Tree, GitHostError>;

    /// A small file of a commit, of at most 1 MB.
    async fn file(&self, access: Access, repository: RepoName, sha: CommitSha, path: String) -> Result<Vec<u8>, GitHostError>;

    /// Makes a hook for pushes and checks; its id.
    async fn create_hook(&self, access: Access, repository: RepoName, hook: NewHook) -> Result<i64, GitHostError>;

    /// Removes a hook; one that is not there is removed already.
    async fn delete_hook(&self, access: Access, repository: RepoName, hook: i64) -> Result<(), GitHostError>;

    /// Makes a deployment to report on; its id.
    async fn create_deployment(
        &self,
        access: Access,
        repository: RepoName,
        sha: CommitSha,
        environment: String,
    ) -> Result<i64, GitHostError>;

    /// Says how far a build is: at its deployment if there is one, and at its commit.
    async fn report(&self, access: Access, repository: RepoName, deployment: Option<i64>, report: Report) -> Result<(), GitHostError>;
}
