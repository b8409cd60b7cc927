//! Makes what is written down true: provisions, attaches, rotates, takes away. Every step looks at
//! what is and may be taken twice, so a server that was killed goes on where it was.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use crate::{
    addons::{
        Addon, AddonError, Addons, AddonsParts, Attachment, Inner,
        door::{Entrance, HOST},
        postgres::WATCHER,
        sql::{self, Names},
    },
    config::PostgresTls,
    domain::{
        AppId,
        addon::{self, AddonState, AttachmentState, ServiceKind},
        app::App,
        release::Cause,
        user::Actor,
    },
    fail_point,
    store::{addon_bin::Binned, addons::password_place},
};

impl Addons {
    /// Everything that is still to be done, and the door as it should be. The server calls it every
    /// few seconds and whenever `activator` says so.
    pub async fn work(&self) {
        let inner = &self.inner;
        let _working = inner.working.lock().await;
        let waiting = match inner.bring_back_what_waits().await {
            Ok(waiting) => waiting,
            Err(error) => return tracing::error!(%error, "dumps of a backup could not be read in"),
        };
        match inner.parts.reader.unsettled_addons().await {
            Ok(addons) => {
                for addon in addons.into_iter().filter(|addon| !waiting.contains(&addon.database)) {
                    inner.try_to_settle(&addon, None).await;
                }
            }
            Err(error) => tracing::error!(%error, "add-ons could not be read"),
        }
        if !self.offered() {
            return;
        }
        if let Err(error) = inner.open_door().await {
            tracing::warn!(%error, "the relay of the databases is not as it should be");
        }
        if let Err(error) = inner.empty_bin().await {
            tracing::warn!(%error, "a database in the bin could not be dropped");
        }
    }
}

impl Inner {
    /// Settles an add-on; a failure is written down and tried again later.
    pub(super) async fn try_to_settle(&self, addon: &Addon, by: Option<&Actor>) {
        let Err(error) = self.settle(addon, by).await else { return };
        tracing::warn!(addon = addon.name, %error, "an add-on could not be settled; it is tried again");
        if let Err(error) = self.parts.writer.set_addon_error(addon.id, &error.to_string()).await {
            tracing::error!(%error, "the failure of an add-on could not be written");
        }
    }

    /// Does what the state of an add-on and of its attachments asks for. `by` is who asked just now.
    pub(super) async fn settle(&self, addon: &Addon, by: Option<&Actor>) -> Result<(), AddonError> {
        let now = self.parts.clock.now();
        match addon.state {
            AddonState::Provisioning => {
                match addon.kind() {
                    ServiceKind::Postgres => self.create_database(addon).await?,
                    ServiceKind::KeyValue => self.keyvalue.ensure_up(addon, &self.password(addon).await?).await?,
                    ServiceKind::Scheduler => return self.scheduler_is_there(addon).await,
                }
                fail_point::reached("addon.created");
                self.open_door().await?;
                self.settle_attachments(addon, by).await?;
                fail_point::reached("addon.attached");
                self.parts.writer.set_addon_state(addon.id, AddonState::Provisioned, now).await?;
                self.say(addon, format!("{} is ready", addon.name));
            }
            AddonState::Provisioned => {
                self.open_door().await?;
                self.settle_attachments(addon, by).await?;
            }
            AddonState::Rotating => self.finish_rotation(addon, by).await?,
            AddonState::Deprovisioning => {
                self.settle_attachments(addon, by).await?;
                fail_point::reached("addon.detached");
                // Nobody is inside a server that sleeps, and the door is shut to the role all the same.
                if addon.kind() == ServiceKind::KeyValue {
                    self.keyvalue.renew(&addon.role).await?;
                } else if addon.is_database() && self.postgres.is_up().await {
                    sql::shut(&self.postgres.admin("postgres").await?, &addon.role).await?;
                }
                self.parts.writer.bin_addon(addon.id, now, now + addon::BIN).await?;
                if addon.kind() != ServiceKind::Scheduler {
                    self.open_door().await?;
                }
            }
        }
        Ok(())
    }

    /// There is nothing to make: its jobs are rows.
    async fn scheduler_is_there(&self, addon: &Addon) -> Result<(), AddonError> {
        self.parts.writer.set_addon_state(addon.id, AddonState::Provisioned, self.parts.clock.now()).await?;
        self.say(addon, format!("{} is ready", addon.name));
        Ok(())
    }

    pub(super) async fn create_database(&self, addon: &Addon) -> Result<(), AddonError> {
        self.postgres.ensure_up().await?;
        let password = self.password(addon).await?;
        let admin = self.postgres.admin("postgres").await?;
        let names = Names { role: &addon.role, database: &addon.database };
        sql::create(&admin, names, &password, addon.plan(), WATCHER).await?;
        fail_point::reached("addon.database_made");
        sql::hand_over(&self.postgres.admin(&addon.database).await?, &addon.role).await?;
        Ok(())
    }

    async fn finish_rotation(&self, addon: &Addon, by: Option<&Actor>) -> Result<(), AddonError> {
        let password = self.password(addon).await?;
        if addon.is_database() {
            self.postgres.ensure_up().await?;
            sql::set_password(&self.postgres.admin("postgres").await?, &addon.role, &password).await?;
        } else {
            // It starts with the new one when somebody comes.
            self.keyvalue.renew(&addon.role).await?;
        }
        fail_point::reached("addon.rotated");
        let url = url(&self.parts, addon, &password);
        for attachment in self.parts.reader.attachments_of_addon(addon.id).await? {
            if attachment.state == AttachmentState::Attached {
                let cause = Cause::Update { name: attachment.name.clone(), service: addon.service().name };
                let by = self.actor(addon, attachment.app_id, by).await?;
                self.parts.releases.set_attachment(attachment.app_id, (&attachment.name, Some(url.clone())), cause, &by).await?;
            }
        }
        self.settle_attachments(addon, by).await?;
        if addon.is_database() {
            sql::put_out(&self.postgres.admin("postgres").await?, &addon.role).await?;
        }
        self.parts.writer.finish_rotation(addon.id, self.parts.clock.now()).await?;
        self.note(addon, ("rotate", &addon.name), by.map_or("", |by| by.email.as_str())).await?;
        Ok(())
    }

    /// Sets and removes the variables of apps, by a release each.
    async fn settle_attachments(&self, addon: &Addon, by: Option<&Actor>) -> Result<(), AddonError> {
        for attachment in self.parts.reader.attachments_of_addon(addon.id).await? {
            let (cause, value, did, to) = match attachment.state {
                AttachmentState::Attaching => {
                    let url = url(&self.parts, addon, &self.password(addon).await?);
                    let cause = Cause::Attach { name: attachment.name.clone(), addon: addon.name.clone() };
                    (cause, Some(url), "attach", AttachmentState::Attached)
                }
                AttachmentState::Detaching => {
                    let cause = Cause::Detach { name: attachment.name.clone(), addon: addon.name.clone() };
                    (cause, None, "detach", AttachmentState::Detached)
                }
                AttachmentState::Attached | AttachmentState::Detached => continue,
            };
            let by = self.actor(addon, attachment.app_id, by).await?;
            self.parts.releases.set_attachment(attachment.app_id, (&attachment.name, value), cause, &by).await?;
            self.moved(addon, &attachment, to).await?;
            self.note_in(&attachment, addon, did, &by).await?;
        }
        Ok(())
    }

    async fn moved(&self, addon: &Addon, attachment: &Attachment, to: AttachmentState) -> Result<(), AddonError> {
        let now = self.parts.clock.now();
        self.parts.writer.move_attachment(attachment.id, (attachment.state, to), now).await?;
        tracing::info!(addon = addon.name, app = %attachment.app_name, name = %attachment.name, state = ?to, service = addon.service, "attachment");
        Ok(())
    }

    async fn note_in(&self, attachment: &Attachment, addon: &Addon, did: &str, by: &Actor) -> Result<(), AddonError> {
        let here = Addon { app_id: attachment.app_id, ..addon.clone() };
        Ok(self.note(&here, (did, attachment.name.key().as_str()), by.email.as_str()).await?)
    }

    /// In whose name a release is made: who asked, who asked for the add-on, or the app's owner.
    pub(super) async fn actor(&self, addon: &Addon, app: AppId, by: Option<&Actor>) -> Result<Actor, AddonError> {
        if let Some(by) = by {
            return Ok(by.clone());
        }
        if let Some(actor) = self.parts.reader.addon_actor(addon.id).await? {
            return Ok(actor);
        }
        let app = self.parts.reader.app(app).await?.ok_or(AddonError::NoSuchAddon)?;
        let owner = self.parts.reader.user(app.owner_id).await?.ok_or(AddonError::NoSuchAddon)?;
        Ok(Actor { id: owner.id, email: owner.email })
    }

    /// The password that shall open the database: the next one while it is being rotated.
    pub(super) async fn password(&self, addon: &Addon) -> Result<SecretString, AddonError> {
        password_of(&self.parts, addon).await
    }

    /// Who may come in: every role by the networks of the apps its add-on is attached to.
    pub(super) async fn open_door(&self) -> Result<(), AddonError> {
        let addons: BTreeMap<_, _> = self.parts.reader.addons().await?.into_iter().map(|addon| (addon.id, addon)).collect();
        let waiting = self.waiting()?;
        let mut pairs: BTreeMap<AppId, Vec<(String, String)>> = BTreeMap::new();
        for attachment in self.parts.reader.attachments().await? {
            if let Some(addon) = addons.get(&attachment.addon_id).filter(|addon| !waiting.contains(&addon.database)) {
                let pair = (addon.role.clone(), addon.database.clone());
                let known = pairs.entry(attachment.app_id).or_default();
                if !known.contains(&pair) {
                    known.push(pair);
                }
            }
        }
        let apps: Vec<App> = self.parts.reader.apps().await?;
        let entrances: Vec<Entrance> =
            apps.into_iter().filter_map(|app| pairs.remove(&app.id).map(|pairs| Entrance { app, pairs })).collect();
        self.door.settle(&entrances).await
    }

    /// Drops for good what lay in the bin for long enough.
    async fn empty_bin(&self) -> Result<(), AddonError> {
        for Binned { addon_id, name, service, role, database, .. } in self.parts.reader.binned_before(self.parts.clock.now()).await? {
            match addon::service(&service).map(|service| service.kind) {
                Some(ServiceKind::KeyValue) => self.keyvalue.destroy(&role).await?,
                Some(ServiceKind::Scheduler) => {}
                Some(ServiceKind::Postgres) | None => {
                    self.postgres.ensure_up().await?;
                    sql::drop_all(&self.postgres.admin("postgres").await?, Names { role: &role, database: &database }).await?;
                }
            }
            self.parts.writer.forget_binned(addon_id).await?;
            self.parts.writer.forget_what_add_ons_left().await?;
            tracing::info!(name, "a destroyed add-on was dropped for good");
        }
        Ok(())
    }
}

/// The password that shall open an add-on: the next one while it is being rotated.
pub(super) async fn password_of(parts: &AddonsParts, addon: &Addon) -> Result<SecretString, AddonError> {
    let sealed = parts.reader.addon_passwords(addon.id).await?.ok_or(AddonError::NoSuchAddon)?;
    let sealed = sealed.next.unwrap_or(sealed.current);
    parts.keys.open(&password_place(addon.id), &sealed).map_err(|_| AddonError::Sealed)
}

/// What apps get: `postgres://role:password@postgres.siesta:5432/database`. Where the operator's server is
/// reached through TLS it ends in `sslmode=disable`: TLS begins behind the relay, in the app's own network
/// nobody else listens, and a login that a client binds to the relay's TLS would be none to the server.
fn url(parts: &AddonsParts, addon: &Addon, password: &SecretString) -> SecretString {
    if addon.kind() == ServiceKind::KeyValue {
        return format!("redis://{}:{}@{HOST}:6379", addon.role, password.expose_secret()).into();
    }
    let encrypted = parts.config.postgres.as_ref().is_some_and(|server| server.tls != PostgresTls::Off);
    let options = if encrypted { "?sslmode=disable" } else { "" };
    format!("postgres://{}:{}@{HOST}:5432/{}{options}", addon.role, password.expose_secret(), addon.database).into()
}
