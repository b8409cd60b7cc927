//! The operator's door: a Unix socket (0600) in the data folder through which the subcommands talk
//! to the running server, and the client side of it (decisions 9: one writer, always).

mod backup;
mod client;
mod doctor;
mod door;
mod plan;

pub use backup::{BackupRequest, passphrase, restore};
pub use client::{AdminClient, AdminError};
pub use doctor::examine;
pub use door::{DeployRequest, Door, NewToken, NewUser, Reset, Said, serve};
pub use plan::PlanCommand;

/// The socket's name inside the data folder.
pub const SOCKET: &str = "admin.sock";
/// Held by whoever may write the database.
pub const LOCK: &str = "lock";
