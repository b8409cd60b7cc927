//! Owns add-ons: create, attach, detach, rotate, destroy, and the limits of databases.
//!
//! What shall be is written down first, in one transaction; `settle` then makes it so, looking at
//! what is, and may be cut off and taken up again at any point (`work.rs`).

mod backups;
mod bring_back;
mod door;
mod dump;
mod external;
mod inspect;
mod jobs;
mod keyvalue;
mod postgres;
mod rows;
mod sql;
mod store_copy;
mod work;

use std::{net::SocketAddr, sync::Arc};

use serde_json::json;

use crate::{
    clock::Clock,
    config::Config,
    domain::{
        AddonId, AppId, AttachmentId, LogLine,
        addon::{self, AddonState, AttachmentName, AttachmentNameError, AttachmentState, ServiceKind},
        app::App,
        event::{EventKind, NewEvent},
        log_line::Source,
        user::Actor,
    },
    dynos::Dynos,
    egress::Egress,
    engine::{Engine, EngineError, spec::NetworkFault},
    host::Host,
    logs::Logs,
    mail::Mail,
    releases::{ReleaseError, Releases},
    scheduler::{Activator, Tasks},
    secrets::{self, KeyRing},
    store::{Reader, StoreError, Writer, addon_attachments::NewAttachment, addons::NewAddon},
};
use door::Door;
use keyvalue::KeyValue;
use postgres::Postgres;

pub use crate::domain::addon::{Addon, Attachment};
pub use backups::BackupError;
pub use bring_back::FOLDER as RESTORE_FOLDER;
pub use door::HOST as DATABASE_HOST;
pub use inspect::{ANSWER_ROWS, Answer, AskError, Inspection};
pub use jobs::JobError;
pub use keyvalue::POLICIES as EVICTION_POLICIES;
pub use rows::{Figures, Version};

/// Names tried for an add-on or attachment that was given none.
const GENERATED_NAMES: usize = 10;
/// The service whose add-ons are databases of the server.
pub const DATABASES: &str = "heroku-postgresql";
/// How add-ons appear in an app's log: `app[heroku-postgres]`.
fn log_name(addon: &Addon) -> &'static str {
    match addon.kind() {
        ServiceKind::Postgres => "heroku-postgres",
        ServiceKind::KeyValue => "heroku-redis",
        ServiceKind::Scheduler => "scheduler",
    }
}

/// Why an add-on could not be had or changed.
#[derive(Debug, thiserror::Error)]
pub enum AddonError {
    #[error("Couldn't find that add-on.")]
    NoSuchAddon,
    #[error("Couldn't find that add-on attachment.")]
    NoSuchAttachment,
    #[error("Couldn't find either the add-on service or the add-on plan of \"{0}\".")]
    NoSuchPlan(String),
    #[error("This server has no PostgreSQL image, so it offers no databases. Run script/stack, which makes it.")]
    NotOffered,
    #[error("{0} is no database.")]
    NotADatabase(String),
    #[error("A scheduler has no credentials and is not attached.")]
    NothingToAttach,
    #[error("There is no eviction policy `{0}`.")]
    NoSuchPolicy(String),
    #[error("An app has at most {0} add-ons. Destroy one to make room.")]
    TooMany(u32),
    #[error("Name is already taken")]
    NameTaken,
    #[error("{0} is in use already. Choose another name for the attachment.")]
    AttachmentTaken(String),
    #[error("Add-on names are letters, digits, `-` and `_`, beginning with a letter, at most 60 characters.")]
    BadName,
    #[error(transparent)]
    AttachmentName(#[from] AttachmentNameError),
    #[error("{0} is still being changed. Try again in a moment.")]
    Busy(String),
    #[error("The database server does not start just now. It is tried again by itself.")]
    ServerDown,
    #[error("The database server refused: {0}")]
    Sql(#[from] tokio_postgres::Error),
    #[error("The password of a database cannot be opened: the key file does not fit the database.")]
    Sealed,
    #[error("The database could not be dumped: {0}")]
    Dump(String),
    #[error("The dump could not be restored, and the database is as it was: {0}")]
    Load(String),
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Network(#[from] NetworkFault),
    #[error("The files of the databases failed: {0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Everything add-ons stand on.
#[derive(Clone)]
pub struct AddonsParts {
    pub config: Arc<Config>,
    pub clock: Arc<dyn Clock>,
    pub tasks: Tasks,
    pub reader: Reader,
    pub writer: Writer,
    pub engine: Arc<dyn Engine>,
    pub releases: Releases,
    pub dynos: Dynos,
    pub logs: Logs,
    pub mail: Mail,
    pub keys: Arc<KeyRing>,
    pub egress: Egress,
    pub host: Host,
    /// The id under which this server labels what it makes.
    pub instance: Arc<str>,
}

/// The owner. Cheap to clone.
#[derive(Clone)]
pub struct Addons {
    inner: Arc<Inner>,
}

struct Inner {
    parts: AddonsParts,
    postgres: Arc<Postgres>,
    keyvalue: Arc<KeyValue>,
    followed: Arc<jobs::Followed>,
    door: Arc<Door>,
    backups: backups::Backups,
    /// Held while a question is asked.
    asking: tokio::sync::Mutex<()>,
    /// Held by whoever settles add-ons.
    working: tokio::sync::Mutex<()>,
    activator: Activator,
}

/// What somebody asks for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// `heroku-postgresql:mini`.
    pub plan: String,
    /// The add-on's own name; one is made up without.
    pub name: Option<String>,
    /// The name in the app; `DATABASE` for the first.
    pub attachment: Option<String>,
}

impl Addons {
    pub fn new(parts: AddonsParts) -> Addons {
        let postgres = Arc::new(Postgres::new(parts.clone()));
        let keyvalue = Arc::new(KeyValue::new(parts.clone(), postgres.clone()));
        let door = Arc::new(Door::new(parts.clone(), postgres.clone(), keyvalue.clone()));
        Addons {
            inner: Arc::new(Inner {
                parts,
                postgres,
                keyvalue,
                followed: Arc::default(),
                door,
                backups: backups::Backups::default(),
                asking: tokio::sync::Mutex::default(),
                working: tokio::sync::Mutex::default(),
                activator: Activator::new(),
            }),
        }
    }

    /// Wakes `work` before its time.
    pub fn activator(&self) -> Activator {
        self.inner.activator.clone()
    }

    /// Whether databases can be had on this server.
    pub fn offered(&self) -> bool {
        self.inner.postgres.image().is_some()
    }

    /// Opens the door that dynos knock at. Databases that are there come up when they are needed.
    ///
    /// # Errors
    /// When the folder of the databases cannot be made.
    pub async fn start(&self) -> Result<(), AddonError> {
        if !self.offered() {
            return Ok(());
        }
        self.inner.postgres.make_folders()?;
        let listener = self.inner.door.listen()?;
        self.inner.parts.tasks.spawn(self.inner.door.clone().answer(listener));
        Ok(())
    }

    /// Writes down a new add-on with its first attachment; `work` provisions it. The app's variable
    /// is set by a release when it is there.
    pub async fn create(&self, app: AppId, wanted: Wanted, by: &Actor) -> Result<Addon, AddonError> {
        let (service, plan) = addon::plan_named(&wanted.plan).ok_or_else(|| AddonError::NoSuchPlan(wanted.plan.clone()))?;
        if !self.offered() && service.kind != ServiceKind::Scheduler {
            return Err(AddonError::NotOffered);
        }
        let attachment = wanted.attachment.map(|name| name.parse()).transpose()?;
        let given = wanted.name.map(checked_name).transpose()?;
        for _ in 0..GENERATED_NAMES {
            let name = given.clone().unwrap_or_else(|| addon::generated_name(service, rand::random()));
            let under = match &attachment {
                Some(name) => self.free(app, name).await?,
                None => self.next_name(app, service.kind).await?,
            };
            // In the server names tell nothing: every tenant can read the list of them.
            let (role, database) = match service.kind {
                ServiceKind::Postgres => (internal_name('u'), internal_name('d')),
                ServiceKind::KeyValue => {
                    let name = internal_name('k');
                    (name.clone(), name)
                }
                ServiceKind::Scheduler => (internal_name('j'), internal_name('j')),
            };
            let id = AddonId::new();
            let new = NewAddon {
                id,
                app,
                name: &name,
                service: service.name,
                plan: plan.name,
                role: &role,
                database: &database,
                sealed_password: self.inner.seal(id, &secrets::random_token()),
                backups: self.first_schedule(service.kind, id),
                by,
                now: self.inner.parts.clock.now(),
            };
            let first = NewAttachment { id: AttachmentId::new(), addon: new.id, app, name: &under, now: new.now };
            let first = (service.kind != ServiceKind::Scheduler).then_some(&first);
            let added = self.inner.parts.writer.add_addon(&new, first, addon::PER_APP).await;
            match taken(added, &under) {
                Err(AddonError::NameTaken) if given.is_none() => {}
                Err(AddonError::AttachmentTaken(_)) if attachment.is_none() => {}
                Err(error) => return Err(error),
                Ok(false) => return Err(AddonError::TooMany(addon::PER_APP)),
                Ok(true) => {
                    self.inner.activator.activate();
                    return self.found(new.id).await;
                }
            }
        }
        Err(AddonError::NameTaken)
    }

    /// Attaches an add-on to an app (its own or another one) under a name.
    pub async fn attach(&self, addon: AddonId, app: AppId, name: Option<String>, by: &Actor) -> Result<Attachment, AddonError> {
        let addon = self.found(addon).await?;
        if addon.kind() == ServiceKind::Scheduler {
            return Err(AddonError::NothingToAttach);
        }
        let name = match name {
            Some(name) => self.free(app, &name.parse()?).await?,
            None => self.next_name(app, addon.kind()).await?,
        };
        let new = NewAttachment { id: AttachmentId::new(), addon: addon.id, app, name: &name, now: self.inner.parts.clock.now() };
        taken(self.inner.parts.writer.add_attachment(&new).await, &name)?;
        self.settle(addon.id, by).await;
        self.inner.parts.reader.attachment(new.id).await?.ok_or(AddonError::NoSuchAttachment)
    }

    /// Takes an attachment away; the add-on stays.
    pub async fn detach(&self, attachment: &Attachment, by: &Actor) -> Result<(), AddonError> {
        let now = self.inner.parts.clock.now();
        for from in [AttachmentState::Attached, AttachmentState::Attaching] {
            if self.inner.parts.writer.move_attachment(attachment.id, (from, AttachmentState::Detaching), now).await? {
                break;
            }
        }
        self.settle(attachment.addon_id, by).await;
        Ok(())
    }

    /// New credentials: sets them in the server and, by releases, in every app it is attached to.
    /// The old ones open nothing any more, and sessions they opened end.
    pub async fn rotate(&self, addon: AddonId, by: &Actor) -> Result<(), AddonError> {
        let addon = self.found(addon).await?;
        if addon.kind() == ServiceKind::Scheduler {
            return Err(AddonError::NothingToAttach);
        }
        let sealed = self.inner.seal(addon.id, &secrets::random_token());
        if !self.inner.parts.writer.begin_rotation(addon.id, &sealed, self.inner.parts.clock.now()).await? {
            return Err(AddonError::Busy(addon.name));
        }
        self.settle(addon.id, by).await;
        Ok(())
    }

    /// Empties a database: it is dropped and made anew, with the same credentials.
    pub async fn reset(&self, addon: &Addon, by: &Actor) -> Result<(), AddonError> {
        let inner = &self.inner;
        must_be_database(addon)?;
        let working = inner.working.lock().await;
        inner.postgres.ensure_up().await?;
        // Should we be cut off from here on, it is provisioned again.
        inner.parts.writer.set_addon_state(addon.id, AddonState::Provisioning, inner.parts.clock.now()).await?;
        sql::drop_database(&inner.postgres.admin("postgres").await?, &addon.database).await?;
        let emptied = self.found(addon.id).await?;
        inner.settle(&emptied, Some(by)).await?;
        inner.note(addon, ("reset", &addon.name), by.email.as_str()).await?;
        drop(working);
        self.count(&self.found(addon.id).await?).await?;
        Ok(())
    }

    /// Ends every session of a database.
    pub async fn put_out(&self, addon: &Addon) -> Result<(), AddonError> {
        must_be_database(addon)?;
        self.inner.postgres.ensure_up().await?;
        Ok(sql::put_out(&self.inner.postgres.admin("postgres").await?, &addon.role).await?)
    }

    /// Where this machine reaches the databases attached to an app. Whoever comes there needs their credentials.
    ///
    /// # Errors
    /// `ServerDown` when nobody stands there just now; it is looked after at once.
    pub async fn entrance(&self, app: &App) -> Result<SocketAddr, AddonError> {
        self.inner.door.address(app).await.inspect_err(|_| self.inner.activator.activate())
    }

    /// Takes it from every app and puts it into the bin, where it stays for a week.
    pub async fn destroy(&self, addon: AddonId, by: &Actor) -> Result<Addon, AddonError> {
        let addon = self.found(addon).await?;
        self.inner.parts.writer.begin_deprovisioning(addon.id, self.inner.parts.clock.now()).await?;
        self.inner.note(&addon, ("destroy", &addon.name), by.email.as_str()).await?;
        self.settle(addon.id, by).await;
        Ok(addon)
    }

    /// Brings an add-on back from the bin, for an app. Its rows are as they were.
    pub async fn restore(&self, addon: AddonId, app: AppId, by: &Actor) -> Result<Addon, AddonError> {
        let binned = self.inner.parts.reader.binned(addon).await?.ok_or(AddonError::NoSuchAddon)?;
        let kind = addon::service(&binned.service).map_or(ServiceKind::Postgres, |service| service.kind);
        let (name, now) = (self.next_name(app, kind).await?, self.inner.parts.clock.now());
        let attachment = NewAttachment { id: AttachmentId::new(), addon, app, name: &name, now };
        let attachment = (kind != ServiceKind::Scheduler).then_some(&attachment);
        if !taken(self.inner.parts.writer.take_from_bin((addon, app, now), by, attachment).await, &name)? {
            return Err(AddonError::NoSuchAddon);
        }
        self.inner.activator.activate();
        self.found(addon).await
    }

    /// Before an app is destroyed: its add-ons go into the bin, others leave its network.
    pub async fn forget(&self, app: AppId) -> Result<(), AddonError> {
        let now = self.inner.parts.clock.now();
        let attached = self.inner.parts.reader.attachments_of_app(app).await?;
        let owned: Vec<Addon> = self.inner.parts.reader.addons().await?.into_iter().filter(|addon| addon.app_id == app).collect();
        if attached.is_empty() && owned.is_empty() {
            return Ok(());
        }
        self.inner.parts.writer.detach_app(app, now).await?;
        for addon in &owned {
            self.inner.parts.writer.begin_deprovisioning(addon.id, now).await?;
        }
        let _working = self.inner.working.lock().await;
        for addon in owned {
            self.inner.settle(&Addon { state: AddonState::Deprovisioning, ..addon }, None).await?;
        }
        self.inner.open_door().await
    }

    /// What a key-value store does when it is full; its server starts anew with it.
    ///
    /// # Errors
    /// When there is no such policy, or the add-on is no store.
    pub async fn set_eviction_policy(&self, addon: &Addon, policy: &str) -> Result<(), AddonError> {
        if addon.kind() != ServiceKind::KeyValue {
            return Err(AddonError::NoSuchAddon);
        }
        if keyvalue::POLICIES.iter().all(|(known, _)| *known != policy) {
            return Err(AddonError::NoSuchPolicy(policy.chars().take(40).collect()));
        }
        self.inner.parts.writer.set_eviction_policy(addon.id, policy).await?;
        self.inner.keyvalue.renew(&addon.role).await
    }

    /// What a key-value store does when it is full.
    pub async fn eviction_policy(&self, addon: &Addon) -> Result<String, AddonError> {
        let set = self.inner.parts.reader.eviction_policy(addon.id).await?;
        Ok(set.unwrap_or_else(|| keyvalue::FIRST_POLICY.to_owned()))
    }

    pub async fn found(&self, addon: AddonId) -> Result<Addon, AddonError> {
        let found = self.inner.parts.reader.addon(addon).await?;
        found.filter(|addon| addon.state != AddonState::Deprovisioning).ok_or(AddonError::NoSuchAddon)
    }

    /// The variable's name is free in the app: no attachment has it, and no user has set it.
    async fn free(&self, app: AppId, name: &AttachmentName) -> Result<AttachmentName, AddonError> {
        let names = self.inner.parts.reader.attachment_names(app).await?;
        let key = name.key();
        let attached = names.iter().any(|(known, now)| known == name && *now);
        if attached || self.inner.parts.releases.config(app).await?.get(key.as_str()).is_some() {
            return Err(AddonError::AttachmentTaken(key.to_string()));
        }
        Ok(name.clone())
    }

    /// `DATABASE` or `REDIS` for the first, a colour for others.
    async fn next_name(&self, app: AppId, kind: ServiceKind) -> Result<AttachmentName, AddonError> {
        let mut name = if kind == ServiceKind::KeyValue { AttachmentName::redis() } else { AttachmentName::database() };
        for _ in 0..4 * GENERATED_NAMES {
            match self.free(app, &name).await {
                Err(AddonError::AttachmentTaken(_)) => name = AttachmentName::colored(kind, rand::random()),
                found => return found,
            }
        }
        Err(AddonError::AttachmentTaken(name.key().to_string()))
    }

    /// Settles now what was just written down. What does not work is tried again by `work`.
    async fn settle(&self, addon: AddonId, by: &Actor) {
        let _working = self.inner.working.lock().await;
        match self.inner.parts.reader.addon(addon).await {
            // What is not there yet is `work`'s to make: nobody waits for that.
            Ok(Some(addon)) if addon.state != AddonState::Provisioning => self.inner.try_to_settle(&addon, Some(by)).await,
            Ok(_) => {}
            Err(error) => tracing::error!(%addon, %error, "an add-on could not be read"),
        }
        self.inner.activator.activate();
    }
}

impl Inner {
    fn seal(&self, addon: AddonId, password: &secrecy::SecretString) -> Vec<u8> {
        self.parts.keys.seal(&crate::store::addons::password_place(addon), password)
    }

    /// A line in the logs of the app that owns it.
    fn say(&self, addon: &Addon, message: String) {
        let at_micros = self.parts.clock.now_micros();
        self.parts.logs.append(addon.app_id, LogLine { at_micros, source: Source::App, ps: log_name(addon).to_owned(), message });
    }

    /// A letter to the owner of its app; what cannot be written is logged.
    async fn write_to_owner(&self, addon: &Addon, text: &str) {
        let owner = async {
            let app = self.parts.reader.app(addon.app_id).await?;
            Ok::<_, StoreError>(match app {
                Some(app) => self.parts.reader.user(app.owner_id).await?,
                None => None,
            })
        };
        match owner.await {
            Ok(Some(owner)) if !owner.system && owner.suspended_at.is_none() => {
                let page = format!("{}/apps/{}/addons/{}", self.parts.config.dashboard_url(), addon.app_name, addon.name);
                self.parts.mail.post(owner.email.as_str(), &format!("[{}] {text}", addon.app_name), &format!("{text}.\n\n{page}\n")).await;
            }
            Ok(_) => {}
            Err(error) => tracing::error!(addon = addon.name, %error, "its owner is not written to"),
        }
    }

    async fn note(&self, addon: &Addon, (did, name): (&str, &str), actor: &str) -> Result<(), StoreError> {
        let detail = json!({ "did": did, "addon": addon.name, "name": name });
        let event = NewEvent { kind: EventKind::Addon, actor: actor.to_owned(), detail };
        self.parts.writer.add_event(addon.app_id, &event, self.parts.clock.now()).await
    }
}

fn must_be_database(addon: &Addon) -> Result<(), AddonError> {
    if addon.is_database() { Ok(()) } else { Err(AddonError::NotADatabase(addon.name.clone())) }
}

/// A letter and 60 random bits in hexadecimal digits.
fn internal_name(first: char) -> String {
    format!("{first}{:015x}", rand::random::<u64>() >> 4)
}

fn checked_name(name: String) -> Result<String, AddonError> {
    let valid = name.len() <= 60
        && name.len() >= 2
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if valid { Ok(name) } else { Err(AddonError::BadName) }
}

/// Unique names: insert and map the constraint.
fn taken<T>(written: Result<T, StoreError>, name: &AttachmentName) -> Result<T, AddonError> {
    written.map_err(|error| match error.unique_violation().as_deref() {
        Some("addons.name") => AddonError::NameTaken,
        Some("addon_attachments.name") => AddonError::AttachmentTaken(name.key().to_string()),
        _ => error.into(),
    })
}
