//! Archives into and out of a container. Nothing is ever unpacked on the host (security.md SR5).

use std::{
    io::Cursor,
    path::{Component, Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex},
};

use bollard::query_parameters as query;
use futures_util::{StreamExt, stream};

use super::{BULK, QUICK, Subject, translate, within};
use crate::engine::{ByteStream, ContainerId, EngineError, EngineResult};

/// This much of an archive is kept back to read its first name from.
const HEAD_BYTES: usize = 64 * 1024;

/// Unpacks `tar` at `path`, then looks whether its first entry is there: an engine was seen to
/// answer 200 and unpack nothing.
pub(super) async fn put(client: &bollard::Docker, id: &ContainerId, path: &Path, tar: ByteStream) -> EngineResult<()> {
    let at = path.to_string_lossy().into_owned();
    let head = Arc::new(Mutex::new(Vec::new()));
    let failure = Arc::new(Mutex::new(None));
    let tapped = tap(tar, head.clone(), failure.clone());
    let options = query::UploadToContainerOptionsBuilder::new().path(&at).build();
    let call = client.upload_to_container(&id.0, Some(options), bollard::body_try_stream(tapped));
    let done = within(BULK, "unpack an archive", Subject::Path(&at), call).await;
    if let Some(why) = failure.lock().expect("no panic while it is held").take() {
        return Err(EngineError::Refused(format!("the archive broke off: {why}")));
    }
    done?;
    let first = first_name(&head.lock().expect("no panic while it is held"));
    let Some(first) = first else { return Ok(()) };
    let expected = path.join(first).to_string_lossy().into_owned();
    let options = query::ContainerArchiveInfoOptionsBuilder::new().path(&expected).build();
    let call = client.get_container_archive_info(&id.0, Some(options));
    match within(QUICK, "look for an archive's file", Subject::Path(&expected), call).await {
        Err(EngineError::NoSuchPath(_)) => Err(EngineError::Refused(format!("it took the archive, but {expected} is not there"))),
        other => other.map(drop),
    }
}

/// Passes a stream on, keeps its beginning and why it failed.
fn tap(tar: ByteStream, head: Arc<Mutex<Vec<u8>>>, failure: Arc<Mutex<Option<String>>>) -> ByteStream {
    tar.inspect(move |chunk| match chunk {
        Ok(bytes) => {
            let mut head = head.lock().expect("no panic while it is held");
            let missing = HEAD_BYTES.saturating_sub(head.len());
            head.extend_from_slice(&bytes[..bytes.len().min(missing)]);
        }
        Err(error) => *failure.lock().expect("no panic while it is held") = Some(error.to_string()),
    })
    .boxed()
}

/// The first name in an archive, without its leading `./` or `/`.
fn first_name(head: &[u8]) -> Option<PathBuf> {
    let mut archive = tar::Archive::new(Cursor::new(head));
    let entry = archive.entries().ok()?.next()?.ok()?;
    let name = entry.path().ok()?.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    Some(name)
}

/// A file or folder as a tar stream; what is not there is known before the stream begins.
pub(super) async fn get(client: &bollard::Docker, id: &ContainerId, path: &Path) -> EngineResult<ByteStream> {
    let at = path.to_string_lossy().into_owned();
    let options = query::DownloadFromContainerOptionsBuilder::new().path(&at).build();
    let mut chunks = Box::pin(client.download_from_container(&id.0, Some(options)));
    let first = match tokio::time::timeout(BULK, next(&mut chunks)).await {
        Ok(Some(Err(error))) => return Err(translate::error(error, Subject::Path(&at))),
        Ok(first) => first,
        Err(_) => return Err(EngineError::TimedOut("pack an archive")),
    };
    Ok(stream::iter(first).chain(chunks).map(|chunk| chunk.map_err(std::io::Error::other)).boxed())
}

async fn next<S: futures_util::Stream + ?Sized>(stream: &mut Pin<Box<S>>) -> Option<S::Item> {
    stream.next().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(names: &[&str]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = tar::Header::new_gnu();
            header.set_size(2);
            tar.append_data(&mut header, name, &b"ok"[..]).unwrap();
        }
        tar.into_inner().unwrap()
    }

    #[test]
    fn the_first_name_is_read_from_the_head_alone() {
        let long = format!("{}/file", "folder".repeat(40));
        assert_eq!(first_name(&archive(&["./a/b", "c"])), Some("a/b".into()));
        assert_eq!(first_name(&archive(&[&long, "c"])), Some(long.into()));
        assert_eq!(first_name(&archive(&[])), None);
        assert_eq!(first_name(b"not a tar"), None);
    }
}
