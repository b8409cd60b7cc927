//! Owns builds: sources, the queue (the row is the queue), detection, the build run.

mod archive;
mod detect;
mod ignore;
mod python;
mod source;

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use secrecy::SecretString;

use crate::{
    clock::Clock,
    config::Config,
    domain::{AppId, BuildId, BuildStatus, Plan, SourceId, user::Actor},
    engine::{ByteStream, Engine, EngineError},
    logs::Logs,
    releases::{ReleaseError, Releases},
    scheduler::Tasks,
    slugs::{SlugError, Slugs},
    store::{Reader, StoreError, Writer},
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
}

/// A piece of a build's output, for a follower.
#[derive(Clone, Debug)]
pub enum OutputItem {
    /// Bytes from `offset` on (whole lines while the build runs).
    Bytes { offset: u64, bytes: Bytes },
    /// The build has ended; nothing follows.
    End(BuildStatus),
}

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
    #[error("The build was cancelled.")]
    Cancelled,
    #[error("The build took longer than {0} minutes and was stopped.")]
    TimedOut(u64),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Slug(#[from] SlugError),
    #[error(transparent)]
    Release(#[from] ReleaseError),
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
    pub plan: Plan,
    /// The data folder.
    pub root: PathBuf,
}

/// The owner. Cheap to clone.
#[derive(Clone)]
pub struct Builder {
    #[expect(dead_code, reason = "filled in by the queue")]
    parts: BuilderParts,
}

impl Builder {
    pub fn new(parts: BuilderParts) -> Builder {
        Builder { parts }
    }

    /// After a restart: builds that were running end as failed (or are tried once more), orphan build
    /// containers of ours are removed; then the worker runs (one build at a time by default).
    pub async fn start(&self) -> Result<(), BuildError> {
        todo!()
    }

    /// A place for an upload, valid for an hour. `app` binds it to one app.
    pub async fn create_source(&self, app: Option<AppId>, by: &Actor) -> Result<NewSource, BuildError> {
        let _ = (app, by);
        todo!()
    }

    /// Receives the archive (tar, tar.gz or zip-free: magic bytes decide) into the data folder, size-limited.
    pub async fn receive(&self, put_token: &SecretString, body: ByteStream) -> Result<SourceId, BuildError> {
        let _ = (put_token, body);
        todo!()
    }

    /// The stored archive behind a get_url.
    pub async fn open_source(&self, get_token: &SecretString) -> Result<ByteStream, BuildError> {
        let _ = get_token;
        todo!()
    }

    /// Queues a build. Returns it with the capability of its output stream.
    pub async fn enqueue(&self, app: AppId, source: BuildSource, by: &Actor) -> Result<(Build, SecretString), BuildError> {
        let _ = (app, source, by);
        todo!()
    }

    /// Cancels a queued or running build: its container is killed.
    pub async fn cancel(&self, build: BuildId, by: &Actor) -> Result<Build, BuildError> {
        let _ = (build, by);
        todo!()
    }

    /// The build whose output a capability opens.
    pub async fn by_output_token(&self, token: &SecretString) -> Result<BuildId, BuildError> {
        let _ = token;
        todo!()
    }

    /// The output from byte `from` on; follows until the build ends.
    pub async fn output(&self, build: BuildId, from: u64) -> Result<BoxStream<'static, OutputItem>, BuildError> {
        let _ = (build, from);
        todo!()
    }

    /// Before an app is destroyed: cancels its builds, removes its files, cache and images.
    pub async fn forget(&self, app: AppId) -> Result<(), BuildError> {
        let _ = app;
        todo!()
    }
}
