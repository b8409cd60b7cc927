//! The queue: the row is the queue. One dispatcher claims rows while a slot is free; one build of
//! an app at a time.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::{
    builder::{
        BuildError, BuilderParts, container,
        output::Outputs,
        run::{Done, Run, upload_path},
    },
    domain::{AppId, BuildId, BuildStatus, app::App},
    engine::spec::LABEL_KIND,
    fail_point,
    scheduler::Activator,
    store::builds::{Claimed, Ending},
};

/// Releases whose files are kept (decisions 11).
const KEPT_RELEASES: u32 = 5;
/// How often the queue is looked at without being told.
const PERIOD: Duration = Duration::from_secs(30);
/// A build is tried again once after the server died in it.
const ATTEMPTS: i64 = 2;

/// The queue and what runs. Cheap to clone.
#[derive(Clone)]
pub struct Queue {
    pub parts: Arc<BuilderParts>,
    pub outputs: Arc<Outputs>,
    pub wake: Activator,
    /// Held while a row is claimed and while one is cancelled: a build is either waiting or known here.
    claiming: Arc<AsyncMutex<()>>,
    running: Arc<Mutex<HashMap<BuildId, CancellationToken>>>,
}

impl Queue {
    pub fn new(parts: Arc<BuilderParts>, outputs: Arc<Outputs>) -> Queue {
        Queue { parts, outputs, wake: Activator::new(), claiming: Arc::default(), running: Arc::default() }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<BuildId, CancellationToken>> {
        self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Sorts out what a stopped or killed server left, before the first claim.
    pub async fn recover(&self) -> Result<(), BuildError> {
        let parts = &self.parts;
        parts.slugs.sweep().await?;
        for container in parts.engine.list().await? {
            if container.labels.get(LABEL_KIND).map(String::as_str) == Some("build") {
                parts.engine.remove(container.id).await?;
            }
        }
        for claimed in parts.reader.running_builds().await? {
            self.outputs.announce(claimed.id);
            self.recover_build(&claimed).await?;
        }
        for build in parts.reader.queued_builds().await? {
            self.outputs.announce(build);
        }
        Ok(())
    }

    async fn recover_build(&self, claimed: &Claimed) -> Result<(), BuildError> {
        let parts = &self.parts;
        if let Some((slug_id, release_id)) = parts.reader.release_of_build(claimed.id).await? {
            let ending = Ending { status: BuildStatus::Succeeded, error: None, release_id: Some(release_id), slug_id: Some(slug_id) };
            parts.writer.end_build(claimed.id, &ending, parts.clock.now()).await?;
            self.outputs.end(claimed.id, BuildStatus::Succeeded);
            return Ok(());
        }
        if claimed.attempt < ATTEMPTS {
            self.outputs.open(claimed.id)?.warning("The server was restarted in the middle of this build. It is built again.");
            return Ok(parts.writer.requeue_build(claimed.id).await?);
        }
        let sentence = "The server was restarted in the middle of this build, twice. Deploy again.".to_owned();
        let ending = Ending { status: BuildStatus::Failed, error: Some(sentence), release_id: None, slug_id: None };
        parts.writer.end_build(claimed.id, &ending, parts.clock.now()).await?;
        self.outputs.end(claimed.id, BuildStatus::Failed);
        Ok(())
    }

    /// Claims and starts builds for ever.
    pub async fn dispatch(self) {
        let slots = Arc::new(Semaphore::new(self.parts.config.options.build_slots.max(1)));
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            match self.claim().await {
                Ok(Some((claimed, cancelled))) => self.start(claimed, cancelled, slot),
                Ok(None) => {
                    drop(slot);
                    self.sweep_uploads().await;
                    tokio::select! {
                        () = tokio::time::sleep(PERIOD) => {}
                        () = self.wake.activated() => {}
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "no build could be claimed");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn claim(&self) -> Result<Option<(Claimed, CancellationToken)>, BuildError> {
        let _claiming = self.claiming.lock().await;
        let Some(claimed) = self.parts.writer.claim_build(self.parts.clock.now()).await? else { return Ok(None) };
        fail_point::reached("build.claimed");
        let cancelled = CancellationToken::new();
        self.running().insert(claimed.id, cancelled.clone());
        Ok(Some((claimed, cancelled)))
    }

    fn start(&self, claimed: Claimed, cancelled: CancellationToken, slot: OwnedSemaphorePermit) {
        let queue = self.clone();
        self.parts.tasks.spawn(async move {
            let build = claimed.id;
            if let Err(error) = queue.build(claimed, cancelled).await {
                tracing::error!(%build, %error, "a build could not be brought to its end");
            }
            queue.running().remove(&build);
            drop(slot);
            queue.wake.activate();
        });
    }

    /// One claimed build from its first line to its last.
    async fn build(&self, claimed: Claimed, cancelled: CancellationToken) -> Result<(), BuildError> {
        let parts = self.parts.clone();
        let id = claimed.id;
        let build = parts.reader.build(id).await?.ok_or(BuildError::NoSuchBuild)?;
        let app = parts.reader.app(build.app_id).await?.ok_or(BuildError::NoSuchBuild)?;
        let log = self.outputs.open(id)?;
        if claimed.attempt == 1 {
            parts.logs.api(app.id, format!("Build started by user {}", build.user_email));
        }
        let mut run = Run { parts: parts.clone(), app, build, claimed, log, phases: Vec::new(), cancelled, manifest: None };
        let outcome = run.all().await;
        container::clean_up(&parts, id).await?;
        run.end_phase();
        parts.writer.set_build_phases(id, &run.phases).await?;
        let app = run.app.clone();
        let ending = match outcome {
            Ok(Done { slug, release }) => {
                Ending { status: BuildStatus::Succeeded, error: None, release_id: Some(release), slug_id: Some(slug) }
            }
            Err(error) => {
                // A release that did not come up is told with its build.
                let made = parts.reader.release_of_build(id).await?;
                let (slug_id, release_id) = made.unzip();
                Ending { slug_id, release_id, ..close_failed(&mut run, &error) }
            }
        };
        drop(run);
        parts.writer.end_build(id, &ending, parts.clock.now()).await?;
        self.outputs.end(id, ending.status);
        if ending.status == BuildStatus::Succeeded {
            parts.logs.api(app.id, "Build succeeded");
            self.drop_old(&app).await?;
        } else {
            let page = format!("{}/apps/{}/activity/builds/{id}", parts.config.dashboard_url(), app.name);
            parts.logs.api(app.id, format!("Build failed -- check your build output: {page}"));
        }
        Ok(())
    }

    /// Cancels a build; returns when it has ended.
    pub async fn cancel(&self, build: BuildId) -> Result<(), BuildError> {
        if self.cancel_waiting(build, "The build was cancelled.").await? {
            return Ok(());
        }
        let token = self.running().get(&build).cloned();
        if let Some(token) = token {
            token.cancel();
            self.outputs.ended(build).await;
        }
        Ok(())
    }

    /// Cancels a build that waits, with this sentence; false when it does not wait.
    pub async fn cancel_waiting(&self, build: BuildId, sentence: &str) -> Result<bool, BuildError> {
        let _claiming = self.claiming.lock().await;
        let waited = self.parts.writer.cancel_queued_build(build, sentence, self.parts.clock.now()).await?;
        if waited {
            self.outputs.open(build)?.warning(sentence);
            self.outputs.end(build, BuildStatus::Cancelled);
        }
        Ok(waited)
    }

    /// Cancels all builds of an app that have not ended.
    pub async fn cancel_all(&self, app: AppId) -> Result<(), BuildError> {
        for build in self.parts.reader.unfinished_builds(app).await? {
            self.cancel(build).await?;
        }
        Ok(())
    }

    /// Removes images and files of slugs that none of the last releases runs.
    async fn drop_old(&self, app: &App) -> Result<(), BuildError> {
        let parts = &self.parts;
        let slugs = parts.reader.slugs_of(app.id, KEPT_RELEASES).await?;
        let (kept, old): (Vec<_>, Vec<_>) = slugs.into_iter().partition(|(_, kept)| *kept);
        let files_in = |list: &[(crate::slugs::Slug, bool)]| -> BTreeSet<String> {
            list.iter().flat_map(|(slug, _)| [Some(slug.code_file.clone()), slug.deps_file.clone()]).flatten().collect()
        };
        let kept_keys: BTreeSet<&str> = kept.iter().map(|(slug, _)| slug.deps_key.as_str()).collect();
        let images: Vec<_> = old.iter().map(|(slug, _)| slug.id).collect();
        let keys: Vec<String> = old.iter().map(|(slug, _)| slug.deps_key.clone()).filter(|key| !kept_keys.contains(key.as_str())).collect();
        parts.slugs.drop_images(&images, &keys).await?;
        let mut needed = parts.reader.files_of_others(app.id).await?;
        needed.extend(files_in(&kept));
        parts.slugs.drop_files(&files_in(&old), &needed)?;
        self.drop_stacks(old.into_iter().map(|(slug, _)| slug.stack).collect(), None).await
    }

    /// Of these stacks, removes what no slug of an app but `without` stands on, and no build will.
    async fn drop_stacks(&self, mut stacks: BTreeSet<String>, without: Option<AppId>) -> Result<(), BuildError> {
        stacks.remove(&self.parts.config.options.stack_run);
        if stacks.is_empty() {
            return Ok(());
        }
        let used = self.parts.reader.stacks_in_use(KEPT_RELEASES, without).await?;
        Ok(self.parts.slugs.drop_stacks(stacks.into_iter().filter(|stack| !used.contains(stack))).await?)
    }

    /// Cancels an app's builds and removes what can be made again: its images and its cache.
    pub async fn rest(&self, app: &App) -> Result<(), BuildError> {
        self.cancel_all(app.id).await?;
        let parts = &self.parts;
        let slugs = parts.reader.slugs_of(app.id, 0).await?;
        let ids: Vec<_> = slugs.iter().map(|(slug, _)| slug.id).collect();
        let keys: Vec<_> = slugs.iter().map(|(slug, _)| slug.deps_key.clone()).collect();
        parts.slugs.drop_images(&ids, &keys).await?;
        Ok(parts.engine.remove_volume(container::cache_volume(parts.slugs.instance(), app.number)).await?)
    }

    /// The next build installs everything anew, with what its index has then. False while a build of the app
    /// waits or runs: it would fill the cache again.
    pub async fn clear_cache(&self, app: &App) -> Result<bool, BuildError> {
        let parts = &self.parts;
        if parts.reader.builds(app.id, 5).await?.iter().any(|build| !build.status.is_finished()) {
            return Ok(false);
        }
        parts.writer.clear_build_cache(app.id, parts.clock.now()).await?;
        parts.engine.remove_volume(container::cache_volume(parts.slugs.instance(), app.number)).await?;
        Ok(true)
    }

    /// Before an app's rows go: no builds, files, images and cache of it are left.
    pub async fn forget(&self, app: &App) -> Result<(), BuildError> {
        self.rest(app).await?;
        let parts = &self.parts;
        let slugs = parts.reader.slugs_of(app.id, 0).await?;
        let files = slugs.iter().flat_map(|(slug, _)| [Some(slug.code_file.clone()), slug.deps_file.clone()]).flatten().collect();
        parts.slugs.drop_files(&files, &parts.reader.files_of_others(app.id).await?)?;
        self.drop_stacks(slugs.into_iter().map(|(slug, _)| slug.stack).collect(), Some(app.id)).await?;
        for build in parts.reader.builds(app.id, u32::MAX).await? {
            self.outputs.remove(build.id)?;
        }
        Ok(())
    }

    /// Removes uploads whose time is over.
    async fn sweep_uploads(&self) {
        let parts = &self.parts;
        let swept = async {
            for source in parts.reader.spent_sources(parts.clock.now()).await? {
                match tokio::fs::remove_file(upload_path(parts, &source.to_string())).await {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(BuildError::Io(error)),
                    _ => parts.writer.delete_source(source).await?,
                }
            }
            Ok(())
        };
        if let Err(error) = swept.await {
            tracing::warn!(%error, "uploads could not be swept");
        }
    }
}

/// Writes the closing lines of a build that did not succeed.
fn close_failed(run: &mut Run, error: &BuildError) -> Ending {
    let sentence = run.log.masked(&error.to_string());
    let (status, closing) = match error {
        BuildError::Cancelled => (BuildStatus::Cancelled, &[][..]),
        // It was compiled, and what failed is the start of the new dynos; or there was nothing to compile.
        BuildError::Release(_) | BuildError::Overtaken(_) | BuildError::Connection(_) => (BuildStatus::Failed, &["", "Push failed"][..]),
        _ => (BuildStatus::Failed, &["", "Push rejected, failed to compile Python app.", "", "Push failed"][..]),
    };
    for line in [sentence.as_str()].iter().chain(closing) {
        run.log.closing(format!(" !     {line}").trim_end());
    }
    Ending { status, error: Some(sentence), release_id: None, slug_id: None }
}
