//! Named places where a test may kill the process: at every change of state that must survive it
//! (decisions 29). Nothing but a comparison in debug builds, nothing at all in release builds.

/// Ends the process at once, as SIGKILL would, when `SIESTA_FAIL_POINT` names this place.
#[cfg(debug_assertions)]
pub fn reached(place: &'static str) {
    static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| std::env::var("SIESTA_FAIL_POINT").ok());
    if chosen.as_deref() == Some(place) {
        eprintln!("fail point {place} reached");
        std::process::abort();
    }
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn reached(_: &'static str) {}

/// Every place there is; tests walk through them all.
pub const PLACES: &[&str] = &[
    "build.claimed",
    "build.container_started",
    "build.files_stored",
    "release.committed",
    "dyno.created",
    "dyno.started",
    "release.switched",
];

/// The places between a delivery of the git host and the build that follows from it.
pub const GIT_PLACES: &[&str] = &["delivery.taken", "delivery.queued"];

/// The place between a standby's being let go and its being called a dyno.
pub const STANDBY_PLACE: &str = "standby.let_go";

/// The places of add-ons, in the order in which one is made, rotated and destroyed.
pub const ADDON_PLACES: &[&str] = &["addon.database_made", "addon.created", "addon.attached", "addon.rotated", "addon.detached"];

/// The places of dumps, in the order of their lives.
pub const BACKUP_PLACES: &[&str] = &["backup.begun", "backup.dumped", "backup.scratch", "backup.proved"];

/// The places of restores, in the order of their lives.
pub const RESTORE_PLACES: &[&str] = &["restore.filled", "restore.swapped"];

/// The places of an app's way into the bin, out of it, and into nothing.
pub const BIN_PLACES: &[&str] = &["app.binned", "app.put_away", "app.restored", "app.purging"];

/// The places of backups of everything: while a dump is made, and between a dump read in and its file's end.
pub const WHOLE_PLACES: &[&str] = &["addon.dump_began", "addon.brought_back"];
