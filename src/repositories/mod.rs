//! Owns the links between apps and repositories: connect, deploy a branch, follow a branch, what the
//! host delivers, and what the host is told.

mod deliveries;
mod follow;
mod preview;
mod report;

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use crate::{
    builder::{Build, BuildError, BuildSource, Builder, GitSource},
    clock::Clock,
    config::Config,
    connections::{ConnectionError, Connections},
    domain::{AppId, BranchName, CommitSha, RepoName, UserId, git::Head, user::Actor},
    github::{Access, GitHost, GitHostError, HeadAnswer, Listing, NewHook, Owner, Repository, Search},
    logs::Logs,
    scheduler::Activator,
    secrets::{KeyRing, random_token, token_hash},
    store::{Reader, StoreError, Writer, repository_links::Following},
};

pub use self::deliveries::{Given, Taken};
pub use self::follow::EVERY;
pub use self::preview::BranchPreview;
pub use crate::store::{deliveries::Delivery, repository_links::Link};

/// Branches offered to choose from.
const MAX_BRANCH_PAGES: u32 = 5;

/// Why a repository could not be linked or deployed.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    #[error("This app is not connected to a repository. Connect it in the Deploy tab.")]
    NotLinked,
    #[error("The repository has no branch `{0}`.")]
    NoSuchBranch(BranchName),
    #[error("{0}")]
    BadName(String),
    /// Only they can make a webhook.
    #[error("You need admin rights on {0} to connect it. Ask its owner for them, or to connect it.")]
    NotAdmin(RepoName),
    #[error("{0} is not there or is private. By its address only a public repository can be connected; connect to GitHub first.")]
    Private(RepoName),
    #[error("Couldn't find that delivery.")]
    NoSuchDelivery,
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<GitHostError> for RepositoryError {
    fn from(error: GitHostError) -> RepositoryError {
        ConnectionError::from(error).into()
    }
}

/// Everything repositories stand on.
#[derive(Clone)]
pub struct RepositoriesParts {
    pub config: Arc<Config>,
    pub clock: Arc<dyn Clock>,
    pub reader: Reader,
    pub writer: Writer,
    pub keys: Arc<KeyRing>,
    pub github: Arc<dyn GitHost>,
    pub connections: Connections,
    pub builder: Builder,
    pub logs: Logs,
}

/// The owner. Cheap to clone.
#[derive(Clone)]
pub struct Repositories {
    parts: RepositoriesParts,
    /// Something was delivered: look before the minute is over.
    wake: Activator,
    previews: Arc<preview::Previews>,
}

/// How an app shall follow a branch.
#[derive(Clone, Debug)]
pub struct Wish {
    pub branch: BranchName,
    pub wait_for_ci: bool,
    /// A newer push also ends a build that runs.
    pub supersede: bool,
}

impl Repositories {
    pub fn new(parts: RepositoriesParts) -> Repositories {
        Repositories { parts, wake: Activator::new(), previews: Arc::default() }
    }

    /// Activated by every delivery that may lead to a build.
    pub fn wake(&self) -> Activator {
        self.wake.clone()
    }

    pub async fn link_of(&self, app: AppId) -> Result<Option<Link>, RepositoryError> {
        Ok(self.parts.reader.link(app).await?)
    }

    /// Makes a call with somebody's access; a connection the host has ended is remembered as ended.
    async fn with_access<T, F>(&self, user: Option<UserId>, call: impl FnOnce(Access) -> F + Send) -> Result<T, RepositoryError>
    where
        F: Future<Output = Result<T, GitHostError>> + Send,
    {
        let access = self.parts.connections.access_of(user).await?;
        let outcome = call(access).await;
        if let (Err(GitHostError::Unauthorized), Some(user)) = (&outcome, user) {
            self.parts.connections.note_revoked(user).await?;
        }
        Ok(outcome?)
    }

    /// Err: nothing can be asked of the host, for a reason of this machine's.
    pub fn can_ask(&self) -> Result<(), RepositoryError> {
        Ok(self.parts.github.can_be_asked()?)
    }

    /// A link with the name its repository has now. It is found by its id: the name it had may be
    /// somebody else's by now.
    pub async fn current(&self, link: &Link) -> Result<Link, RepositoryError> {
        let (github, id) = (self.parts.github.clone(), link.host_id);
        let found = self.with_access(link.user_id, |access| async move { github.repository_by_id(access, id).await }).await?;
        self.renamed(link, found).await
    }

    /// The link after its repository was found under this name.
    async fn renamed(&self, link: &Link, found: Repository) -> Result<Link, RepositoryError> {
        let mut link = link.clone();
        if found.name != link.name {
            self.parts.logs.api(link.app_id, format!("Repository {} is {} now", link.name, found.name));
            self.parts.writer.rename_link(link.app_id, &found.name, &found.url).await?;
            (link.name, link.url, link.etag) = (found.name, found.url, None);
        }
        Ok(link)
    }

    /// Whose repositories somebody can choose from.
    pub async fn owners(&self, user: UserId) -> Result<Vec<Owner>, RepositoryError> {
        let (app, github) = (self.parts.connections.is_app().await?, self.parts.github.clone());
        self.with_access(Some(user), |access| async move { github.owners(access, app).await }).await
    }

    pub async fn search(&self, user: UserId, search: Search) -> Result<Listing<Repository>, RepositoryError> {
        let github = self.parts.github.clone();
        self.with_access(Some(user), |access| async move { github.repositories(access, search).await }).await
    }

    /// The branches of an app's repository, the default branch first.
    pub async fn branches(&self, link: &Link) -> Result<Vec<BranchName>, RepositoryError> {
        let mut found = Vec::new();
        for page in 1..=MAX_BRANCH_PAGES {
            let (github, name) = (self.parts.github.clone(), link.name.clone());
            let listing = self.with_access(link.user_id, |access| async move { github.branches(access, name, page).await }).await?;
            found.extend(listing.items);
            if !listing.more {
                break;
            }
        }
        found.sort_by_key(|branch| (*branch != link.default_branch, branch.clone()));
        Ok(found)
    }

    /// The newest commit of a branch.
    pub async fn head(&self, link: &Link, branch: &BranchName) -> Result<Head, RepositoryError> {
        let (github, name, wanted) = (self.parts.github.clone(), link.name.clone(), branch.clone());
        match self.with_access(link.user_id, |access| async move { github.head(access, name, wanted, None).await }).await {
            Ok(HeadAnswer::Now { head, .. }) => Ok(head),
            Ok(HeadAnswer::Unchanged) => Err(RepositoryError::NoSuchBranch(branch.clone())),
            Err(RepositoryError::Connection(ConnectionError::Host(GitHostError::NotFound))) => {
                Err(RepositoryError::NoSuchBranch(branch.clone()))
            }
            Err(error) => Err(error),
        }
    }

    /// Connects an app to a repository through somebody's access: they must administer it. A hook is
    /// made where the host can reach us; where it cannot, the branch is asked for each minute.
    pub async fn connect(&self, app: AppId, name: &RepoName, by: &Actor) -> Result<Link, RepositoryError> {
        let (github, wanted) = (self.parts.github.clone(), name.clone());
        let found = self.with_access(Some(by.id), |access| async move { github.repository(access, wanted).await }).await?;
        if !found.admin {
            return Err(RepositoryError::NotAdmin(found.name));
        }
        let before = self.parts.reader.link(app).await?;
        let app_hook = self.parts.connections.is_app().await?;
        let mut link = self.link_to(app, found, Some(by));
        if app_hook {
            self.parts.writer.set_link(&link).await?;
        } else {
            self.link_with_hook(&mut link, before.as_ref(), by).await?;
        }
        if let Some(before) = before {
            self.unhook(before).await;
        }
        self.parts.logs.api(app, format!("Connected to {} by user {}", link.name, by.email));
        Ok(link)
    }

    /// Connects an app to a public repository by its name or its address, without anybody's access.
    pub async fn connect_public(&self, app: AppId, text: &str, by: &Actor) -> Result<Link, RepositoryError> {
        let name = self.named(text)?;
        let (github, wanted) = (self.parts.github.clone(), name.clone());
        let found = match self.with_access(None, |access| async move { github.repository(access, wanted).await }).await {
            Err(RepositoryError::Connection(ConnectionError::Host(GitHostError::NotFound))) => return Err(RepositoryError::Private(name)),
            found => found?,
        };
        let before = self.parts.reader.link(app).await?;
        let link = self.link_to(app, found, None);
        self.parts.writer.set_link(&link).await?;
        if let Some(before) = before {
            self.unhook(before).await;
        }
        self.parts.logs.api(app, format!("Connected to {} by user {}", link.name, by.email));
        Ok(link)
    }

    /// `owner/name` of what somebody typed: that, or the address of a page on the configured host.
    fn named(&self, text: &str) -> Result<RepoName, RepositoryError> {
        let web = self.parts.github.web_url();
        let text = text.trim();
        let path = match text.split_once("://") {
            None => text,
            Some(_) => text
                .strip_prefix(&web)
                .and_then(|rest| rest.strip_prefix('/'))
                .ok_or_else(|| RepositoryError::BadName(format!("Only repositories on {web} can be connected.")))?,
        };
        let mut parts = path.trim_end_matches('/').split('/');
        let (owner, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let name = name.strip_suffix(".git").unwrap_or(name);
        format!("{owner}/{name}").parse().map_err(RepositoryError::BadName)
    }

    fn link_to(&self, app: AppId, found: Repository, by: Option<&Actor>) -> Link {
        Link {
            app_id: app,
            host_id: found.id,
            name: found.name,
            url: found.url,
            private: found.private,
            default_branch: found.default_branch,
            user_id: by.map(|by| by.id),
            branch: None,
            wait_for_ci: false,
            supersede: false,
            decided_sha: None,
            etag: None,
            asked_at: None,
            hook_id: None,
            hook_hash: None,
            hook_sealed: None,
            hook_seen_at: None,
            trouble: String::new(),
            linked_at: self.parts.clock.now(),
        }
    }

    /// Makes the link's hook at the host. The host sends a first delivery before it answers, so what
    /// the delivery is known by is kept first; a hook that cannot be made brings back what was.
    async fn link_with_hook(&self, link: &mut Link, before: Option<&Link>, by: &Actor) -> Result<(), RepositoryError> {
        let (token, secret) = (random_token(), random_token());
        let url = format!("{}/github/webhook/{}", self.parts.config.dashboard_url(), token.expose_secret());
        link.hook_hash = Some(token_hash(&token));
        link.hook_sealed = Some(self.parts.keys.seal(&hook_place(link.app_id), &secret));
        self.parts.writer.set_link(link).await?;
        match self.make_hook(&link.name, NewHook { url, secret }, by).await {
            Ok(Some(id)) => {
                link.hook_id = Some(id);
                Ok(self.parts.writer.set_hook_id(link.app_id, id).await?)
            }
            Ok(None) => Ok(()),
            Err(error) => {
                match before {
                    Some(before) => self.parts.writer.set_link(before).await?,
                    None => self.parts.writer.delete_link(link.app_id).await?,
                }
                Err(error)
            }
        }
    }

    /// The hook's id at the host; None: the host does not take one for our address.
    async fn make_hook(&self, repository: &RepoName, hook: NewHook, by: &Actor) -> Result<Option<i64>, RepositoryError> {
        let (github, name) = (self.parts.github.clone(), repository.clone());
        match self.with_access(Some(by.id), |access| async move { github.create_hook(access, name, hook).await }).await {
            Ok(id) => Ok(Some(id)),
            // A server without a public address.
            Err(RepositoryError::Connection(ConnectionError::Host(GitHostError::Refused(why)))) => {
                tracing::info!(%repository, why, "GitHub took no webhook; the branch is asked for each minute");
                Ok(None)
            }
            Err(RepositoryError::Connection(ConnectionError::Host(GitHostError::NotFound | GitHostError::Forbidden(_)))) => {
                Err(RepositoryError::NotAdmin(repository.clone()))
            }
            Err(error) => Err(error),
        }
    }

    fn hook_secret(&self, link: &Link) -> Option<SecretString> {
        self.parts.keys.open(&hook_place(link.app_id), link.hook_sealed.as_ref()?).ok()
    }

    /// Removes the hook at the host, if that can be done; what stays there is refused here.
    async fn unhook(&self, link: Link) {
        let app = link.app_id;
        if let (Some(hook), Some(user)) = (link.hook_id, link.user_id) {
            let (github, name) = (self.parts.github.clone(), link.name);
            let gone = self.with_access(Some(user), |access| async move { github.delete_hook(access, name, hook).await }).await;
            if let Err(error) = gone {
                tracing::info!(%app, %error, "a webhook stays at GitHub");
            }
        }
    }

    /// Takes the link away, and its hook at the host.
    pub async fn disconnect(&self, app: AppId, by: &Actor) -> Result<(), RepositoryError> {
        self.forget(app).await?;
        self.parts.writer.delete_link(app).await?;
        self.parts.logs.api(app, format!("Disconnected from GitHub by user {}", by.email));
        Ok(())
    }

    /// Ends somebody's connection to the host: their links lose their hooks, the authorization is revoked.
    pub async fn disconnect_account(&self, user: UserId) -> Result<(), RepositoryError> {
        for link in self.parts.reader.links_through(user).await? {
            self.unhook(link).await;
        }
        Ok(self.parts.connections.disconnect(user).await?)
    }

    /// Before an app is destroyed: its hook goes, as far as the host lets it.
    pub async fn forget(&self, app: AppId) -> Result<(), RepositoryError> {
        if let Some(link) = self.parts.reader.link(app).await? {
            self.unhook(link).await;
        }
        Ok(())
    }

    /// Deploy Branch: queues a build of the branch's head as it is now.
    pub async fn deploy(&self, app: AppId, branch: &BranchName, by: &Actor) -> Result<Build, RepositoryError> {
        let link = self.parts.reader.link(app).await?.ok_or(RepositoryError::NotLinked)?;
        let link = self.current(&link).await?;
        let head = self.head(&link, branch).await?;
        if link.branch.as_ref() == Some(branch) {
            self.parts.writer.note_head(app, Some(&head.sha), None, self.parts.clock.now()).await?;
        }
        self.build(&link, branch, &head, (by, false)).await
    }

    async fn build(
        &self,
        link: &Link,
        branch: &BranchName,
        head: &Head,
        (by, automatic): (&Actor, bool),
    ) -> Result<Build, RepositoryError> {
        let source = BuildSource::Git(GitSource {
            repository: link.name.clone(),
            branch: branch.clone(),
            sha: head.sha.clone(),
            title: head.title().to_owned(),
            access: link.user_id,
            automatic,
        });
        Ok(self.parts.builder.enqueue(link.app_id, source, by).await?.0)
    }

    /// Enables automatic deploys: what is pushed from now on is deployed.
    pub async fn follow(&self, app: AppId, wish: Wish, by: &Actor) -> Result<(), RepositoryError> {
        let link = self.parts.reader.link(app).await?.ok_or(RepositoryError::NotLinked)?;
        let head = self.head(&self.current(&link).await?, &wish.branch).await?;
        self.parts.logs.api(app, format!("Automatic deploys from {} enabled by user {}", wish.branch, by.email));
        self.set_following(app, Some(wish), Some(head.sha)).await
    }

    /// Disables automatic deploys.
    pub async fn unfollow(&self, app: AppId, by: &Actor) -> Result<(), RepositoryError> {
        self.parts.logs.api(app, format!("Automatic deploys disabled by user {}", by.email));
        self.set_following(app, None, None).await
    }

    async fn set_following(&self, app: AppId, wish: Option<Wish>, decided_sha: Option<CommitSha>) -> Result<(), RepositoryError> {
        let following = Following {
            wait_for_ci: wish.as_ref().is_some_and(|wish| wish.wait_for_ci),
            supersede: wish.as_ref().is_some_and(|wish| wish.supersede),
            branch: wish.map(|wish| wish.branch),
            decided_sha,
        };
        Ok(self.parts.writer.set_following(app, &following, self.parts.clock.now()).await?)
    }
}

fn hook_place(app: AppId) -> String {
    format!("repository_links|{app}")
}
