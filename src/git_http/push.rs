//! One push: the hook comes to a socket of its own with the new commit's files, the server builds
//! them and answers with the output, and at the end with whether the push may be taken.

use std::{
    collections::HashSet,
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::StreamExt as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
};
use tokio_util::{io::ReaderStream, sync::CancellationToken, sync::DropGuard};

use crate::{
    builder::{BuildError, BuildSource, OutputItem},
    domain::{AppId, BuildStatus, user::Actor},
    git_http::Git,
};

/// The last two bytes that the hook gets: a NUL and the verdict.
pub const TAKEN: [u8; 2] = [0, b'1'];
pub const REFUSED: [u8; 2] = [0, b'0'];
/// How long a push may take to arrive.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Where the hook of one push comes to; dropped, it is closed.
pub struct Door {
    path: PathBuf,
    _open: DropGuard,
    _alone: Option<Arc<Alone>>,
}

/// Which apps are pushed to right now. Cheap to clone.
#[derive(Clone, Default)]
pub struct Pushes(Arc<Mutex<HashSet<AppId>>>);

/// One push to an app at a time; dropped, the next may come.
struct Alone {
    app: AppId,
    pushes: Pushes,
}

impl Pushes {
    fn lock(&self) -> MutexGuard<'_, HashSet<AppId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None: another push to the app is under way.
    fn begin(&self, app: AppId) -> Option<Arc<Alone>> {
        self.lock().insert(app).then(|| Arc::new(Alone { app, pushes: self.clone() }))
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.pushes.lock().remove(&self.app);
    }
}

impl Door {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Opens a door for one push to an app.
pub fn open(git: &Git, root: &Path, app: AppId, by: Actor) -> io::Result<Door> {
    let path = root.join(format!("push-{:016x}", rand::random::<u64>()));
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let open = CancellationToken::new();
    let (git, closed) = (git.clone(), open.clone());
    let alone = git.pushes.begin(app);
    let building = alone.clone();
    let tasks = git.tasks.clone();
    tasks.spawn(async move {
        let accepted = tokio::select! {
            () = closed.cancelled() => return,
            accepted = tokio::time::timeout(PATIENCE, listener.accept()) => accepted,
        };
        // From here on the build goes its way, whether the pusher waits or not.
        match (accepted, building) {
            (Ok(Ok((stream, _))), Some(_alone)) => build(&git, app, &by, stream).await,
            (Ok(Ok((stream, _))), None) => refuse(stream).await,
            _ => {}
        }
    });
    Ok(Door { path, _open: open.drop_guard(), _alone: alone })
}

/// Reads what the hook has to say, so that it listens, and says no.
async fn refuse(stream: UnixStream) {
    let (mut read, mut write) = stream.into_split();
    let _ = tokio::io::copy(&mut read, &mut tokio::io::sink()).await;
    let _ = write.write_all(b" !     Another push to this app is being built. Wait for its end, then push again.\n").await;
    let _ = write.write_all(&REFUSED).await;
    let _ = write.shutdown().await;
}

async fn build(git: &Git, app: AppId, by: &Actor, stream: UnixStream) {
    let (read, mut write) = stream.into_split();
    let verdict = match follow(git, app, by, BufReader::new(read), &mut write).await {
        Ok(BuildStatus::Succeeded) => TAKEN,
        Ok(_) => REFUSED,
        Err(error) => {
            let _ = write.write_all(format!(" !     {error}\n").as_bytes()).await;
            REFUSED
        }
    };
    // A hook that is gone needs no verdict.
    let _ = write.write_all(&verdict).await;
    let _ = write.shutdown().await;
}

/// Takes the commit and its files, builds them, passes the output on.
async fn follow<R, W>(git: &Git, app: AppId, by: &Actor, mut read: BufReader<R>, write: &mut W) -> Result<BuildStatus, BuildError>
where
    R: tokio::io::AsyncRead + Unpin + Send + 'static,
    W: tokio::io::AsyncWrite + Unpin,
{
    let mut commit = String::new();
    read.read_line(&mut commit).await?;
    let commit = commit.trim().to_owned();
    if commit.len() > 64 || !commit.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(BuildError::NotUploaded);
    }
    let place = git.builder.create_source(Some(app), by).await?;
    let source = git.builder.receive(&place.put_token, ReaderStream::new(read).boxed()).await?;
    let (build, _) = git.builder.enqueue(app, BuildSource::Stored { source, version: Some(commit) }, by).await?;
    let mut output = git.builder.output(build.id, 0).await?;
    while let Some(item) = output.next().await {
        match item {
            // A pusher that is gone does not stop the build.
            OutputItem::Bytes { bytes, .. } => _ = write.write_all(&bytes).await,
            OutputItem::End(status) => return Ok(status),
        }
    }
    Err(BuildError::NoSuchBuild)
}
