//! Handing an app over to another account, which must say yes.

use crate::{
    apps::{App, AppError, Apps, Transfer},
    domain::{TransferId, UserId, user::Actor},
    store::StoreError,
};

impl Apps {
    /// Offers an app to an account.
    pub async fn offer(&self, app: &App, recipient: UserId) -> Result<Transfer, AppError> {
        if app.owner_id == recipient {
            return Err(AppError::SameOwner);
        }
        let id = TransferId::new();
        let waits = |error: StoreError| match error.unique_violation().as_deref() {
            Some("app_transfers.app_id") => AppError::TransferWaits,
            _ => error.into(),
        };
        self.parts.writer.insert_transfer(id, app, recipient, self.parts.clock.now()).await.map_err(waits)?;
        self.transfer(id, recipient).await
    }

    /// The recipient takes the app, if the plan leaves room for it.
    pub async fn accept(&self, transfer: &Transfer, by: &Actor) -> Result<Transfer, AppError> {
        if transfer.recipient_id != by.id {
            return Err(AppError::NoSuchTransfer);
        }
        let limit = self.parts.plans.of_account(by.id).apps_per_account;
        if self.parts.reader.apps_of(by.id).await?.len() >= limit as usize {
            return Err(AppError::TooMany(limit));
        }
        if !self.parts.writer.accept_transfer(transfer, self.parts.clock.now()).await? {
            return Err(AppError::NoSuchTransfer);
        }
        self.parts.logs.api(transfer.app_id, format!("Transfer from {} to {}", transfer.owner_email, transfer.recipient_email));
        self.parts.dynos.app_changed(transfer.app_id).await?;
        self.transfer(transfer.id, by.id).await
    }

    pub async fn decline(&self, transfer: &Transfer, by: &Actor) -> Result<Transfer, AppError> {
        if transfer.recipient_id != by.id || !self.parts.writer.decline_transfer(transfer.id, self.parts.clock.now()).await? {
            return Err(AppError::NoSuchTransfer);
        }
        self.transfer(transfer.id, by.id).await
    }

    /// The sender takes the offer back.
    pub async fn withdraw(&self, transfer: &Transfer, by: &Actor) -> Result<(), AppError> {
        if transfer.owner_id != by.id || !self.parts.writer.delete_transfer(transfer.id).await? {
            return Err(AppError::NoSuchTransfer);
        }
        Ok(())
    }

    async fn transfer(&self, id: TransferId, user: UserId) -> Result<Transfer, AppError> {
        let all = self.parts.reader.transfers(user).await?;
        all.into_iter().find(|transfer| transfer.id == id).ok_or(AppError::NoSuchTransfer)
    }
}
