//! Sources: a place to upload to, used once, valid for an hour. The archive is stored as it came,
//! and never unpacked on the host.

use std::time::Duration;

use futures_util::StreamExt;
use secrecy::SecretString;
use tokio::{
    fs::{File, OpenOptions},
    io::AsyncWriteExt,
};
use tokio_util::io::ReaderStream;

use crate::{
    builder::{BuildError, BuildSource, Builder, NewSource, run::upload_path},
    domain::{AppId, SourceId, user::Actor},
    engine::ByteStream,
    secrets,
    store::sources::{NewSourceRow, Source},
};

/// How long a source can be uploaded to and built from.
const VALID: Duration = Duration::from_secs(3600);

impl Builder {
    /// A place for an upload, valid for an hour. `app` binds it to one app.
    pub async fn create_source(&self, app: Option<AppId>, by: &Actor) -> Result<NewSource, BuildError> {
        let (put_token, get_token) = (secrets::random_token(), secrets::random_token());
        let now = self.parts.clock.now();
        let row = NewSourceRow {
            id: SourceId::new(),
            app_id: app,
            user_id: by.id,
            put_hash: secrets::token_hash(&put_token),
            get_hash: secrets::token_hash(&get_token),
            created_at: now,
            expires_at: now + VALID,
        };
        self.parts.writer.insert_source(&row).await?;
        Ok(NewSource { id: row.id, put_token, get_token })
    }

    /// Receives the archive into the data folder, size-limited. Once: a second upload is refused.
    /// What it is, is judged when it is built.
    pub async fn receive(&self, put_token: &SecretString, body: ByteStream) -> Result<SourceId, BuildError> {
        self.parts.host.has_disk()?;
        let source = self.parts.reader.source_by_put(&secrets::token_hash(put_token)).await?;
        let source = self.valid(source)?;
        if source.uploaded_at.is_some() {
            return Err(BuildError::AlreadyUploaded);
        }
        let path = upload_path(&self.parts, &source.id.to_string());
        // The name is taken by making it: of two uploads at once one is refused.
        let file = OpenOptions::new().write(true).create_new(true).open(&path).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => BuildError::AlreadyUploaded,
            _ => BuildError::Io(error),
        })?;
        let mut unfinished = Unfinished(Some(path));
        let size = write(file, body, self.parts.config.limits.upload_bytes).await?;
        let noted = self.parts.writer.mark_uploaded(source.id, i64::try_from(size).unwrap_or(i64::MAX), self.parts.clock.now()).await?;
        if !noted {
            return Err(BuildError::AlreadyUploaded);
        }
        unfinished.0 = None;
        Ok(source.id)
    }

    /// The stored archive behind a get_url.
    pub async fn open_source(&self, get_token: &SecretString) -> Result<ByteStream, BuildError> {
        let source = self.parts.reader.source_by_get(&secrets::token_hash(get_token)).await?;
        let source = self.uploaded(source)?;
        let file = File::open(upload_path(&self.parts, &source.id.to_string())).await?;
        Ok(ReaderStream::new(file).boxed())
    }

    /// The source a build is made from, with the version given to it; it must be the asker's own.
    pub(super) async fn resolve(&self, app: AppId, source: BuildSource, by: &Actor) -> Result<(SourceId, Option<String>), BuildError> {
        let (found, version) = match source {
            BuildSource::Uploaded { get_token, version } => {
                (self.parts.reader.source_by_get(&secrets::token_hash(&get_token)).await?, version)
            }
            BuildSource::Stored { source, version } => (self.parts.reader.source(source).await?, version),
            BuildSource::Git(_) => return Err(BuildError::NoSuchSource),
        };
        let found = found.filter(|source| source.app_id.is_none_or(|bound| bound == app) && source.user_id == Some(by.id));
        let version = version.map(|version| version.trim().chars().take(128).collect::<String>()).filter(|version| !version.is_empty());
        Ok((self.uploaded(found)?.id, version))
    }

    fn valid(&self, source: Option<Source>) -> Result<Source, BuildError> {
        source.filter(|source| source.expires_at > self.parts.clock.now()).ok_or(BuildError::NoSuchSource)
    }

    fn uploaded(&self, source: Option<Source>) -> Result<Source, BuildError> {
        let source = self.valid(source)?;
        if source.uploaded_at.is_none() { Err(BuildError::NotUploaded) } else { Ok(source) }
    }
}

/// Removes an upload that did not come to its end, also when its request is dropped.
struct Unfinished(Option<std::path::PathBuf>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = self.0.take()
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::warn!(%error, "a broken upload could not be removed");
        }
    }
}

/// Writes a body into a file, at most `limit` bytes. How many they were.
pub(super) async fn write(mut file: File, mut body: ByteStream, limit: u64) -> Result<u64, BuildError> {
    let mut size = 0;
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        size += chunk.len() as u64;
        if size > limit {
            return Err(BuildError::TooLarge(limit / (1024 * 1024)));
        }
        file.write_all(&chunk).await?;
    }
    file.sync_all().await?;
    Ok(size)
}
