//! What detection needs to know of a source: names and small contents, read from the archive's
//! stream. Values only; nothing here opens a file.

use std::collections::{BTreeMap, BTreeSet};

/// The largest file whose content is kept, in bytes. Lock files may be larger: see `MAX_LOCK_BYTES`.
pub const MAX_KEPT_BYTES: u64 = 64 * 1024;
/// The largest lock file, in bytes.
pub const MAX_LOCK_BYTES: u64 = 4 * 1024 * 1024;
/// All contents kept of one source, in bytes.
pub const MAX_TOTAL_BYTES: usize = 8 * 1024 * 1024;

const LOCKS: [&str; 4] = ["Pipfile.lock", "poetry.lock", "uv.lock", "pdm.lock"];
const KEPT: [&str; 14] = [
    "Procfile",
    "runtime.txt",
    ".python-version",
    "Pipfile",
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "app.json",
    "siesta.yml",
    "siesta.yaml",
    "bin/pre_compile",
    "bin/post_compile",
    ".slugignore",
    "poetry.toml",
];
/// Folders between the root and a `manage.py` that is still found, one less than Heroku's levels.
const MANAGE_PY_FOLDERS: usize = 2;

/// The files of a source, after the top folder was stripped and ignored files were dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceTree {
    /// Names in the root: files and folders.
    pub root: BTreeSet<String>,
    /// Contents of the files detection reads, by path.
    pub contents: BTreeMap<String, Vec<u8>>,
    /// Kept files that were too large to keep, by path.
    pub too_large: BTreeSet<String>,
    /// Folders with a `manage.py`, nearest first; the root is ``.
    pub manage_py: Vec<String>,
    /// Files in all.
    pub files: usize,
    /// Files that stand for a large one which Git LFS keeps elsewhere.
    pub lfs_pointers: Vec<String>,
}

impl SourceTree {
    /// A tree of these files.
    #[cfg(test)]
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> SourceTree {
        let mut tree = SourceTree::default();
        for (path, content) in files {
            tree.note(path);
            tree.keep(path, content.as_bytes().to_vec());
        }
        tree.sort();
        tree
    }

    /// The most that is kept of a file's content; None: nothing.
    pub fn wanted(path: &str) -> Option<u64> {
        if LOCKS.contains(&path) {
            return Some(MAX_LOCK_BYTES);
        }
        // Requirement files name each other by any path.
        let requirements = (path.ends_with(".txt") || path.ends_with(".in")) && path.matches('/').count() <= 2;
        (KEPT.contains(&path) || requirements).then_some(MAX_KEPT_BYTES)
    }

    /// Notes that a file is there.
    pub fn note(&mut self, path: &str) {
        self.files += 1;
        let first = path.split('/').next().unwrap_or(path);
        if !self.root.contains(first) {
            self.root.insert(first.to_owned());
        }
        let folder = path.strip_suffix("manage.py").filter(|folder| folder.is_empty() || folder.ends_with('/'));
        if let Some(folder) = folder
            && folder.matches('/').count() <= MANAGE_PY_FOLDERS
        {
            self.manage_py.push(folder.trim_end_matches('/').to_owned());
        }
    }

    /// Keeps a file's content.
    pub fn keep(&mut self, path: &str, content: Vec<u8>) {
        self.contents.insert(path.to_owned(), content);
    }

    /// Puts the nearest `manage.py` first.
    pub fn sort(&mut self) {
        self.manage_py.sort_by_key(|folder| (folder.split('/').filter(|part| !part.is_empty()).count(), folder.clone()));
    }

    /// A kept file as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self, path: &str) -> Option<String> {
        let bytes = self.contents.get(path)?;
        Some(String::from_utf8_lossy(bytes).trim_start_matches('\u{feff}').to_owned())
    }

    /// Whether the root holds this file or folder.
    pub fn has(&self, name: &str) -> bool {
        self.root.contains(name)
    }
}
