//! Tenancy in a type: a handler that touches an app takes an `AppAccess`, never a name or an id.

use std::collections::HashMap;

use axum::extract::{FromRef, FromRequestParts, Path};
use http::request::Parts;

use crate::{
    apps::App,
    domain::user::Actor,
    http::{CurrentUser, Fault},
    store::Reader,
};

/// The app named `{app}` in the path, and the account that may touch it. What is not yours and what
/// is not there are the same 404.
#[derive(Clone, Debug)]
pub struct AppAccess {
    pub app: App,
    pub by: Actor,
}

impl<S> FromRequestParts<S> for AppAccess
where
    S: Send + Sync,
    Reader: FromRef<S>,
{
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        let CurrentUser(user) = CurrentUser::from_request_parts(parts, state).await?;
        let Path(path) = Path::<HashMap<String, String>>::from_request_parts(parts, state).await.map_err(|_| Fault::not_found("app"))?;
        let named = path.get("app").expect("a route of an app has {app} in its path");
        let app = Reader::from_ref(state).accessible_app(user.id, named).await?.ok_or_else(|| Fault::not_found("app"))?;
        Ok(AppAccess { app, by: Actor { id: user.id, email: user.email } })
    }
}
