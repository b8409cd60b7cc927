//! The file system of a fake container: what archives put there, and what comes out again.

use std::{
    collections::BTreeMap,
    io::{Cursor, Read},
    path::{Component, Path, PathBuf},
};

use bytes::Bytes;
use futures_util::TryStreamExt;

use crate::engine::{ByteStream, EngineError, EngineResult, Labels};

#[derive(Clone)]
struct Entry {
    header: tar::Header,
    link: Option<PathBuf>,
    content: Bytes,
}

/// Files and folders by absolute path.
#[derive(Clone, Default)]
pub(super) struct Files(BTreeMap<PathBuf, Entry>);

/// Reads a whole stream.
pub(super) async fn collect(tar: ByteStream) -> EngineResult<Bytes> {
    let chunks: Vec<Bytes> = tar.try_collect().await.map_err(broken)?;
    Ok(chunks.concat().into())
}

fn broken(error: std::io::Error) -> EngineError {
    EngineError::Refused(format!("the archive is broken: {error}"))
}

impl Files {
    /// Unpacks a tar below `path`. Names that leave it are refused, as Docker does.
    pub(super) fn unpack(&mut self, path: &Path, tar: &[u8]) -> EngineResult<()> {
        for entry in tar::Archive::new(Cursor::new(tar)).entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let name = entry.path().map_err(broken)?.into_owned();
            let inside = name.components().filter(|part| !matches!(part, Component::CurDir | Component::RootDir)).collect::<PathBuf>();
            if inside.components().any(|part| part == Component::ParentDir) {
                return Err(EngineError::Refused(format!("{} is outside of the archive's folder", name.display())));
            }
            let link = entry.link_name().map_err(broken)?.map(|link| link.into_owned());
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(broken)?;
            self.0.insert(path.join(inside), Entry { header: entry.header().clone(), link, content: content.into() });
        }
        Ok(())
    }

    /// A file or folder as a tar whose names begin with its own last part.
    pub(super) fn pack(&self, path: &Path) -> EngineResult<Bytes> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        let mut tar = tar::Builder::new(Vec::new());
        let mut found = false;
        for (at, entry) in self.0.iter().filter(|(at, _)| at.starts_with(path)) {
            found = true;
            let name = at.strip_prefix(parent).expect("below the parent");
            if name.as_os_str().is_empty() {
                continue;
            }
            let mut header = entry.header.clone();
            match &entry.link {
                Some(target) => tar.append_link(&mut header, name, target),
                None => tar.append_data(&mut header, name, entry.content.as_ref()),
            }
            .map_err(broken)?;
        }
        if !found {
            return Err(EngineError::NoSuchPath(path.display().to_string()));
        }
        tar.into_inner().map(Bytes::from).map_err(broken)
    }

    pub(super) fn write(&mut self, path: &Path, content: Bytes) {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        self.0.insert(path.to_owned(), Entry { header, link: None, content });
    }

    /// Bytes of all files.
    pub(super) fn size(&self) -> u64 {
        self.0.values().map(|entry| entry.content.len() as u64).sum()
    }

    pub(super) fn content(&self, path: &Path) -> Option<Bytes> {
        self.0.get(path).map(|entry| entry.content.clone())
    }
}

/// The names and labels in an archive as `docker save` writes it.
pub(super) fn saved_images(tar: &[u8]) -> EngineResult<Vec<(String, Labels)>> {
    let mut files = Files::default();
    files.unpack(Path::new("/"), tar)?;
    let json = |path: &str| -> EngineResult<serde_json::Value> {
        let content = files.content(&Path::new("/").join(path));
        let content = content.ok_or_else(|| EngineError::Refused(format!("the archive has no {path}")))?;
        serde_json::from_slice(&content).map_err(|error| EngineError::Refused(format!("{path} is not JSON: {error}")))
    };
    let mut images = Vec::new();
    for image in json("manifest.json")?.as_array().into_iter().flatten() {
        let config = json(image["Config"].as_str().unwrap_or_default())?;
        let labels: Labels = serde_json::from_value(config["config"]["Labels"].clone()).unwrap_or_default();
        let names = image["RepoTags"].as_array().into_iter().flatten().filter_map(|name| name.as_str());
        images.extend(names.map(|name| (name.to_owned(), labels.clone())));
    }
    Ok(images)
}
