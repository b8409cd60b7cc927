//! Databases and key-value stores that come back from a backup of the whole server: `siesta restore` lays
//! their dumps down, and the server reads them in before anything of the apps runs. Until its dump is read
//! in, a database is shut to everybody, and a store does not start. A server that is killed in between
//! begins that one again.

use std::{collections::BTreeSet, io, path::PathBuf};

use crate::{
    addons::{Addon, AddonError, Addons, Inner, keyvalue::STORE_ENDING, postgres::WATCHER, sql, sql::Names},
    domain::{Timestamp, addon},
    fail_point, secrets,
    store::addon_bin::Binned,
};

/// Where dumps wait, inside the data folder: `restore/<database>.dump`, `restore/<role of a store>.store`.
pub const FOLDER: &str = "restore";
const ENDING: &str = ".dump";

impl Addons {
    /// Reads in the dumps that wait. One that does not work is said, and waits on.
    ///
    /// # Errors
    /// When the folder or the list of add-ons cannot be read.
    pub async fn bring_back(&self) -> Result<(), AddonError> {
        for role in self.inner.waiting_as(STORE_ENDING)? {
            self.inner.bring_back_store(&role).await?;
        }
        if self.inner.waiting()?.is_empty() || !self.offered() {
            return Ok(());
        }
        self.inner.postgres.make_folders()?;
        let _working = self.inner.working.lock().await;
        self.inner.bring_back_what_waits().await?;
        Ok(())
    }
}

impl Inner {
    fn dumps(&self) -> PathBuf {
        self.parts.config.options.data_dir.join(FOLDER)
    }

    /// Databases whose dumps are still to be read in.
    pub(super) fn waiting(&self) -> io::Result<BTreeSet<String>> {
        self.waiting_as(ENDING)
    }

    /// What files of this ending wait.
    fn waiting_as(&self, ending: &str) -> io::Result<BTreeSet<String>> {
        let entries = match std::fs::read_dir(self.dumps()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            entries => entries?,
        };
        let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
        names.filter_map(|name| name.map(|name| name.strip_suffix(ending).map(str::to_owned)).transpose()).collect()
    }

    /// Puts the keys of a store into its place; without that it does not start, and says why.
    async fn bring_back_store(&self, role: &str) -> Result<(), AddonError> {
        let Err(error) = self.keyvalue.bring_back(role).await else { return Ok(()) };
        tracing::error!(role, %error, "a key-value store is not back from the backup; it is tried again when it is used");
        for addon in self.parts.reader.addons().await?.iter().filter(|addon| addon.role == role) {
            self.parts.writer.set_addon_error(addon.id, &error.to_string()).await?;
        }
        Ok(())
    }

    /// Tries again what waits; what still does afterwards.
    pub(super) async fn bring_back_what_waits(&self) -> Result<BTreeSet<String>, AddonError> {
        let waiting = self.waiting()?;
        if waiting.is_empty() {
            return Ok(waiting);
        }
        self.bring_back(&waiting).await?;
        Ok(self.waiting()?)
    }

    /// Reads in these, of add-ons and of what lies in the bin.
    async fn bring_back(&self, waiting: &BTreeSet<String>) -> Result<(), AddonError> {
        for addon in self.parts.reader.addons().await?.iter().filter(|addon| waiting.contains(&addon.database)) {
            match self.bring_back_addon(addon).await {
                Ok(()) => {
                    tracing::info!(addon = addon.name, "a database is back from the backup");
                    if addon.error.is_some() {
                        self.parts.writer.set_addon_state(addon.id, addon.state, self.parts.clock.now()).await?;
                    }
                }
                Err(error) => {
                    tracing::error!(addon = addon.name, %error, "a database is not back from the backup; it is tried again");
                    self.parts.writer.set_addon_error(addon.id, &error.to_string()).await?;
                }
            }
        }
        for binned in self.parts.reader.binned_before(Timestamp(i64::MAX)).await?.iter().filter(|binned| waiting.contains(&binned.database))
        {
            if let Err(error) = self.bring_back_binned(binned).await {
                tracing::error!(name = binned.name, %error, "a database in the bin is not back from the backup; it is tried again");
            }
        }
        Ok(())
    }

    async fn bring_back_addon(&self, addon: &Addon) -> Result<(), AddonError> {
        self.postgres.ensure_up().await?;
        let names = Names { role: &addon.role, database: &addon.database };
        sql::drop_database(&self.postgres.admin("postgres").await?, names.database).await?;
        self.create_database(addon).await?;
        self.read_in(names).await
    }

    async fn bring_back_binned(&self, binned: &Binned) -> Result<(), AddonError> {
        self.postgres.ensure_up().await?;
        let names = Names { role: &binned.role, database: &binned.database };
        let admin = self.postgres.admin("postgres").await?;
        sql::drop_database(&admin, names.database).await?;
        let service = addon::service(&binned.service).unwrap_or(&addon::SERVICES[0]);
        let plan = service.plan(&binned.plan).unwrap_or(&service.plans[0]);
        // Nobody comes in by it: taken from the bin, the add-on gets the password it had.
        sql::create(&admin, names, &secrets::random_token(), plan, WATCHER).await?;
        sql::hand_over(&self.postgres.admin(names.database).await?, names.role).await?;
        sql::shut(&admin, names.role).await?;
        self.read_in(names).await
    }

    async fn read_in(&self, names: Names<'_>) -> Result<(), AddonError> {
        let path = self.dumps().join(format!("{}{ENDING}", names.database));
        self.load_from(names, &mut tokio::fs::File::open(&path).await?).await?;
        fail_point::reached("addon.brought_back");
        std::fs::remove_file(&path)?;
        Ok(std::fs::File::open(self.dumps())?.sync_all()?)
    }
}
