//! The bin: a destroyed app is gone for everybody at once, can be brought back by its owner for a week,
//! and is purged then. What shall be is one transaction; what follows from it may be cut off anywhere
//! and is taken up again by `sweep_bin`.

use serde_json::json;

use crate::{
    apps::{App, AppError, Apps, BinnedApp, taken},
    domain::{AppId, AppName, event::EventKind, quota, user::Actor},
    fail_point,
    store::app_bin::Restored,
};

impl Apps {
    /// Puts an app into the bin, where it stays for a week. Its name is free at once; its dynos stop,
    /// its add-ons go into their own bin.
    pub async fn destroy(&self, app: AppId, by: &Actor) -> Result<(), AppError> {
        let _before_the_sweep = self.sweeping.read().await;
        let gone = self.found(app).await?;
        self.parts.writer.bin_app(&gone, by, self.parts.clock.now()).await?;
        fail_point::reached("app.binned");
        tracing::info!(%app, name = %gone.name, by = %by.email, "app destroyed");
        if let Err(error) = self.put_away(&gone).await {
            tracing::warn!(%app, %error, "a destroyed app could not be put away; it is tried again");
        }
        Ok(())
    }

    /// What an account can bring back, newest first.
    pub async fn in_bin(&self, by: &Actor) -> Result<Vec<BinnedApp>, AppError> {
        Ok(self.parts.reader.binned_apps_of(by.id).await?)
    }

    /// Brings an app back under its own or another name, with its add-ons.
    pub async fn restore(&self, app: AppId, name: &AppName, by: &Actor) -> Result<App, AppError> {
        let binned = self.mine(app, by).await?;
        let limit = self.parts.plans.of_account(by.id).apps_per_account;
        let now = self.parts.clock.now();
        match self.parts.writer.restore_app(&binned, name, (by, limit), now).await.map_err(taken)? {
            Restored::Done => {}
            Restored::NotThere => return Err(AppError::NotSettled),
            Restored::NoRoom => return Err(AppError::TooMany(limit)),
        }
        fail_point::reached("app.restored");
        self.parts.logs.api(app, format!("Restore by user {}", by.email));
        self.note(app, EventKind::Restore, by, json!({ "name": name })).await?;
        self.parts.dynos.app_changed(app).await?;
        self.parts.releases.resume(app).await?;
        self.parts.addons.activator().activate();
        self.found(app).await
    }

    /// Ends an app for good, before its week is over.
    pub async fn purge(&self, app: AppId, by: &Actor) -> Result<(), AppError> {
        let _before_the_sweep = self.sweeping.read().await;
        let binned = self.mine(app, by).await?;
        self.finish(&binned).await
    }

    /// Puts away what was cut off, and purges what has lain in the bin for a week. The server calls it
    /// when it starts and every minute.
    pub async fn sweep_bin(&self) {
        let Ok(_alone) = self.sweeping.try_write() else { return };
        let all = match self.parts.reader.binned_apps().await {
            Ok(all) => all,
            Err(error) => return tracing::error!(%error, "the bin could not be read"),
        };
        let now = self.parts.clock.now();
        for binned in all {
            let done = match self.parts.reader.app_in_bin(binned.id).await {
                Ok(Some(app)) if !binned.settled => self.put_away(&app).await,
                Ok(Some(_)) if binned.purge_at <= now => self.finish(&binned).await,
                Ok(_) => Ok(()),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = done {
                tracing::warn!(app = %binned.id, name = %binned.name, %error, "an app in the bin could not be looked after; it is tried again");
            }
        }
    }

    async fn mine(&self, app: AppId, by: &Actor) -> Result<BinnedApp, AppError> {
        self.in_bin(by).await?.into_iter().find(|binned| binned.id == app).ok_or(AppError::NotInBin)
    }

    /// Ends everything of a binned app that runs. Every step may be taken twice.
    async fn put_away(&self, app: &App) -> Result<(), AppError> {
        let parts = &self.parts;
        parts.repositories.forget(app.id).await?;
        parts.builder.cancel_all(app.id).await?;
        // Before the dynos: a relay in the network would keep it.
        parts.addons.forget(app.id).await?;
        parts.dynos.forget(app).await?;
        parts.writer.end_awake_span(app.id, parts.clock.now()).await?;
        // After the dynos: an image in use stays.
        parts.builder.rest(app).await?;
        parts.logs.forget(app.id).await?;
        fail_point::reached("app.put_away");
        Ok(parts.writer.settle_binned_app(app.id, parts.clock.now()).await?)
    }

    /// Removes rows and files. The rows go last.
    async fn finish(&self, binned: &BinnedApp) -> Result<(), AppError> {
        let parts = &self.parts;
        let app = parts.reader.app_in_bin(binned.id).await?.ok_or(AppError::NotInBin)?;
        if !binned.settled {
            self.put_away(&app).await?;
        }
        parts.builder.forget(&app).await?;
        fail_point::reached("app.purging");
        let now = parts.clock.now();
        parts.writer.keep_pool_debt(app.id, quota::month_of(now).0, now).await?;
        parts.writer.delete_app(app.id).await?;
        tracing::info!(app = %app.id, name = %binned.name, "app purged");
        Ok(())
    }
}
