//! A dump from an address of the user's: through the egress rule (https, public hosts, no redirects), as
//! large as the plan of the database at most, and of PostgreSQL's own format.

use std::time::Duration;

use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::BackupError;
use crate::egress::Egress;

/// Silence of the other side.
const PATIENCE: Duration = Duration::from_secs(30);
const NONE: &str = "Name a backup of this server (`heroku pg:backups` lists them) or the https address of a dump.";
/// What a dump in the custom format begins with.
const MAGIC: &[u8] = b"PGDMP";

/// An address that may be asked.
pub fn checked(egress: &Egress, url: &str) -> Result<Url, BackupError> {
    let parsed: Url = url.trim().parse().map_err(|_| BackupError::Address(NONE.to_owned()))?;
    egress.check(&parsed).map_err(|error| BackupError::Address(error.to_string()))?;
    Ok(parsed)
}

/// Writes what is there into `to`, at most so many bytes.
pub async fn fetch(egress: &Egress, url: &SecretString, most: u64, to: &mut (dyn AsyncWrite + Send + Unpin)) -> Result<(), BackupError> {
    let url = checked(egress, url.expose_secret())?;
    // Nothing of the address is told: it may hold the key to the dump.
    let failed = |error: reqwest::Error| {
        let error = error.without_url();
        let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source()).map(ToString::to_string);
        BackupError::Fetch(causes.last().unwrap_or_else(|| error.to_string()))
    };
    let client = egress.http().read_timeout(PATIENCE).build().map_err(failed)?;
    let mut answer = client.get(url).send().await.map_err(failed)?;
    if answer.status() != http::StatusCode::OK {
        return Err(BackupError::Fetch(format!("the server answered {}", answer.status())));
    }
    let too_large = || BackupError::Fetch(format!("it is larger than {} MB, which the plan of the database allows", most / 1024 / 1024));
    if answer.content_length().is_some_and(|length| length > most) {
        return Err(too_large());
    }
    let (mut count, mut head) = (0, Vec::new());
    while let Some(bytes) = answer.chunk().await.map_err(failed)? {
        count += bytes.len() as u64;
        if count > most {
            return Err(too_large());
        }
        let missing = MAGIC.len().saturating_sub(head.len()).min(bytes.len());
        head.extend_from_slice(&bytes[..missing]);
        if !MAGIC.starts_with(&head) {
            break;
        }
        to.write_all(&bytes).await?;
    }
    if head != MAGIC {
        return Err(BackupError::Fetch("it is no dump in PostgreSQL's custom format (pg_dump --format=custom)".to_owned()));
    }
    Ok(to.flush().await?)
}
