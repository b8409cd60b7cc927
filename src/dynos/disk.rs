//! What dynos write to their disks: one that fills it is stopped before it fills the machine's.

use crate::{domain::AppId, dynos::Dynos};

const MIB: u64 = 1024 * 1024;

impl Dynos {
    /// Stops dynos that have filled their disk: what a dyno writes goes with it, so it begins anew.
    /// Costs one question to the engine a dyno; the server asks every few minutes.
    pub async fn check_disks(&self) {
        let apps: Vec<AppId> = self.apps().keys().copied().collect();
        for app in apps {
            for (container, dyno) in self.context.roster.containers(Some(app)) {
                let parts = &self.context.parts;
                let most = parts.config.limits.dyno_disk_bytes;
                // One that has gone meanwhile has nothing on any disk.
                let Ok(written) = parts.engine.written(container.clone()).await else { continue };
                if written <= most {
                    continue;
                }
                let why = format!(
                    "The dyno wrote {} MB to its disk, more than its {} MB, and is stopped. Its files are gone; keep them elsewhere.",
                    written / MIB,
                    most / MIB
                );
                parts.logs.platform(app, &dyno.to_string(), why);
                if let Err(error) = parts.engine.kill(container).await {
                    tracing::warn!(%error, "a dyno that filled its disk could not be stopped");
                }
            }
        }
    }
}
