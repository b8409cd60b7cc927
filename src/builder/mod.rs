//! Owns builds: sources, the queue (the row is the queue), detection, the build run.

mod archive;
mod container;
mod detect;
mod diagnose;
mod git;
mod ignore;
mod manifest;
mod output;
mod preview;
mod python;
mod queue;
mod run;
mod source;
mod upload;
mod waste;

use std::{path::PathBuf, sync::Arc};

use futures_util::stream::BoxStream;
use secrecy::SecretString;
use tokio::sync::watch;

use crate::{
    clock::Clock,
    config::Config,
    connections::{ConnectionError, Connections},
    domain::{
        AppId, BranchName, BuildId, BuildStatus, CommitSha, RepoName, SourceId, UserId, Version, app::App, capacity::NoRoom, user::Actor,
    },
    engine::{Engine, EngineError, spec::NetworkFault},
    github::GitHost,
    host::Host,
    logs::Logs,
    plans::Plans,
    releases::{ReleaseError, Releases},
    scheduler::Tasks,
    secrets,
    slugs::{SlugError, Slugs},
    store::{Reader, StoreError, Writer, builds::NewBuild},
};

use self::{output::Outputs, queue::Queue};

pub use self::{
    output::OutputItem,
    preview::{Preview, Started},
    source::SourceTree,
    waste::Waste,
};
pub use crate::domain::build::Build;

/// A place to upload a source to, with its two capabilities (shown once).
pub struct NewSource {
    pub id: SourceId,
    pub put_token: SecretString,
    pub get_token: SecretString,
}

/// Where a build's source comes from.
#[derive(Clone, Debug)]
pub enum BuildSource {
    /// Uploaded before; named by the token in its get_url.
    Uploaded { get_token: SecretString, version: Option<String> },
    /// An uploaded source by id (dashboard).
    Stored { source: SourceId, version: Option<String> },
    /// A commit at the git host; fetched when it is built.
    Git(GitSource),
}

/// A commit of a repository.
#[derive(Clone, Debug)]
pub struct GitSource {
    pub repository: RepoName,
    pub branch: BranchName,
    pub sha: CommitSha,
    /// The first line of the commit's message.
    pub title: String,
    /// Whose access; None: public.
    pub access: Option<UserId>,
    /// A push asked for it, not a person.
    pub automatic: bool,
}

/// Why a build or an upload did not come about.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("Couldn't find that build.")]
    NoSuchBuild,
    #[error("Couldn't find that source. Its address works once and for an hour; upload it again.")]
    NoSuchSource,
    #[error("Nothing was uploaded to that source yet. PUT the archive to its put_url first.")]
    NotUploaded,
    #[error("The upload is larger than {0} MB.")]
    TooLarge(u64),
    #[error("Another upload of this source is under way, or it was uploaded already.")]
    AlreadyUploaded,
    /// What is wrong with the source or the app, as one sentence with what to do.
    #[error("{0}")]
    Rejected(String),
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    #[error("The build was cancelled.")]
    Cancelled,
    #[error("The build took longer than {0} minutes and was stopped.")]
    TimedOut(u64),
    #[error("The build printed nothing for {0} minutes and was stopped.")]
    Silent(u64),
    #[error("The compiled slug is too large (max is {0} MB). Leave out what the app does not need, for example with a .slugignore.")]
    SlugTooLarge(u64),
    #[error("A newer release took the place of {0} before it was up.")]
    Overtaken(Version),
    #[error(transparent)]
    Network(#[from] NetworkFault),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Slug(#[from] SlugError),
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("The data folder failed: {0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Everything the builder stands on.
#[derive(Clone)]
pub struct BuilderParts {
    pub config: Arc<Config>,
    pub clock: Arc<dyn Clock>,
    pub tasks: Tasks,
    pub reader: Reader,
    pub writer: Writer,
    pub engine: Arc<dyn Engine>,
    pub logs: Logs,
    pub slugs: Slugs,
    pub releases: Releases,
    pub plans: Plans,
    pub github: Arc<dyn GitHost>,
    pub connections: Connections,
    /// What the machine can bear.
    pub host: Host,
    /// The data folder.
    pub root: PathBuf,
}

/// The owner. Cheap to clone.
#[derive(Clone)]
pub struct Builder {
    parts: Arc<BuilderParts>,
    outputs: Arc<Outputs>,
    queue: Queue,
}

impl Builder {
    /// Nothing is built yet: call `start`.
    pub fn new(parts: BuilderParts) -> Builder {
        let parts = Arc::new(parts);
        let outputs = Arc::new(Outputs::new(parts.root.join("builds")));
        let queue = Queue::new(parts.clone(), outputs.clone());
        Builder { parts, outputs, queue }
    }

    /// After a restart: a build that was running is tried once more (or was released already), orphan
    /// containers of ours are removed; then the dispatcher runs (`build_slots` builds at a time).
    pub async fn start(&self) -> Result<(), BuildError> {
        for folder in ["builds", "uploads", "files"] {
            tokio::fs::create_dir_all(self.parts.root.join(folder)).await?;
        }
        git::remove_leftovers(&self.parts.root)?;
        self.queue.recover().await?;
        self.parts.tasks.spawn(self.queue.clone().dispatch());
        Ok(())
    }

    /// Queues a build. Returns it with the capability of its output stream.
    pub async fn enqueue(&self, app: AppId, source: BuildSource, by: &Actor) -> Result<(Build, SecretString), BuildError> {
        self.parts.host.has_disk()?;
        let id = BuildId::new();
        let (source, source_version, git) = match source {
            BuildSource::Git(git) => (None, Some(git.sha.to_string()), Some(git)),
            uploaded => {
                let (source, version) = self.resolve(app, uploaded, by).await?;
                (Some(source), version, None)
            }
        };
        let token = secrets::random_token();
        let row = NewBuild {
            id,
            app_id: app,
            user_id: by.id,
            user_email: by.email.as_str().to_owned(),
            source_id: source,
            source_url: git.as_ref().map(|git| format!("{}/{}", self.parts.github.web_url(), git.repository)).unwrap_or_default(),
            source_version,
            stack: self.parts.config.options.stack_run.clone(),
            output_hash: secrets::token_hash(&token),
            created_at: self.parts.clock.now(),
        };
        self.parts.writer.insert_build(&row, git.map(|git| git::row(id, git)).as_ref()).await?;
        self.outputs.announce(row.id);
        self.queue.wake.activate();
        let build = self.parts.reader.build(row.id).await?.ok_or(BuildError::NoSuchBuild)?;
        Ok((build, token))
    }

    /// Cancels a queued or running build: its container is killed. A build that has ended stays as it is.
    pub async fn cancel(&self, build: BuildId, by: &Actor) -> Result<Build, BuildError> {
        let before = self.parts.reader.build(build).await?.ok_or(BuildError::NoSuchBuild)?;
        self.queue.cancel(build).await?;
        let after = self.parts.reader.build(build).await?.ok_or(BuildError::NoSuchBuild)?;
        if before.status != after.status && after.status == BuildStatus::Cancelled {
            self.parts.logs.api(after.app_id, format!("Build cancelled by user {}", by.email));
        }
        Ok(after)
    }

    /// Cancels the automatic builds of an app that wait: a newer push comes instead. Which they were.
    pub async fn replace_waiting(&self, app: AppId) -> Result<Vec<BuildId>, BuildError> {
        let mut replaced = Vec::new();
        for build in self.parts.reader.waiting_automatic_builds(app).await? {
            if self.queue.cancel_waiting(build, "A newer push came before this build began.").await? {
                replaced.push(build);
            }
        }
        Ok(replaced)
    }

    /// Changes whenever a build is queued, begins or ends.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.outputs.changes()
    }

    /// The build whose output a capability opens.
    pub async fn by_output_token(&self, token: &SecretString) -> Result<BuildId, BuildError> {
        self.parts.reader.build_by_output(&secrets::token_hash(token)).await?.ok_or(BuildError::NoSuchBuild)
    }

    /// The output from byte `from` on; follows until the build ends.
    pub async fn output(&self, build: BuildId, from: u64) -> Result<BoxStream<'static, OutputItem>, BuildError> {
        let known = self.parts.reader.build(build).await?.ok_or(BuildError::NoSuchBuild)?;
        Ok(self.outputs.follow(build, from, known.status))
    }

    /// Cancels what waits and what runs of an app; returns when it has ended.
    pub async fn cancel_all(&self, app: AppId) -> Result<(), BuildError> {
        self.queue.cancel_all(app).await
    }

    /// The next build of the app installs everything anew. False while one waits or runs.
    ///
    /// # Errors
    /// When the database or the engine fails.
    pub async fn clear_cache(&self, app: &App) -> Result<bool, BuildError> {
        self.queue.clear_cache(app).await
    }

    /// When its dynos are gone for a while: cancels its builds, removes its images and its cache, which
    /// can be made again.
    pub async fn rest(&self, app: &App) -> Result<(), BuildError> {
        self.queue.rest(app).await
    }

    /// Before an app's rows go and after its dynos are gone: the same, and its files.
    pub async fn forget(&self, app: &App) -> Result<(), BuildError> {
        self.queue.forget(app).await
    }
}
