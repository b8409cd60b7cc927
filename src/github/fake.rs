//! A git host in memory, for tests: people with tokens, repositories with branches and files. It
//! follows what the contract suite shows of the real one.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};

use crate::{
    domain::{
        BranchName, CommitSha, RepoName,
        git::{CiState, Head},
    },
    github::{
        Access, ArchiveStream, GitHost, GitHostError, Grant, HeadAnswer, HostAccount, Listing, NewHook, OauthClient, Owner, OwnerKind,
        PAGE, Report, Repository, Search, Submodule, Tree, TreeFile, oauth::challenge,
    },
};

/// The host. Clones are the same host.
#[derive(Clone, Default)]
pub struct FakeGitHub(Arc<Mutex<World>>);

#[derive(Default)]
struct World {
    people: BTreeMap<String, HostAccount>,
    organisations: BTreeMap<String, BTreeSet<String>>,
    /// Code -> login, challenge, scopes.
    codes: BTreeMap<String, (String, String, String)>,
    /// Access token -> login.
    tokens: BTreeMap<String, String>,
    refreshes: BTreeMap<String, String>,
    repositories: Vec<Repo>,
    ci: BTreeMap<CommitSha, CiState>,
    reports: Vec<(RepoName, Option<i64>, Report)>,
    failure: Option<GitHostError>,
    /// Trees are too large to be told whole.
    cut_trees: bool,
    hook_failure: Option<GitHostError>,
    next: i64,
    heads_asked: u64,
    short_lived: bool,
    /// We are a GitHub App: only what it is installed on is reached.
    app: bool,
    installations: BTreeMap<i64, Installation>,
    deaf: Option<GitHostError>,
}

/// A GitHub App on somebody's account, with the repositories that were chosen.
struct Installation {
    login: String,
    chosen: BTreeSet<RepoName>,
}

struct Repo {
    id: i64,
    name: RepoName,
    private: bool,
    admins: BTreeSet<String>,
    branches: BTreeMap<BranchName, CommitSha>,
    commits: BTreeMap<CommitSha, Commit>,
    hooks: BTreeMap<i64, NewHook>,
}

struct Commit {
    head: Head,
    files: BTreeMap<String, String>,
    submodules: Vec<Submodule>,
}

impl World {
    fn number(&mut self) -> i64 {
        self.next += 1;
        self.next
    }

    fn who(&self, access: &Access) -> Result<Option<String>, GitHostError> {
        if let Some(failure) = self.deaf.as_ref().or(self.failure.as_ref()) {
            return Err(failure.clone());
        }
        match access {
            Access::Anonymous => Ok(None),
            Access::Token(token) => self.tokens.get(token.expose_secret()).cloned().map(Some).ok_or(GitHostError::Unauthorized),
        }
    }

    fn somebody(&self, access: &Access) -> Result<String, GitHostError> {
        self.who(access)?.ok_or(GitHostError::Unauthorized)
    }

    fn seen(&self, access: &Access, is: impl Fn(&Repo) -> bool) -> Result<&Repo, GitHostError> {
        let who = self.who(access)?;
        let reached = |repo: &Repo| !self.app || self.installations.values().any(|one| one.chosen.contains(&repo.name));
        let visible = |repo: &&Repo| !repo.private || (who.as_ref().is_some_and(|who| repo.admins.contains(who)) && reached(repo));
        self.repositories.iter().filter(visible).find(|repo| is(repo)).ok_or(GitHostError::NotFound)
    }

    fn named(&self, access: &Access, name: &RepoName) -> Result<&Repo, GitHostError> {
        self.seen(access, |repo| repo.name == *name)
    }

    fn administered(&mut self, access: &Access, name: &RepoName) -> Result<&mut Repo, GitHostError> {
        let who = self.somebody(access)?;
        self.named(access, name)?;
        let repo = self.repositories.iter_mut().find(|repo| repo.name == *name).ok_or(GitHostError::NotFound)?;
        // GitHub does not tell who is no administrator that there are hooks.
        if repo.admins.contains(&who) { Ok(repo) } else { Err(GitHostError::NotFound) }
    }

    fn shown(&self, access: &Access, repo: &Repo) -> Result<Repository, GitHostError> {
        let who = self.who(access)?;
        Ok(Repository {
            id: repo.id,
            name: repo.name.clone(),
            private: repo.private,
            default_branch: "main".parse().expect("a branch"),
            admin: who.is_some_and(|who| repo.admins.contains(&who)),
            archived: false,
            url: format!("https://github.test/{}", repo.name),
        })
    }

    fn commit(&self, access: &Access, name: &RepoName, sha: &CommitSha) -> Result<&Commit, GitHostError> {
        self.named(access, name)?.commits.get(sha).ok_or(GitHostError::NotFound)
    }

    fn grant(&mut self, login: &str, scopes: String) -> Grant {
        let scopes = if self.app { String::new() } else { scopes };
        let access = format!("gho_{login}_{}", self.number());
        self.tokens.insert(access.clone(), login.to_owned());
        if !self.short_lived {
            return Grant { access: access.into(), expires_in: None, refresh: None, scopes };
        }
        let refresh = format!("ghr_{login}_{}", self.number());
        self.refreshes.insert(refresh.clone(), login.to_owned());
        Grant { access: access.into(), expires_in: Some(28_800), refresh: Some(refresh.into()), scopes }
    }
}

/// A part of a list.
fn part<T>(items: Vec<T>, page: u32, size: u32) -> Listing<T> {
    let (from, size) = (((page.max(1) - 1) * size) as usize, size as usize);
    let more = items.len() > from + size;
    Listing { items: items.into_iter().skip(from).take(size).collect(), more }
}

/// How tests arrange the host.
impl FakeGitHub {
    pub fn new() -> FakeGitHub {
        FakeGitHub::default()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody with an account.
    pub fn person(&self, login: &str, email: Option<&str>) -> HostAccount {
        let mut world = self.world();
        let account = HostAccount { id: world.number(), login: login.to_owned(), email: email.map(str::to_owned) };
        world.people.insert(login.to_owned(), account.clone());
        account
    }

    pub fn organisation(&self, login: &str, members: &[&str]) {
        self.world().organisations.insert(login.to_owned(), members.iter().map(|member| (*member).to_owned()).collect());
    }

    /// From now on tokens last eight hours and come with a refresh token, as a GitHub App's do.
    pub fn give_short_lived_tokens(&self) {
        self.world().short_lived = true;
    }

    /// From now on we are a GitHub App there: it must be installed, and its tokens are short-lived.
    pub fn be_an_app(&self) {
        let mut world = self.world();
        (world.app, world.short_lived) = (true, true);
    }

    /// Installs the GitHub App on somebody's account for these repositories, or others than before.
    pub fn install(&self, login: &str, chosen: &[&RepoName]) {
        let mut world = self.world();
        world.installations.retain(|_, one| one.login != login);
        let id = world.number();
        let chosen = chosen.iter().map(|name| (*name).clone()).collect();
        world.installations.insert(id, Installation { login: login.to_owned(), chosen });
    }

    pub fn uninstall(&self, login: &str) {
        self.world().installations.retain(|_, one| one.login != login);
    }

    /// Nothing can be asked of the host, for a reason of this machine's.
    pub fn be_out_of_reach(&self, why: Option<GitHostError>) {
        self.world().deaf = why;
    }

    /// What the host's page does when somebody allows the program of this address: the code.
    pub fn allow(&self, login: &str, address: &str) -> String {
        let value = |name: &str| {
            let pairs = address.split_once('?').map_or("", |(_, query)| query).split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next().unwrap_or_default()
        };
        let mut world = self.world();
        let code = format!("code{}", world.number());
        world
            .codes
            .insert(code.clone(), (login.to_owned(), value("code_challenge"), value("scope").replace("%20", " ").replace("%3A", ":")));
        code
    }

    /// A token of somebody without the web flow.
    pub fn token(&self, login: &str) -> Access {
        Access::Token(self.world().grant(login, "repo".to_owned()).access)
    }

    /// Ends all tokens of somebody.
    pub fn revoke_all(&self, login: &str) {
        self.world().tokens.retain(|_, known| known != login);
    }

    /// An empty repository, administered by these people.
    pub fn repository_of(&self, name: &str, private: bool, admins: &[&str]) -> RepoName {
        let mut world = self.world();
        let name: RepoName = name.parse().expect("owner/name");
        let repo = Repo {
            id: world.number(),
            name: name.clone(),
            private,
            admins: admins.iter().map(|admin| (*admin).to_owned()).collect(),
            branches: BTreeMap::new(),
            commits: BTreeMap::new(),
            hooks: BTreeMap::new(),
        };
        world.repositories.push(repo);
        name
    }

    fn change<T>(&self, name: &RepoName, change: impl FnOnce(&mut Repo) -> T) -> T {
        change(self.world().repositories.iter_mut().find(|repo| repo.name == *name).expect("a repository"))
    }

    /// Pushes a commit with these files to a branch.
    pub fn push(&self, name: &RepoName, branch: &str, message: &str, files: &[(&str, &str)]) -> CommitSha {
        let files: BTreeMap<_, _> = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let number = self.world().number();
        let sha: CommitSha = hex::encode(&Sha256::digest(format!("{number}{message}{files:?}"))[..20]).parse().expect("40 digits");
        let head = Head { sha: sha.clone(), message: message.to_owned(), author: "ana".to_owned() };
        self.change(name, |repo| {
            repo.commits.insert(sha.clone(), Commit { head, files, submodules: Vec::new() });
            repo.branches.insert(branch.parse().expect("a branch"), sha.clone());
        });
        sha
    }

    /// Puts another repository's commit into a folder of a commit.
    pub fn add_submodule(&self, name: &RepoName, sha: &CommitSha, path: &str, of: &CommitSha) {
        let submodule = Submodule { path: path.to_owned(), sha: of.clone() };
        self.change(name, |repo| repo.commits.get_mut(sha).expect("a commit").submodules.push(submodule));
    }

    /// Moves a branch to a commit that is there, as a forced push does.
    pub fn force(&self, name: &RepoName, branch: &str, sha: &CommitSha) {
        self.change(name, |repo| repo.branches.insert(branch.parse().expect("a branch"), sha.clone()));
    }

    pub fn delete_branch(&self, name: &RepoName, branch: &str) {
        self.change(name, |repo| repo.branches.remove(&branch.parse::<BranchName>().expect("a branch")));
    }

    pub fn rename(&self, name: &RepoName, to: &str) -> RepoName {
        let to: RepoName = to.parse().expect("owner/name");
        self.change(name, |repo| repo.name = to.clone());
        to
    }

    /// Gives a repository the id that it has at the real host.
    pub fn renumber(&self, name: &RepoName, id: i64) {
        self.change(name, |repo| repo.id = id);
    }

    pub fn delete(&self, name: &RepoName) {
        self.world().repositories.retain(|repo| repo.name != *name);
    }

    pub fn set_ci(&self, sha: &CommitSha, state: CiState) {
        self.world().ci.insert(sha.clone(), state);
    }

    /// Every call fails so until it is lifted.
    pub fn fail_with(&self, failure: Option<GitHostError>) {
        self.world().failure = failure;
    }

    /// Trees lose what comes after their first file, as those of huge repositories do.
    pub fn cut_trees(&self, cut: bool) {
        self.world().cut_trees = cut;
    }

    /// Making a hook fails so until it is lifted.
    pub fn fail_hooks_with(&self, failure: Option<GitHostError>) {
        self.world().hook_failure = failure;
    }

    pub fn hooks(&self, name: &RepoName) -> Vec<NewHook> {
        self.change(name, |repo| repo.hooks.values().cloned().collect())
    }

    pub fn reports(&self) -> Vec<(RepoName, Option<i64>, Report)> {
        self.world().reports.clone()
    }

    /// How many times a branch's head was asked for and had to be told.
    pub fn heads_told(&self) -> u64 {
        self.world().heads_asked
    }

    /// The body of the delivery for the head of a branch as it is now; without the branch: it was deleted.
    pub fn push_payload(&self, name: &RepoName, branch: &str) -> String {
        let (id, head) = self.change(name, |repo| (repo.id, repo.branches.get(&branch.parse::<BranchName>().expect("a branch")).cloned()));
        let after = head.as_ref().map_or_else(|| "0".repeat(40), ToString::to_string);
        serde_json::json!({
            "ref": format!("refs/heads/{branch}"), "before": "0".repeat(40), "after": after, "deleted": head.is_none(),
            "repository": { "id": id, "full_name": name }, "pusher": { "name": "ana" },
        })
        .to_string()
    }
}

#[async_trait]
impl GitHost for FakeGitHub {
    fn web_url(&self) -> String {
        "https://github.test".to_owned()
    }

    fn can_be_asked(&self) -> Result<(), GitHostError> {
        self.world().deaf.clone().map_or(Ok(()), Err)
    }

    async fn exchange_code(
        &self,
        client: OauthClient,
        code: SecretString,
        verifier: SecretString,
        _redirect: String,
    ) -> Result<Grant, GitHostError> {
        let mut world = self.world();
        world.who(&Access::Anonymous)?;
        if client.secret.expose_secret() == "wrong" {
            return Err(GitHostError::Oauth("incorrect_client_credentials".to_owned()));
        }
        let bad = || GitHostError::Oauth("bad_verification_code".to_owned());
        let (login, asked, scopes) = world.codes.remove(code.expose_secret()).ok_or_else(bad)?;
        if asked != challenge(&verifier) {
            return Err(bad());
        }
        Ok(world.grant(&login, scopes))
    }

    async fn refresh(&self, _client: OauthClient, refresh: SecretString) -> Result<Grant, GitHostError> {
        let mut world = self.world();
        world.who(&Access::Anonymous)?;
        let login = world.refreshes.remove(refresh.expose_secret()).ok_or(GitHostError::Oauth("bad_refresh_token".to_owned()))?;
        Ok(world.grant(&login, String::new()))
    }

    async fn revoke(&self, _client: OauthClient, token: SecretString) -> Result<(), GitHostError> {
        let mut world = self.world();
        world.who(&Access::Anonymous)?;
        if let Some(login) = world.tokens.get(token.expose_secret()).cloned() {
            world.tokens.retain(|_, known| *known != login);
        }
        Ok(())
    }

    async fn account(&self, access: Access) -> Result<HostAccount, GitHostError> {
        let world = self.world();
        let login = world.somebody(&access)?;
        world.people.get(&login).cloned().ok_or(GitHostError::Unauthorized)
    }

    async fn owners(&self, access: Access, app: bool) -> Result<Vec<Owner>, GitHostError> {
        let world = self.world();
        let login = world.somebody(&access)?;
        if app {
            let mine = |one: &Installation| {
                one.login == login || world.organisations.get(&one.login).is_some_and(|members| members.contains(&login))
            };
            let installed = world.installations.iter().filter(|(_, one)| mine(one));
            return Ok(installed.map(|(id, one)| Owner { login: one.login.clone(), kind: OwnerKind::Installation(*id) }).collect());
        }
        let member = world.organisations.iter().filter(|(_, members)| members.contains(&login));
        let organisations = member.map(|(name, _)| Owner { login: name.clone(), kind: OwnerKind::Organisation }).collect::<Vec<_>>();
        Ok([Owner { login: login.clone(), kind: OwnerKind::Own }].into_iter().chain(organisations).collect())
    }

    async fn repositories(&self, access: Access, search: Search) -> Result<Listing<Repository>, GitHostError> {
        let world = self.world();
        let who = world.somebody(&access)?;
        let fits = |repo: &&Repo| {
            let name = repo.name.as_str().split('/').nth(1).unwrap_or_default();
            let chosen = match search.owner.kind {
                OwnerKind::Installation(id) => world.installations.get(&id).is_some_and(|one| one.chosen.contains(&repo.name)),
                OwnerKind::Own | OwnerKind::Organisation => true,
            };
            let seen = !repo.private || repo.admins.contains(&who);
            repo.name.owner() == search.owner.login && name.contains(search.text.trim()) && seen && chosen
        };
        let all: Result<Vec<_>, _> = world.repositories.iter().rev().filter(fits).map(|repo| world.shown(&access, repo)).collect();
        Ok(part(all?, search.page, PAGE))
    }

    async fn repository(&self, access: Access, name: RepoName) -> Result<Repository, GitHostError> {
        let world = self.world();
        world.shown(&access, world.named(&access, &name)?)
    }

    async fn repository_by_id(&self, access: Access, id: i64) -> Result<Repository, GitHostError> {
        let world = self.world();
        world.shown(&access, world.seen(&access, |repo| repo.id == id)?)
    }

    async fn branches(&self, access: Access, repository: RepoName, page: u32) -> Result<Listing<BranchName>, GitHostError> {
        Ok(part(self.world().named(&access, &repository)?.branches.keys().cloned().collect(), page, 100))
    }

    async fn head(
        &self,
        access: Access,
        repository: RepoName,
        branch: BranchName,
        etag: Option<String>,
    ) -> Result<HeadAnswer, GitHostError> {
        let mut world = self.world();
        let repo = world.named(&access, &repository)?;
        let sha = repo.branches.get(&branch).ok_or(GitHostError::NotFound)?;
        let now = Some(format!("\"{sha}\""));
        if etag == now {
            return Ok(HeadAnswer::Unchanged);
        }
        let answer = HeadAnswer::Now { head: repo.commits[sha].head.clone(), etag: now };
        world.heads_asked += 1;
        Ok(answer)
    }

    async fn ci(&self, access: Access, repository: RepoName, sha: CommitSha, _except: String) -> Result<CiState, GitHostError> {
        let world = self.world();
        world.commit(&access, &repository, &sha)?;
        Ok(world.ci.get(&sha).cloned().unwrap_or(CiState::Silent))
    }

    async fn tarball(&self, access: Access, repository: RepoName, sha: CommitSha) -> Result<ArchiveStream, GitHostError> {
        let world = self.world();
        let top = format!("{}-{}", repository.as_str().replace('/', "-"), &sha.as_str()[..7]);
        let archive =
            pack(&top, &world.commit(&access, &repository, &sha)?.files).map_err(|error| GitHostError::Refused(error.to_string()))?;
        Ok(futures_util::stream::iter([Ok(Bytes::from(archive))]).boxed())
    }

    async fn tree(&self, access: Access, repository: RepoName, sha: CommitSha) -> Result<Tree, GitHostError> {
        let world = self.world();
        let commit = world.commit(&access, &repository, &sha)?;
        let files = commit.files.iter().map(|(path, content)| TreeFile { path: path.clone(), size: content.len() as u64 });
        let whole = if world.cut_trees { 1 } else { usize::MAX };
        Ok(Tree { files: files.take(whole).collect(), submodules: commit.submodules.clone(), truncated: world.cut_trees })
    }

    async fn file(&self, access: Access, repository: RepoName, sha: CommitSha, path: String) -> Result<Vec<u8>, GitHostError> {
        self.world().commit(&access, &repository, &sha)?.files.get(&path).cloned().map(String::into_bytes).ok_or(GitHostError::NotFound)
    }

    async fn create_hook(&self, access: Access, repository: RepoName, hook: NewHook) -> Result<i64, GitHostError> {
        let mut world = self.world();
        if let Some(failure) = &world.hook_failure {
            return Err(failure.clone());
        }
        let id = world.number();
        world.administered(&access, &repository)?.hooks.insert(id, hook);
        Ok(id)
    }

    async fn delete_hook(&self, access: Access, repository: RepoName, hook: i64) -> Result<(), GitHostError> {
        self.world().administered(&access, &repository)?.hooks.remove(&hook);
        Ok(())
    }

    async fn create_deployment(
        &self,
        access: Access,
        repository: RepoName,
        sha: CommitSha,
        _environment: String,
    ) -> Result<i64, GitHostError> {
        let mut world = self.world();
        world.commit(&access, &repository, &sha)?;
        world.somebody(&access)?;
        Ok(world.number())
    }

    async fn report(&self, access: Access, repository: RepoName, deployment: Option<i64>, report: Report) -> Result<(), GitHostError> {
        let mut world = self.world();
        world.somebody(&access)?;
        world.commit(&access, &repository, &report.sha)?;
        world.reports.push((repository, deployment, report));
        Ok(())
    }
}

/// A tar.gz of these files under one top folder.
fn pack(top: &str, files: &BTreeMap<String, String>) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("{top}/{path}"), text.as_bytes())?;
    }
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&archive.into_inner()?)?;
    packed.finish()
}
