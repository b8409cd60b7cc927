//! The bare repository of an app, made of a few files of ours: no program is run for it.

use std::{io, os::unix::fs::PermissionsExt as _, path::Path};

use tokio::fs;

use crate::domain::AppId;

/// The one hook there is. It hands the new commits to the server, which builds them.
const HOOK: &str = "#!/bin/sh\nexec \"$SIESTA_PROGRAM\" git-hook\n";

/// Its name below the folder of repositories.
pub fn folder(app: AppId) -> String {
    format!("{app}.git")
}

/// Makes it unless it is there; its configuration is written every time, so that it is always ours.
pub async fn prepare(root: &Path, app: AppId, largest_push: u64) -> io::Result<()> {
    let hooks = root.join("hooks");
    fs::create_dir_all(&hooks).await?;
    put(&hooks.join("pre-receive"), HOOK, 0o700).await?;
    let repository = root.join(folder(app));
    for part in ["objects/info", "objects/pack", "refs/heads", "refs/tags"] {
        fs::create_dir_all(repository.join(part)).await?;
    }
    let head = repository.join("HEAD");
    if !fs::try_exists(&head).await? {
        put(&head, "ref: refs/heads/main\n", 0o600).await?;
    }
    let config = format!(
        "[core]\n\trepositoryformatversion = 0\n\tbare = true\n\thooksPath = {}\n[http]\n\treceivepack = true\n\
         [receive]\n\tfsckObjects = true\n\tmaxInputSize = {largest_push}\n\tautogc = false\n[gc]\n\tauto = 0\n",
        quoted(&hooks)
    );
    put(&repository.join("config"), &config, 0o600).await
}

/// A value of a configuration file.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

/// Whole or not at all; what is there already stays.
async fn put(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    if fs::read_to_string(path).await.is_ok_and(|found| found == text) {
        return Ok(());
    }
    let part = path.with_extension(format!("{:08x}", rand::random::<u32>()));
    fs::write(&part, text).await?;
    fs::set_permissions(&part, std::fs::Permissions::from_mode(mode)).await?;
    fs::rename(&part, path).await
}
