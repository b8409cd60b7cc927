//! Tenancy in a type: a handler that touches an app takes an `AppAccess`, never a name or an id,
//! and says in its type what the account must be allowed to do.

use std::collections::HashMap;

use axum::extract::{FromRef, FromRequestParts, Path};
use http::request::Parts;

use crate::{
    apps::App,
    domain::{Role, UserId, user::Actor},
    http::{CurrentUser, Fault},
    store::Reader,
};

const VIEW: u8 = Role::View as u8;
const DEPLOY: u8 = Role::Deploy as u8;
const OWNER: u8 = Role::Owner as u8;

/// The app of that name or id, for an account that must have the role `needed` or a greater one:
/// for apps that a body names.
///
/// # Errors
/// 404 without any role, 403 with one that is too small.
pub async fn app_for(reader: &Reader, user: UserId, named: &str, needed: Role) -> Result<App, Fault> {
    let (app, role) = reader.accessible_app(user, named).await?.ok_or_else(|| Fault::not_found("app"))?;
    if role < needed {
        let way = if needed == Role::Owner { "Only its owner may do that" } else { "Ask its owner for the role `deploy`" };
        return Err(Fault::forbidden(format!("Your role on the app {} is `{}`. {way}.", app.name, role.as_str())));
    }
    Ok(app)
}

/// The app named `{app}` in the path, and the account that may touch it: whoever has the role
/// `NEEDS` or a greater one; without a word its owner alone. What you have no role on and what is
/// not there are the same 404; a role that is too small is a 403.
#[derive(Clone, Debug)]
pub struct AppAccess<const NEEDS: u8 = OWNER> {
    pub app: App,
    pub by: Actor,
}

/// Whoever may see the app.
pub type Viewer = AppAccess<VIEW>;
/// Whoever may deploy it, change its config vars and its formation.
pub type Deployer = AppAccess<DEPLOY>;
/// Its owner.
pub type Owning = AppAccess<OWNER>;

impl<S, const NEEDS: u8> FromRequestParts<S> for AppAccess<NEEDS>
where
    S: Send + Sync,
    Reader: FromRef<S>,
{
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        let CurrentUser(user) = CurrentUser::from_request_parts(parts, state).await?;
        let Path(path) = Path::<HashMap<String, String>>::from_request_parts(parts, state).await.map_err(|_| Fault::not_found("app"))?;
        let named = path.get("app").expect("a route of an app has {app} in its path");
        let needed = [Role::View, Role::Deploy, Role::Owner].into_iter().find(|role| *role as u8 == NEEDS).unwrap_or(Role::Owner);
        let app = app_for(&Reader::from_ref(state), user.id, named, needed).await?;
        Ok(AppAccess { app, by: Actor { id: user.id, email: user.email } })
    }
}
