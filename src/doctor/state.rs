//! What the data folder holds: state, keys, slugs, backups; and what the engine has of ours that the
//! state does not know.

use std::{collections::BTreeSet, path::Path, time::Duration};

use super::{Doctor, Finding};
use crate::{
    domain::{AppId, backup::Backup},
    engine::spec::{KIND_ONE_OFF, LABEL_APP, LABEL_KIND},
    secrets::KeyRing,
    store::{Reader, StoreError},
};

/// The service whose add-ons are dumped.
const DATABASES: &str = "heroku-postgresql";
/// A nightly dump that is older has been missed.
const STALE: Duration = Duration::from_secs(2 * 24 * 3600);

impl Doctor {
    /// The state itself, and what follows from it.
    pub(super) async fn state(&self) -> Vec<Finding> {
        let reader = match &self.state {
            Some(Ok(reader)) => reader,
            Some(Err(why)) => return vec![unreadable(why)],
            None => return vec![Finding::note("state", "There is no state yet.", "The server makes it at its first start.")],
        };
        let mut found = vec![integrity(reader).await];
        found.extend(waiting_dumps(&self.config.options.data_dir.join("restore")));
        for looked in [self.future(reader).await, self.slugs(reader).await, self.dumps(reader).await, self.orphans(reader).await] {
            found.extend(looked.unwrap_or_else(|error| vec![unreadable(&error.to_string())]));
        }
        found
    }

    /// Something written later than now: the clock was or is wrong.
    async fn future(&self, reader: &Reader) -> Result<Vec<Finding>, StoreError> {
        let (now, newest) = (self.clock.now(), reader.newest_event().await?);
        Ok(newest.filter(|newest| newest.since(now).as_secs() > 60).map_or_else(Vec::new, |newest| {
            let says = format!("The newest entry of the state is of {newest}, but the clock says {now}.");
            vec![Finding::bad("clock", says, "Set the clock (timedatectl set-ntp true) before quotas and schedules count wrongly.")]
        }))
    }

    /// Apps that could not wake: a file of what they run is gone.
    async fn slugs(&self, reader: &Reader) -> Result<Vec<Finding>, StoreError> {
        let (mut found, mut count) = (Vec::new(), 0);
        for app in reader.apps().await? {
            let Some(slug) = reader.current_release(app.id).await?.and_then(|release| release.slug_id) else { continue };
            let Some(slug) = reader.slug(slug).await? else { continue };
            count += 1;
            let files = [Some(&slug.code_file), slug.deps_file.as_ref()];
            let gone = files.into_iter().flatten().find(|file| !self.config.options.data_dir.join("files").join(file).is_file());
            if let Some(gone) = gone {
                let says =
                    format!("{} cannot wake after its image is gone: the file {} is missing.", app.name, &gone[..gone.len().min(12)]);
                found.push(Finding::bad("slugs", says, format!("Deploy {} again, or restore files/ from a backup.", app.name)));
            }
        }
        if found.is_empty() {
            found.push(Finding::fine("slugs", format!("The files of {count} deployed apps are there.")));
        }
        Ok(found)
    }

    /// Databases whose newest good dump is old, and dumps that failed since.
    async fn dumps(&self, reader: &Reader) -> Result<Vec<Finding>, StoreError> {
        let now = self.clock.now();
        let (mut found, mut proved) = (Vec::new(), 0);
        let databases =
            reader.addons().await?.into_iter().filter(|addon| addon.service == DATABASES && now.since(addon.created_at) > STALE);
        for addon in databases {
            let dumps: Vec<Backup> = reader.backups_of_addon(addon.id).await?.into_iter().filter(Backup::is_dump).collect();
            let newest = dumps.iter().filter_map(|dump| dump.verified_at).max();
            if newest.is_some_and(|newest| now.since(newest) <= STALE) {
                proved += 1;
                continue;
            }
            let last = newest.map_or("ever".to_owned(), |at| format!("since {at}"));
            let failed = dumps.first().and_then(|dump| dump.error.as_deref());
            let why = failed.map_or_else(String::new, |why| format!(" The last try failed: {why}"));
            let says = format!("{} of {}: no dump was proved by a restore {last}.{why}", addon.name, addon.app_name);
            let remedy = format!(
                "heroku pg:backups:capture {} -a {} makes one now; its page and the app's log say why it fails.",
                addon.name, addon.app_name
            );
            found.push(Finding::bad("backups", says, remedy));
        }
        if found.is_empty() {
            found.push(Finding::fine(
                "backups",
                format!("{proved} databases have a dump of the last two days that was proved by a restore."),
            ));
        }
        Ok(found)
    }

    /// Containers of ours whose app is gone.
    async fn orphans(&self, reader: &Reader) -> Result<Vec<Finding>, StoreError> {
        let apps: BTreeSet<AppId> = reader.apps().await?.into_iter().map(|app| app.id).collect();
        // An engine that does not answer was said already.
        let Ok(containers) = self.engine.list().await else { return Ok(Vec::new()) };
        let is_orphan = |labels: &std::collections::BTreeMap<String, String>| {
            let kind = labels.get(LABEL_KIND).map_or("", String::as_str);
            let app = labels.get(LABEL_APP).and_then(|app| app.parse::<AppId>().ok());
            ["dyno", "build", KIND_ONE_OFF].contains(&kind) && app.is_none_or(|app| !apps.contains(&app))
        };
        let orphans: Vec<_> = containers.iter().filter(|container| is_orphan(&container.labels)).collect();
        Ok(vec![match orphans.first() {
            None => Finding::fine("containers", format!("{} containers, each of an app or add-on.", containers.len())),
            Some(first) => {
                let says =
                    format!("{} containers belong to no app ({}, for example).", orphans.len(), &first.id.0[..first.id.0.len().min(12)]);
                Finding::bad("containers", says, "A start of the server removes them; if they stay, docker rm -f removes each by its id.")
            }
        }])
    }

    /// The key file: its mode, and whether it holds every key that something was sealed with.
    pub(super) async fn keys(&self) -> Vec<Finding> {
        let path = self.config.options.data_dir.join("key");
        let used = match &self.state {
            Some(Ok(reader)) => reader.sealing_keys().await.unwrap_or_default(),
            _ => BTreeSet::new(),
        };
        vec![key_file(&path, &used)]
    }
}

/// Databases and stores of a backup that was brought back and are shut until they are read in.
fn waiting_dumps(folder: &Path) -> Option<Finding> {
    let waits = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|end| end == "dump" || end == "store");
    let count = std::fs::read_dir(folder).ok()?.flatten().filter(waits).count();
    let remedy = "The server reads them in at its start and tries again every few seconds; its log says why one does not work.";
    (count > 0).then(|| Finding::bad("restore", format!("{count} databases and stores of a backup are still to be read in."), remedy))
}

async fn integrity(reader: &Reader) -> Finding {
    match reader.damage().await {
        Ok(None) => Finding::fine("state", "The database is sound."),
        Ok(Some(found)) => unreadable(&found),
        Err(error) => unreadable(&error.to_string()),
    }
}

fn unreadable(why: &str) -> Finding {
    let remedy = "Stop the server, keep a copy of the data folder, and bring the last backup back with siesta restore.";
    Finding::bad("state", format!("The database of the state is not as it should be: {why}"), remedy)
}

fn key_file(path: &Path, used: &BTreeSet<u32>) -> Finding {
    let backup = "Put the old file back: from a backup made --with-keys, or from where you keep it.";
    if !path.exists() {
        return match used.is_empty() {
            true => Finding::note("keys", "There is no key file yet.", "The server makes it at its first start."),
            false => Finding::bad(
                "keys",
                format!("The key file {} is gone: config vars and passwords cannot be opened.", path.display()),
                backup,
            ),
        };
    }
    match KeyRing::open_or_create(path) {
        Err(error) => Finding::bad("keys", error.to_string(), "The key file is its owner's alone (0600) and never edited."),
        Ok(ring) => match used.difference(&ring.ids()).next() {
            None => Finding::fine("keys", format!("The key file has mode 0600 and holds every key in use ({}).", used.len())),
            Some(missing) => Finding::bad("keys", format!("Secrets are sealed with key {missing}, which the key file lacks."), backup),
        },
    }
}
