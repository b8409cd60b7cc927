//! The user's own machine: `siesta login` keeps a key of a server somewhere else, `siesta proxy` opens
//! doors to it on loopback, where the official CLI, git and `psql` may go.

mod door;
mod login;
mod postgres;
mod proxy;

use std::{io, path::PathBuf};

use crate::tls::TlsError;

pub use login::{Keyring, Login, LoginOptions, log_in};
pub use proxy::{ProxyOptions, proxy};

/// Why it did not work.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    #[error("{0} is no address of a server. Name its https address, such as https://siesta.example.org:8443.")]
    BadAddress(String),
    #[error("{0} cannot be read or written: {1}")]
    File(PathBuf, io::Error),
    #[error("{0} holds no certificate in PEM form. On the server `siesta ca` prints it.")]
    NoCertificate(PathBuf),
    #[error("There is nowhere to keep a key: set HOME, or SIESTA_LOGIN to the path of a file.")]
    NoHome,
    #[error("Nobody is logged in on this machine. Run siesta login https://SERVER first.")]
    NotLoggedIn,
    #[error("{0} is damaged. Run siesta login again.")]
    Damaged(PathBuf),
    #[error("{server} does not answer: {why}")]
    Unreachable { server: String, why: String },
    #[error(
        "The certificate of {0} is not trusted on this machine. When the server has a CA of its own, take its certificate \
         from `siesta ca` there, bring it here by a way you trust, and add --ca FILE."
    )]
    Untrusted(String),
    #[error("The account asks for a second factor: add --code with six digits.")]
    SecondFactor,
    #[error("{0}")]
    Refused(String),
    #[error("127.0.0.1:{0} cannot be listened on: {1}. Choose another port with --port.")]
    Port(u16, io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
}
