//! Shared by the edges: who is asking and what they may touch, the origin check, request ids, and
//! the one table from failure to status.
//!
//! Each edge finds out who asks in a way of its own (`authenticate_session` for pages,
//! `authenticate_token` for the API) and leaves a `Caller` in the request. The extractors know
//! nothing else, so a page never honours a token and the API never a cookie. A `Fault` travels to
//! the edge's outermost layer inside the response and is rendered there: as JSON or as a page.
//!
//! The state of an edge gives these by `FromRef`: `Arc<Config>`, `Accounts`, `Reader`.

mod access;
mod body;
mod caller;
mod cookies;
mod fault;
mod guard;
mod trail;

pub use access::{AppAccess, Deployer, Owning, Viewer, app_for};
pub use body::Json;
pub use caller::{Caller, ClientAddress, CurrentUser, MaybeUser, authenticate_session, authenticate_token, credentials, origin_of};
pub use cookies::{end_session_cookie, session_cookie, session_token};
pub use fault::Fault;
pub use guard::{RequestId, has_own_origin, request_id, require_same_origin, security_headers};
pub use trail::{ActedBy, keep_trail};
