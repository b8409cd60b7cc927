//! Owns releases: deploy, set config vars, roll back. A release is a slug and a config snapshot
//! under a number that grows by one for ever. One whose Procfile has a `release` command becomes the
//! current one when that has succeeded (`phase`).

mod phase;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use crate::{
    clock::Clock,
    domain::{
        AppId, ConfigKey, ConfigSetId, ConfigVars, ProcessType, ReleaseId, ReleaseStatus, SlugId, Version,
        addon::AttachmentName,
        config_var::ConfigVarError,
        event::{EventKind, NewEvent},
        release::Cause,
        user::Actor,
    },
    dynos::{DynoError, Dynos, open_config},
    fail_point,
    logs::Logs,
    scheduler::Tasks,
    secrets::KeyRing,
    slugs::{Slug, Slugs},
    store::{
        Reader, StoreError, Writer,
        config_sets::SealedConfig,
        releases::{NewRelease, NewSlug, ReleaseDraft},
    },
};

use self::phase::{Phase, Turns};
pub use crate::domain::release::Release;

/// Why a release could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    #[error("Couldn't find that app.")]
    NoSuchApp,
    #[error("Couldn't find that release.")]
    NoSuchRelease,
    #[error("{0} has no code to run. Choose a release that was deployed.")]
    NotEligible(Version),
    #[error("The code of {0} is not kept any more: that of the newest releases is. Deploy it again.")]
    NotKept(Version),
    /// Heroku's words.
    #[error("Cannot overwrite attachment values {0}.")]
    OwnedByAddon(String),
    /// The release command failed; what ran before runs on.
    #[error("{0}")]
    Phase(String),
    #[error(transparent)]
    Config(#[from] ConfigVarError),
    #[error(transparent)]
    Dynos(#[from] DynoError),
    #[error("The config vars of this release cannot be opened: the key file does not fit the database.")]
    Sealed,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Everything releases stand on.
#[derive(Clone)]
pub struct ReleasesParts {
    pub reader: Reader,
    pub writer: Writer,
    pub dynos: Dynos,
    pub slugs: Slugs,
    pub logs: Logs,
    pub keys: Arc<KeyRing>,
    pub clock: Arc<dyn Clock>,
    pub tasks: Tasks,
}

/// The owner. Cheap to clone.
#[derive(Clone)]
pub struct Releases {
    parts: ReleasesParts,
    turns: Turns,
}

/// What a new release changes of the current one.
struct Change<'a> {
    cause: Cause,
    slug: NewSlug<'a>,
    vars: ConfigVars,
    event: Option<NewEvent>,
    /// Without code there is nothing to bring up.
    status: ReleaseStatus,
    /// It waits for its release phase.
    phase: bool,
}

impl Change<'_> {
    fn phase_of(slug: Option<&Slug>) -> bool {
        slug.is_some_and(|slug| slug.process_types.command(&ProcessType::release()).is_some())
    }
}

impl Releases {
    pub fn new(parts: ReleasesParts) -> Releases {
        Releases { parts, turns: Turns::default() }
    }

    /// After a restart and after `Dynos::start`: brings up what was being released when the server stopped.
    pub async fn start(&self) -> Result<(), ReleaseError> {
        for release in self.parts.reader.pending_releases().await? {
            self.take_up(&release).await?;
        }
        Ok(())
    }

    /// The same for one app that comes back from the bin: what was being released when it went there.
    pub async fn resume(&self, app: AppId) -> Result<(), ReleaseError> {
        for release in self.parts.reader.pending_releases().await?.into_iter().filter(|release| release.app_id == app) {
            self.take_up(&release).await?;
        }
        Ok(())
    }

    async fn take_up(&self, release: &Release) -> Result<(), ReleaseError> {
        let current = self.parts.reader.current_release(release.app_id).await?;
        let overtaken = current.is_some_and(|current| current.version > release.version);
        if release.current {
            self.bring_up(release, None);
        } else if !overtaken && Change::phase_of(self.slug(release.slug_id).await?.as_ref()) {
            self.bring_up(release, Some(Phase::again()));
        } else {
            self.parts.writer.finish_release(release.id, ReleaseStatus::Failed, self.parts.clock.now()).await?;
        }
        Ok(())
    }

    /// v1 `Initial release` and v2 `Enable Logplex`, no slug, no config; commits the new app with
    /// them. Called once by `apps` inside creation.
    pub async fn initial(&self, mut draft: ReleaseDraft, by: &Actor) -> Result<Release, ReleaseError> {
        let app = draft.app();
        let blank = |cause| Change {
            cause,
            slug: NewSlug::None,
            vars: ConfigVars::default(),
            event: None,
            status: ReleaseStatus::Succeeded,
            phase: false,
        };
        let releases =
            [self.write(&mut draft, blank(Cause::Initial), by).await?, self.write(&mut draft, blank(Cause::EnableLogplex), by).await?];
        draft.commit().await?;
        for release in &releases {
            self.log(app, release, by);
        }
        let [_, current] = releases;
        Ok(current)
    }

    /// Writes the slug and the release `Deploy 1a2b3c4d` in one transaction, then brings it up and
    /// waits for that. A release that does not boot is still the current one only when nothing
    /// served before; otherwise the old one goes on serving and this one is marked failed.
    pub async fn deploy(&self, app: AppId, slug: Slug, label: &str, by: &Actor) -> Result<Release, ReleaseError> {
        self.deploy_telling(app, (slug, label), by, None).await
    }

    /// The same; `lines` gets the output of the release command as it comes.
    ///
    /// # Errors
    /// When the release command fails, or the new dynos do not boot.
    pub async fn deploy_telling(
        &self,
        app: AppId,
        (slug, label): (Slug, &str),
        by: &Actor,
        lines: Option<mpsc::Sender<String>>,
    ) -> Result<Release, ReleaseError> {
        self.put_live((app, slug), (Cause::Deploy(label.to_owned()), label), by, lines).await
    }

    /// The same with a slug that another app ran: `Promote tienda-staging v12 1a2b3c4d`.
    pub async fn promote(&self, app: AppId, slug: Slug, from: &str, by: &Actor) -> Result<Release, ReleaseError> {
        self.put_live((app, slug), (Cause::Promote(from.to_owned()), from), by, None).await
    }

    async fn put_live(
        &self,
        (app, slug): (AppId, Slug),
        (cause, label): (Cause, &str),
        by: &Actor,
        lines: Option<mpsc::Sender<String>>,
    ) -> Result<Release, ReleaseError> {
        let mut draft = self.parts.writer.draft_release(app).await?;
        let (_, config) = draft.current().await?.ok_or(ReleaseError::NoSuchApp)?;
        let change = Change {
            event: Some(event(EventKind::Deploy, by, json!({ "commit": label }))),
            cause,
            slug: NewSlug::New(&slug),
            vars: self.open(&config)?,
            status: ReleaseStatus::Pending,
            phase: Change::phase_of(Some(&slug)),
        };
        let phase = change.phase.then(|| Phase::telling(lines));
        let release = self.commit(draft, change, by).await?;
        match self.bring_up(&release, phase).await {
            Ok(Err(ReleaseError::Dynos(DynoError::Superseded(_)))) => {
                return Ok(Release { status: ReleaseStatus::Failed, current: false, ..release });
            }
            Ok(outcome) => outcome?,
            // The server stops; the release is brought up when it is back.
            Err(_) => return Ok(release),
        }
        Ok(Release { status: ReleaseStatus::Succeeded, current: true, ..release })
    }

    /// Changes config vars (None removes) and releases. No effective change makes no release: `Ok(None)`.
    /// Returns when it is written; the dynos follow (the release is pending until they have).
    /// Variables of attached add-ons are not the user's to change.
    pub async fn set_config(
        &self,
        app: AppId,
        changes: BTreeMap<ConfigKey, Option<SecretString>>,
        by: &Actor,
    ) -> Result<Option<Release>, ReleaseError> {
        let names = self.parts.reader.attachment_names(app).await?;
        let owned: Vec<String> =
            names.iter().filter(|(name, now)| *now && changes.contains_key(&name.key())).map(|(name, _)| name.key().to_string()).collect();
        if !owned.is_empty() {
            return Err(ReleaseError::OwnedByAddon(owned.join(", ")));
        }
        self.change_config(app, changes, by, |set, removed| Cause::Config { set, removed }).await
    }

    /// Sets (or with None removes) the variable of an attachment, for the reason given. Otherwise like `set_config`.
    pub async fn set_attachment(
        &self,
        app: AppId,
        (name, value): (&AttachmentName, Option<SecretString>),
        cause: Cause,
        by: &Actor,
    ) -> Result<Option<Release>, ReleaseError> {
        self.change_config(app, BTreeMap::from([(name.key(), value)]), by, |_, _| cause).await
    }

    async fn change_config(
        &self,
        app: AppId,
        changes: BTreeMap<ConfigKey, Option<SecretString>>,
        by: &Actor,
        cause: impl FnOnce(Vec<ConfigKey>, Vec<ConfigKey>) -> Cause + Send,
    ) -> Result<Option<Release>, ReleaseError> {
        let mut draft = self.parts.writer.draft_release(app).await?;
        let (slug, config) = draft.current().await?.ok_or(ReleaseError::NoSuchApp)?;
        let old = self.open(&config)?;
        let vars = old.change(&changes)?;
        let value = |vars: &ConfigVars, key: &ConfigKey| vars.get(key.as_str()).map(|value| value.expose_secret().to_owned());
        let (set, removed): (Vec<_>, Vec<_>) =
            changes.into_keys().filter(|key| value(&old, key) != value(&vars, key)).partition(|key| vars.get(key.as_str()).is_some());
        if set.is_empty() && removed.is_empty() {
            return Ok(None);
        }
        let names = |keys: &[ConfigKey]| keys.iter().map(ConfigKey::to_string).collect::<Vec<_>>();
        let detail = json!({ "set": names(&set), "removed": names(&removed) });
        let phase = Change::phase_of(self.slug(slug).await?.as_ref());
        let change = Change {
            cause: cause(set, removed),
            slug: slug.map_or(NewSlug::None, NewSlug::Stored),
            vars,
            event: Some(event(EventKind::Config, by, detail)),
            status: status_for(slug),
            phase,
        };
        let release = self.commit(draft, change, by).await?;
        if slug.is_some() {
            self.bring_up(&release, phase.then(|| Phase::telling(None)));
        }
        Ok(Some(release))
    }

    /// The code of an app that is kept, so that one can roll back to it.
    pub async fn kept_slugs(&self, app: AppId) -> Result<BTreeSet<SlugId>, ReleaseError> {
        let all = self.parts.reader.slugs_of(app, 0).await?;
        Ok(all.into_iter().filter(|(slug, _)| self.parts.slugs.has_files(slug)).map(|(slug, _)| slug.id).collect())
    }

    /// A new release with the slug and config of an older one: `Rollback to v46`. Returns when it is
    /// written; the dynos follow.
    pub async fn rollback(&self, app: AppId, to: ReleaseId, by: &Actor) -> Result<Release, ReleaseError> {
        let old = self.parts.reader.release(to).await?.filter(|old| old.app_id == app).ok_or(ReleaseError::NoSuchRelease)?;
        let slug = old.slug_id.ok_or(ReleaseError::NotEligible(old.version))?;
        let code = self.slug(Some(slug)).await?.ok_or(ReleaseError::NotKept(old.version))?;
        if !self.parts.slugs.is_kept(&code).await {
            return Err(ReleaseError::NotKept(old.version));
        }
        let names = self.parts.reader.attachment_names(app).await?;
        let mut draft = self.parts.writer.draft_release(app).await?;
        let (_, config) = draft.current().await?.ok_or(ReleaseError::NoSuchApp)?;
        // Add-ons do not roll back: their variables stay as they are now.
        let now = self.open(&config)?;
        let kept: BTreeMap<_, _> = names.iter().map(|(name, _)| (name.key(), now.get(name.key().as_str()).cloned())).collect();
        let phase = Change::phase_of(Some(&code));
        let change = Change {
            cause: Cause::Rollback(old.version),
            slug: NewSlug::Stored(slug),
            vars: self.config_of(to).await?.change(&kept)?,
            event: Some(event(EventKind::Rollback, by, json!({ "to": old.version }))),
            status: ReleaseStatus::Pending,
            phase,
        };
        let release = self.commit(draft, change, by).await?;
        self.bring_up(&release, phase.then(|| Phase::telling(None)));
        Ok(release)
    }

    /// The app's config vars: those its next release builds on.
    pub async fn config(&self, app: AppId) -> Result<ConfigVars, ReleaseError> {
        let newest = self.parts.reader.newest_release(app).await?.ok_or(ReleaseError::NoSuchApp)?;
        self.config_of(newest.id).await
    }

    async fn slug(&self, id: Option<SlugId>) -> Result<Option<Slug>, StoreError> {
        match id {
            Some(id) => self.parts.reader.slug(id).await,
            None => Ok(None),
        }
    }

    /// The config vars a release had.
    pub async fn config_of(&self, release: ReleaseId) -> Result<ConfigVars, ReleaseError> {
        let sealed = self.parts.reader.config_of_release(release).await?.ok_or(ReleaseError::NoSuchRelease)?;
        self.open(&sealed)
    }

    fn open(&self, config: &SealedConfig) -> Result<ConfigVars, ReleaseError> {
        open_config(&self.parts.keys, config).map_err(|_| ReleaseError::Sealed)
    }

    /// One more release in the draft, its config sealed for its own row.
    async fn write(&self, draft: &mut ReleaseDraft, change: Change<'_>, by: &Actor) -> Result<Release, ReleaseError> {
        let (app_id, id) = (draft.app(), ConfigSetId::new());
        let sealed = self.parts.keys.seal(&SealedConfig::place(app_id, id), &change.vars.to_json());
        let new = NewRelease {
            id: ReleaseId::new(),
            description: change.cause.to_string(),
            status: change.status,
            current: !change.phase,
            slug: change.slug,
            config: SealedConfig { id, app_id, sealed },
            by,
            event: change.event,
            now: self.parts.clock.now(),
        };
        Ok(draft.write(new).await?)
    }

    async fn commit(&self, mut draft: ReleaseDraft, change: Change<'_>, by: &Actor) -> Result<Release, ReleaseError> {
        let release = self.write(&mut draft, change, by).await?;
        draft.commit().await?;
        fail_point::reached("release.committed");
        self.log(release.app_id, &release, by);
        Ok(release)
    }

    fn log(&self, app: AppId, release: &Release, by: &Actor) {
        self.parts.logs.api(app, format!("{} by user {}", release.description, by.email));
        self.parts.logs.api(app, format!("Release {} created by user {}", release.version, by.email));
    }

    /// Has the dynos run a release and writes down what became of it. Goes on when the caller does
    /// not wait: a request given up must not leave a release pending.
    fn bring_up(&self, release: &Release, phase: Option<Phase>) -> oneshot::Receiver<Result<(), ReleaseError>> {
        let (tell, told) = oneshot::channel();
        let (me, release, app, id) = (self.clone(), release.clone(), release.app_id, release.id);
        self.parts.tasks.spawn(async move {
            let outcome = match phase {
                Some(phase) => me.run_phase(&release, phase).await,
                None => Ok(()),
            };
            let outcome = match outcome {
                Ok(()) => me.parts.dynos.release(app).await.map_err(ReleaseError::from),
                failed => failed,
            };
            if let Err(error) = me.write_outcome(app, id, &outcome).await {
                tracing::error!(%app, release = %id, %error, "the outcome of a release could not be written");
            }
            // Nobody may be waiting for it.
            let _ = tell.send(outcome);
        });
        told
    }

    async fn write_outcome(&self, app: AppId, release: ReleaseId, outcome: &Result<(), ReleaseError>) -> Result<(), ReleaseError> {
        let now = self.parts.clock.now();
        match outcome {
            Ok(()) => drop(self.parts.writer.finish_release(release, ReleaseStatus::Succeeded, now).await?),
            // The newer release is current and on its way: nothing to put back.
            Err(ReleaseError::Dynos(DynoError::Superseded(_))) => {
                self.parts.writer.finish_release(release, ReleaseStatus::Failed, now).await?;
            }
            // The app went into the bin before its dynos were up: nothing is known of this release, and it
            // is taken up again should the app come back.
            Err(ReleaseError::Dynos(DynoError::NoSuchApp)) => {}
            Err(_) => {
                self.parts.writer.fail_release(app, release, now).await?;
                match self.parts.dynos.app_changed(app).await {
                    // It went meanwhile.
                    Ok(()) | Err(DynoError::NoSuchApp) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

fn status_for(slug: Option<SlugId>) -> ReleaseStatus {
    if slug.is_some() { ReleaseStatus::Pending } else { ReleaseStatus::Succeeded }
}

fn event(kind: EventKind, by: &Actor, detail: serde_json::Value) -> NewEvent {
    NewEvent { kind, actor: by.email.to_string(), detail }
}
