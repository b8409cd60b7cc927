//! Fetching a commit: the archive of exactly that commit, and of the submodules its tree names. The
//! git program takes no part (security.md SR1).

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::fs::File;

use crate::{
    builder::{BuildError, GitSource, archive, run::Run, upload},
    connections::ConnectionError,
    domain::{BuildId, CommitSha, RepoName},
    github::{Access, GitHostError, Submodule},
    store::git_builds::GitBuild,
};

/// Submodules of one build, those of submodules included.
const MAX_SUBMODULES: usize = 20;
/// Begins the name of a folder a commit is fetched into.
const PREFIX: &str = "git-";

/// A fetched commit; its folder goes with it.
pub struct Fetched {
    pub archive: PathBuf,
    _folder: TempDir,
}

/// The row of a build of a commit.
pub fn row(build_id: BuildId, git: GitSource) -> GitBuild {
    let GitSource { repository, branch, sha, title, access, automatic } = git;
    let title = title.chars().filter(|c| !c.is_control()).take(200).collect();
    GitBuild { build_id, repository, branch, sha, title, user_id: access, automatic }
}

/// Removes what a killed server had begun to fetch.
pub fn remove_leftovers(root: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(root.join("uploads"))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Why a file of Git LFS is no source, and what to do.
pub fn lfs_refusal(path: &str) -> String {
    format!(
        "`{path}` is kept in Git LFS: the repository holds only a pointer to it, and an app would get the pointer. \
         Commit the file itself (git lfs untrack), load it at run time, or list it in .slugignore if the app does not need it."
    )
}

fn host(error: GitHostError) -> BuildError {
    ConnectionError::from(error).into()
}

impl Run {
    /// Fetches the commit of this build into a folder of its own.
    pub(super) async fn fetch(&mut self, git: &GitBuild) -> Result<Fetched, BuildError> {
        self.log.step(&format!("Receiving {} at {} ({})", git.repository, git.sha.short(), git.branch));
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(self.parts.root.join("uploads"))?;
        let access = self.parts.connections.access_of(git.user_id).await?;
        let outcome = self.fetch_all(git, &access, folder.path()).await;
        if let (Err(BuildError::Connection(ConnectionError::Host(GitHostError::Unauthorized))), Some(user)) = (&outcome, git.user_id) {
            self.parts.connections.note_revoked(user).await?;
        }
        Ok(Fetched { archive: outcome?, _folder: folder })
    }

    async fn fetch_all(&mut self, git: &GitBuild, access: &Access, folder: &Path) -> Result<PathBuf, BuildError> {
        let root = folder.join("0");
        let mut left = self.parts.config.limits.upload_bytes;
        left -= self.archive(access, (&git.repository, &git.sha), &root, left).await?;
        let mut parts = vec![(String::new(), root)];
        let mut known = vec![(String::new(), git.repository.clone(), git.sha.clone())];
        let mut next = 0;
        while next < known.len() {
            let (at, repository, sha) = known[next].clone();
            next += 1;
            for (path, repository, sha) in self.submodules(access, &at, &repository, &sha).await? {
                if parts.len() > MAX_SUBMODULES {
                    return Err(BuildError::Rejected(format!("The repository has more than {MAX_SUBMODULES} submodules.")));
                }
                self.log.detail(&format!("Submodule {path}: {repository} at {}", sha.short()));
                let file = folder.join(parts.len().to_string());
                left -= self.archive(access, (&repository, &sha), &file, left).await?;
                parts.push((path.clone(), file));
                known.push((path, repository, sha));
            }
        }
        if parts.len() == 1 {
            return Ok(parts.remove(0).1);
        }
        let (joined, limits) = (folder.join("joined"), self.archive_limits());
        let file = std::fs::File::create(&joined)?;
        let done = tokio::task::spawn_blocking(move || archive::join(&parts, &file, limits)).await.map_err(std::io::Error::other)?;
        done.map_err(|error| BuildError::Rejected(error.to_string()))?;
        Ok(joined)
    }

    /// One archive into a file. Its size.
    async fn archive(&self, access: &Access, of: (&RepoName, &CommitSha), to: &Path, limit: u64) -> Result<u64, BuildError> {
        let stream = self.parts.github.tarball(access.clone(), of.0.clone(), of.1.clone()).await.map_err(host)?;
        upload::write(File::create(to).await?, stream, limit).await
    }

    /// The submodules of a commit with the repositories they come from.
    async fn submodules(
        &self,
        access: &Access,
        at: &str,
        repository: &RepoName,
        sha: &CommitSha,
    ) -> Result<Vec<(String, RepoName, CommitSha)>, BuildError> {
        let github = &self.parts.github;
        let named = github.tree(access.clone(), repository.clone(), sha.clone()).await.map_err(host)?.submodules;
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let file = github.file(access.clone(), repository.clone(), sha.clone(), ".gitmodules".to_owned()).await.map_err(host)?;
        let urls = urls_of(&String::from_utf8_lossy(&file));
        let resolved = named.into_iter().map(|Submodule { path, sha }| {
            let url = urls.iter().find(|(known, _)| *known == path).map(|(_, url)| url.as_str());
            let Some(url) = url else { return Err(format!("The submodule `{path}` has no address in .gitmodules.")) };
            let source = repository_of(url, repository, &github.web_url()).ok_or_else(|| {
                format!(
                    "The submodule `{path}` comes from `{}`. Only submodules over https from the same host can be deployed.",
                    shown(url)
                )
            })?;
            let path = if at.is_empty() { path } else { format!("{at}/{path}") };
            Ok((path, source, sha))
        });
        resolved.collect::<Result<_, _>>().map_err(BuildError::Rejected)
    }
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// Path and address of each submodule in a `.gitmodules`.
fn urls_of(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let (mut path, mut url) = (None, None);
    for line in text.lines().map(str::trim).chain(["["]) {
        if line.starts_with('[') {
            if let (Some(path), Some(url)) = (path.take(), url.take()) {
                found.push((path, url));
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        match key.trim() {
            "path" => path = Some(value.trim().to_owned()),
            "url" => url = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    found
}

/// The repository an address names, if it is on the same host; `../other.git` is beside ours.
fn repository_of(url: &str, ours: &RepoName, web: &str) -> Option<RepoName> {
    let path = match url.strip_prefix("../") {
        Some(beside) if !beside.contains('/') => format!("{}/{beside}", ours.owner()),
        Some(above) => above.strip_prefix("../")?.to_owned(),
        None => url.strip_prefix(web)?.strip_prefix('/')?.to_owned(),
    };
    let path = path.trim_end_matches('/');
    path.strip_suffix(".git").unwrap_or(path).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submodules_come_from_the_same_host_only() {
        let ours: RepoName = "ana/tienda".parse().unwrap();
        let of = |url: &str| repository_of(url, &ours, "https://github.com").map(|name| name.to_string());
        let found = |name: &str| Some(name.to_owned());
        assert_eq!(of("https://github.com/luis/tema.git"), found("luis/tema"));
        assert_eq!(of("https://github.com/luis/tema/"), found("luis/tema"));
        assert_eq!(of("../tema.git"), found("ana/tema"));
        assert_eq!(of("../../luis/tema"), found("luis/tema"));
        let foreign = [
            "https://github.com.evil.example/a/b",
            "https://evil.example/a/b",
            "git@github.com:luis/tema.git",
            "ext::sh -c id",
            "file:///etc",
            "http://github.com/a/b",
            "https://github.com/a/../../b",
            "../../../x/y",
            "./x",
            "",
        ];
        for url in foreign {
            assert_eq!(of(url), None, "{url}");
        }
    }

    #[test]
    fn gitmodules_are_read_whatever_their_order() {
        let text =
            "[submodule \"a\"]\n\tpath = libs/a\n\turl = ../a.git\n\tbranch = main\n[submodule \"b\"]\nurl=https://x/b\npath=b\n[x]\n";
        let expected = [("libs/a", "../a.git"), ("b", "https://x/b")].map(|(path, url)| (path.to_owned(), url.to_owned()));
        assert_eq!(urls_of(text), expected);
    }
}
