//! One-offs that ran when the server stopped: a detached one goes on, one whose client is gone is
//! hung up, a release phase is ended, for its release begins again.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicI64},
};

use tokio::sync::{mpsc, watch};

use super::{
    known::{Ending, Entry},
    life::{Begin, Life},
};
use crate::{
    domain::{DynoId, DynoState, one_off::Known},
    dynos::{DynoView, Dynos, life::Revision},
    engine::{
        Container, EngineError, Streams,
        spec::{KIND_ONE_OFF, LABEL_DYNO_ID, LABEL_KIND},
    },
    store::{StoreError, one_offs::OneOffRow},
};

impl Dynos {
    /// Takes over or ends what the engine runs, and forgets what is gone. What no row knows is
    /// removed, but never by an empty database: it may not be the one it belongs to.
    pub(in crate::dynos) async fn adopt_one_offs(&self, found: &[Container], empty: bool) -> Result<(), StoreError> {
        let parts = &self.context.parts;
        let ours = found.iter().filter(|container| container.labels.get(LABEL_KIND).is_some_and(|kind| kind == KIND_ONE_OFF));
        let mut containers: HashMap<Option<DynoId>, Container> =
            ours.map(|container| (container.labels.get(LABEL_DYNO_ID).and_then(|id| id.parse().ok()), container.clone())).collect();
        for row in parts.reader.one_offs().await? {
            let container = containers.remove(&Some(row.id));
            match container {
                Some(container) if container.running && !row.process_type.is_release() => self.adopt_one_off(row, container).await?,
                gone => self.bury(&row, gone).await?,
            }
        }
        for container in containers.into_values().filter(|_| !empty) {
            self.remove_found(container).await;
        }
        Ok(())
    }

    async fn adopt_one_off(&self, row: OneOffRow, container: Container) -> Result<(), StoreError> {
        let parts = &self.context.parts;
        let wake = self.apps().get(&row.app_id).map(|app| app.handle.wake.clone());
        let (app, release) = (parts.reader.app(row.app_id).await?, parts.reader.release(row.release_id).await?);
        let slug = match release.as_ref().and_then(|release| release.slug_id) {
            Some(id) => parts.reader.slug(id).await?,
            None => None,
        };
        let user = parts.reader.user(row.user_id).await?;
        let (Some(wake), Some(app), Some(release), Some(slug), Some(user)) = (wake, app, release, slug, user) else {
            return self.bury(&row, Some(container)).await;
        };
        let now = parts.clock.now();
        let (orders, inbox) = mpsc::unbounded_channel();
        let (outcome, told) = watch::channel(None);
        let view = DynoView {
            id: row.id,
            name: row.name(),
            state: DynoState::Up,
            since: row.created_at,
            release: release.id,
            version: release.version,
            command: row.command.clone(),
        };
        let life = Life {
            context: self.context.clone(),
            promise: Some(parts.host.count(parts.plans.of(&app).memory_bytes)),
            plan: parts.plans.of(&app),
            app,
            revision: Arc::new(Revision { release, slug }),
            id: row.id,
            name: view.name.clone(),
            command: row.command,
            env: Vec::new(),
            streams: row.attached.then_some(Streams::Terminal),
            by: user.email,
            inbox,
            outcome,
        };
        if row.attached {
            // It hears it first of all.
            let _ = orders.send(Ending::HangUp);
        }
        self.context.one_offs.adopt(Entry {
            known: Known { app: row.app_id, user: row.user_id, interactive: row.attached },
            view,
            ends_at: row.ends_at,
            traffic: Arc::new(AtomicI64::new(now.millis())),
            orders,
            outcome: told,
            waiting: None,
            wake,
        });
        parts.tasks.spawn(life.run(Begin::Adopted(container)));
        Ok(())
    }

    /// What has ended, or must not go on.
    async fn bury(&self, row: &OneOffRow, container: Option<Container>) -> Result<(), StoreError> {
        let name = row.name().to_string();
        let log = |message: String| self.context.parts.logs.platform(row.app_id, &name, message);
        match container.as_ref().and_then(|container| container.exit) {
            Some(exit) => log(format!("Process exited with status {}", exit.code)),
            None => log("Process exited".to_owned()),
        }
        log(format!("State changed from {} to {}", DynoState::Up, DynoState::Complete));
        if let Some(container) = container {
            self.remove_found(container).await;
        }
        self.context.parts.writer.delete_one_off(row.id).await
    }

    async fn remove_found(&self, container: Container) {
        let removed: Result<(), EngineError> = self.context.parts.engine.remove(container.id).await;
        if let Err(error) = removed {
            tracing::warn!(%error, "a one-off dyno from before could not be removed");
        }
    }
}
