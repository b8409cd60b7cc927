//! The client side: subcommands speak to the running server; only when none runs do they open the
//! database themselves, under the lock.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{Request, body::Frame};
use hyper_util::rt::TokioIo;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::net::UnixStream;

use super::{DeployRequest, LOCK, NewToken, NewUser, PlanCommand, SOCKET, Said};
use crate::{
    accounts::Accounts,
    backup::BackupError,
    clock::SystemClock,
    plans::{Overrides, Plans},
    secrets::KeyRing,
    store::{self, Reader, Writer},
};

/// Why a subcommand failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("No server runs on {0}. Start it with script/server or siesta serve.")]
    NotRunning(PathBuf),
    #[error("Another program holds {0}, but no server answers on its socket. Wait a moment and try again.")]
    Locked(PathBuf),
    #[error("{0}")]
    Refused(String),
    #[error("The server's answer was cut off: {0}")]
    Broken(String),
    #[error("The deploy failed; the reason stands above.")]
    DeployFailed,
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

pub(super) type RequestBody = BoxBody<Bytes, std::io::Error>;

/// Speaks to the server of one data folder.
pub struct AdminClient {
    pub(super) data_dir: PathBuf,
}

impl AdminClient {
    pub fn new(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned() }
    }

    pub(super) async fn connect(&self) -> Option<UnixStream> {
        UnixStream::connect(self.data_dir.join(SOCKET)).await.ok()
    }

    /// Sends one request over a fresh connection.
    pub(super) async fn send(
        &self,
        stream: UnixStream,
        request: Request<RequestBody>,
    ) -> Result<hyper::Response<hyper::body::Incoming>, AdminError> {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| AdminError::Broken(e.to_string()))?;
        crate::scheduler::Tasks::new().spawn(async move {
            let _ = connection.await;
        });
        sender.send_request(request).await.map_err(|e| AdminError::Broken(e.to_string()))
    }

    async fn call<T: Serialize>(&self, stream: UnixStream, method: &str, path: &str, body: &T) -> Result<String, AdminError> {
        let bytes = Bytes::from(serde_json::to_vec(body).expect("plain structs are JSON"));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "admin")
            .header("content-type", "application/json")
            .body(Full::new(bytes).map_err(|never| match never {}).boxed())
            .expect("a valid request");
        let response = self.send(stream, request).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await.map_err(|e| AdminError::Broken(e.to_string()))?.to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let said = serde_json::from_str::<Said>(&text).map_or(text, |answer| answer.said);
        if status.is_success() { Ok(said) } else { Err(AdminError::Refused(said)) }
    }

    /// The database, when no server has it open.
    async fn database(&self) -> Result<(File, Reader, Writer), AdminError> {
        std::fs::create_dir_all(&self.data_dir)?;
        let path = self.data_dir.join(LOCK);
        let lock = File::create(&path)?;
        lock.try_lock().map_err(|_| AdminError::Locked(path))?;
        let (reader, writer) = store::open(&self.data_dir.join("siesta.db")).await.map_err(|e| AdminError::Refused(e.to_string()))?;
        Ok((lock, reader, writer))
    }

    async fn accounts(&self) -> Result<(File, Accounts), AdminError> {
        let (lock, reader, writer) = self.database().await?;
        let keys = KeyRing::open_or_create(&self.data_dir.join("key")).map_err(|e| AdminError::Refused(e.to_string()))?;
        Ok((lock, Accounts::new(reader, writer, Arc::new(SystemClock), Arc::new(keys))))
    }

    /// `siesta user create`.
    pub async fn create_user(&self, new: NewUser) -> Result<String, AdminError> {
        if let Some(stream) = self.connect().await {
            return self.call(stream, "POST", "/users", &new).await;
        }
        let (_lock, accounts) = self.accounts().await?;
        let made = accounts.create_user(&new.email, &SecretString::from(new.password), new.admin).await;
        made.map(|user| format!("Created {}.", user.email)).map_err(|e| AdminError::Refused(e.to_string()))
    }

    /// `siesta token create`: the token.
    pub async fn create_token(&self, new: NewToken) -> Result<String, AdminError> {
        if let Some(stream) = self.connect().await {
            return self.call(stream, "POST", "/tokens", &new).await;
        }
        let (_lock, accounts) = self.accounts().await?;
        let refused = |e: &dyn std::fmt::Display| AdminError::Refused(e.to_string());
        let user = accounts.by_email(&new.email).await.map_err(|e| refused(&e))?;
        let user = user.ok_or_else(|| AdminError::Refused("Couldn't find that account.".to_owned()))?;
        let (_, secret) = accounts.create_token(user.id, &new.description, None).await.map_err(|e| refused(&e))?;
        Ok(secret.expose_secret().to_owned())
    }

    /// `siesta plan`: what it prints.
    pub async fn plan(&self, command: PlanCommand) -> Result<String, AdminError> {
        if let Some(stream) = self.connect().await {
            return self.call(stream, "POST", "/plans", &command).await;
        }
        let (_lock, reader, writer) = self.database().await?;
        let plans = Plans::new(reader, writer, Arc::new(SystemClock), Overrides::default());
        plans.load().await.map_err(|e| AdminError::Refused(e.to_string()))?;
        command.run(&plans).await.map_err(|e| AdminError::Refused(e.to_string()))
    }

    /// A call that needs the running server.
    pub async fn ask<T: Serialize>(&self, method: &str, path: &str, body: &T) -> Result<String, AdminError> {
        let stream = self.connect().await.ok_or_else(|| AdminError::NotRunning(self.data_dir.clone()))?;
        self.call(stream, method, path, body).await
    }

    /// `siesta deploy`: sends the folder and prints the build's output as it comes.
    pub async fn deploy(&self, folder: &Path, request: DeployRequest) -> Result<(), AdminError> {
        let stream = self.connect().await.ok_or_else(|| AdminError::NotRunning(self.data_dir.clone()))?;
        let archive = pack(folder)?;
        let chunks = tokio_util::io::ReaderStream::new(tokio::fs::File::from_std(archive)).map(|chunk| chunk.map(Frame::data));
        let query = format!("/deploy?app={}&version={}", request.app, request.version.unwrap_or_default());
        let request = Request::post(query.trim_end_matches("&version="))
            .header("host", "admin")
            .header("content-type", "application/octet-stream")
            .body(BodyExt::boxed(StreamBody::new(chunks)))
            .map_err(|e| AdminError::Refused(e.to_string()))?;
        let response = self.send(stream, request).await?;
        let ok = response.status().is_success();
        let mut body = response.into_body();
        let mut last = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| AdminError::Broken(e.to_string()))?;
            if let Some(bytes) = frame.data_ref() {
                if ok {
                    std::io::stdout().write_all(bytes)?;
                    std::io::stdout().flush()?;
                }
                last.extend_from_slice(bytes);
                last.drain(..last.len().saturating_sub(4096));
            }
        }
        let last = String::from_utf8_lossy(&last).into_owned();
        match ok {
            true if last.contains("siesta: deployed ") => Ok(()),
            true => Err(AdminError::DeployFailed),
            false => Err(AdminError::Refused(serde_json::from_str::<Said>(&last).map_or(last, |answer| answer.said))),
        }
    }
}

/// Packs a folder as tar.gz into a temporary file, without `.git` and Python's caches.
fn pack(folder: &Path) -> std::io::Result<File> {
    fn add(tar: &mut tar::Builder<impl Write>, folder: &Path, inside: &Path) -> std::io::Result<()> {
        let mut entries: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            if name == ".git" || name == "__pycache__" || name == ".venv" {
                continue;
            }
            let (path, inside) = (entry.path(), inside.join(&name));
            if entry.file_type()?.is_dir() {
                tar.append_dir(&inside, &path)?;
                add(tar, &path, &inside)?;
            } else {
                tar.append_path_with_name(&path, &inside)?;
            }
        }
        Ok(())
    }
    let mut file = tempfile::tempfile()?;
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(&mut file, flate2::Compression::fast()));
    tar.follow_symlinks(false);
    add(&mut tar, folder, Path::new(""))?;
    tar.into_inner()?.finish()?;
    std::io::Seek::rewind(&mut file)?;
    Ok(file)
}
