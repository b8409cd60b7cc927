//! The networks of apps are caches: the last ones used are kept, others are made again on wake.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::RwLock;

use crate::engine::{Engine, EngineError, EngineResult, spec::NetworkSpec};

/// How often a network was used, counted over all of them, and by how many containers in the making.
#[derive(Default)]
struct Use {
    last: u64,
    held: usize,
}

#[derive(Default)]
struct Known {
    clock: u64,
    uses: HashMap<String, Use>,
}

/// Which networks are in use, and when each was last. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Networks {
    known: Arc<Mutex<Known>>,
    /// Whoever removes one holds it alone, so that nobody begins to use it meanwhile.
    removing: Arc<RwLock<()>>,
}

/// Keeps a network until the container that is made for it runs: from then on the engine keeps it.
pub(super) struct Held {
    networks: Networks,
    name: String,
}

impl Networks {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the network where it is not there, and keeps it as long as the answer lives.
    ///
    /// # Errors
    /// Those of the engine.
    pub(super) async fn hold(&self, engine: &dyn Engine, network: NetworkSpec) -> EngineResult<Held> {
        let held = {
            let _nobody_removes = self.removing.read().await;
            let mut known = self.known();
            known.clock += 1;
            let now = known.clock;
            let entry = known.uses.entry(network.name.clone()).or_default();
            entry.held += 1;
            entry.last = now;
            Held { networks: self.clone(), name: network.name.clone() }
        };
        engine.ensure_network(network).await?;
        Ok(held)
    }

    /// Removes all networks that nothing runs in but the `most` used last.
    ///
    /// # Errors
    /// When the engine does not answer; the next call goes on.
    pub(super) async fn keep(&self, engine: &dyn Engine, most: usize) -> EngineResult<()> {
        let mut found = engine.list_networks().await?;
        {
            let mut known = self.known();
            known.uses.retain(|name, entry| entry.held > 0 || found.contains(name));
            found.sort_by_cached_key(|name| std::cmp::Reverse(known.uses.get(name).map_or(0, |entry| entry.last)));
        }
        for name in found.into_iter().skip(most) {
            let _alone = self.removing.write().await;
            if self.known().uses.get(&name).is_some_and(|entry| entry.held > 0) {
                continue;
            }
            match engine.remove_network(name).await {
                // Something runs in it.
                Ok(()) | Err(EngineError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(entry) = self.networks.known().uses.get_mut(&self.name) {
            entry.held -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::AppId,
        engine::{fake::FakeEngine, spec::network_spec},
    };

    #[tokio::test]
    async fn the_networks_used_last_are_kept_and_those_in_use() {
        let (engine, networks) = (FakeEngine::new("bench"), Networks::default());
        let specs: Vec<NetworkSpec> =
            (0..5).map(|number| network_spec("bench", AppId::new(), number, "10.213.0.0/16".parse().unwrap()).unwrap()).collect();
        let mut held = Vec::new();
        for spec in &specs {
            held.push(networks.hold(&engine, spec.clone()).await.unwrap());
        }
        drop(networks.hold(&engine, specs[1].clone()).await.unwrap());
        let first = held.swap_remove(0);
        drop(held);
        networks.keep(&engine, 2).await.unwrap();
        let names = |which: &[usize]| {
            let mut names: Vec<String> = which.iter().map(|at| specs[*at].name.clone()).collect();
            names.sort();
            names
        };
        assert_eq!(engine.networks(), names(&[0, 1, 4]), "the two used last, and the one that is held");
        drop(first);
        networks.keep(&engine, 1).await.unwrap();
        assert_eq!(engine.networks(), names(&[1]));
        drop(networks.hold(&engine, specs[3].clone()).await.unwrap());
        networks.keep(&engine, 1).await.unwrap();
        assert_eq!(engine.networks(), names(&[3]), "one that was removed is made again");
    }
}
