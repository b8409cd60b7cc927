//! Who besides its owner may touch an app.

use crate::{
    accounts::{AccountError, Accounts},
    domain::{Role, UserId, app::App, user::Collaborator},
};

impl Accounts {
    /// Gives the account of an address a role, or another one than it has.
    pub async fn collaborate(&self, app: &App, email: &str, role: Role) -> Result<Collaborator, AccountError> {
        let email = email.parse().map_err(AccountError::BadEmail)?;
        let user = self.reader.user_by_email(&email).await?.filter(|user| !user.system).ok_or(AccountError::NotAnAccount(email))?;
        if user.id == app.owner_id {
            return Err(AccountError::IsOwner);
        }
        self.writer.put_collaborator(app.id, user.id, role, self.clock.now()).await?;
        let all = self.reader.collaborators(app.id).await?;
        all.into_iter().find(|one| one.user_id == user.id).ok_or(AccountError::NoSuchCollaborator)
    }

    /// Takes the role away, at once.
    pub async fn stop_collaborating(&self, app: &App, user: UserId) -> Result<(), AccountError> {
        if self.writer.delete_collaborator(app.id, user).await? { Ok(()) } else { Err(AccountError::NoSuchCollaborator) }
    }
}
