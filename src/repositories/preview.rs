//! A preview of the newest commit of a branch before it is deployed: what its Procfile starts and which
//! file lists its packages, judged as a build would judge them.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use futures_util::future::try_join_all;

use crate::{
    builder::{Preview, SourceTree},
    domain::{BranchName, CommitSha, git::Head},
    github::{Tree, TreeFile},
    repositories::{Link, Repositories, RepositoryError},
};

/// Files that are read of one commit. A source with more is not judged.
const MAX_FILES: usize = 24;
/// The largest file the host gives by its path, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;
/// Previews that are remembered.
const KEPT: usize = 64;

/// A branch as it is now.
#[derive(Clone, Debug)]
pub struct BranchPreview {
    pub branch: BranchName,
    pub head: Head,
    /// None: there is more to read than the host gives at once.
    pub preview: Option<Preview>,
}

/// A repository by its id at the host, and a commit of it.
type Commit = (i64, CommitSha);

/// The latest ones: a commit never changes, and the host counts every question.
#[derive(Default)]
pub(super) struct Previews(Mutex<VecDeque<(Commit, Option<Preview>)>>);

impl Previews {
    /// None: nobody asked for it yet.
    fn known(&self, of: &Commit) -> Option<Option<Preview>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|(key, _)| key == of).map(|(_, preview)| preview.clone())
    }

    fn keep(&self, of: Commit, preview: Option<Preview>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.truncate(KEPT - 1);
        known.push_front((of, preview));
    }
}

impl Repositories {
    /// Previews at the branch that is followed, or at the default branch.
    pub async fn preview(&self, link: &Link) -> Result<BranchPreview, RepositoryError> {
        let link = self.current(link).await?;
        let branch = link.branch.clone().unwrap_or_else(|| link.default_branch.clone());
        let head = self.head(&link, &branch).await?;
        let key = (link.host_id, head.sha.clone());
        let preview = match self.previews.known(&key) {
            Some(preview) => preview,
            None => {
                let preview = self.judge(&link, &head.sha).await?;
                self.previews.keep(key, preview.clone());
                preview
            }
        };
        Ok(BranchPreview { branch, head, preview })
    }

    async fn judge(&self, link: &Link, sha: &CommitSha) -> Result<Option<Preview>, RepositoryError> {
        let (github, name, at) = (self.parts.github.clone(), link.name.clone(), sha.clone());
        let Tree { files, truncated, .. } =
            self.with_access(link.user_id, |access| async move { github.tree(access, name, at).await }).await?;
        let mut tree = SourceTree::default();
        files.iter().for_each(|file| tree.note(&file.path));
        tree.sort();
        let (large, small): (Vec<_>, Vec<_>) =
            files.into_iter().filter_map(|file| Some((SourceTree::wanted(&file.path)?, file))).partition(|(most, file)| file.size > *most);
        tree.too_large.extend(large.into_iter().map(|(_, file)| file.path));
        if truncated || small.len() > MAX_FILES || small.iter().any(|(_, file)| file.size > MAX_BYTES) {
            return Ok(None);
        }
        let read = small.into_iter().map(|(_, file)| self.read_file(link, sha, file));
        for (path, content) in try_join_all(read).await? {
            tree.keep(&path, content);
        }
        Ok(Some(Preview::of(&tree)))
    }

    async fn read_file(&self, link: &Link, sha: &CommitSha, file: TreeFile) -> Result<(String, Vec<u8>), RepositoryError> {
        let (github, name, at, path) = (self.parts.github.clone(), link.name.clone(), sha.clone(), file.path.clone());
        let content = self.with_access(link.user_id, |access| async move { github.file(access, name, at, path).await }).await?;
        Ok((file.path, content))
    }
}
