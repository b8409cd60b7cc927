//! Which host name belongs to which app: one immutable table, swapped whole. A lookup takes no
//! lock and allocates nothing.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;

use crate::{
    domain::{AppId, AppName},
    dynos::gate::Gate,
};

/// What the router needs to know of an app; never changed, only replaced.
pub struct Route {
    pub app: AppId,
    pub name: AppName,
    /// Every request gets the maintenance page (H80).
    pub maintenance: bool,
    pub gate: Arc<Gate>,
}

/// The table. Written by `dynos` alone.
#[derive(Default)]
pub struct Routes {
    table: ArcSwap<HashMap<String, Arc<Route>>>,
}

impl Routes {
    /// The app of a host name: lower case, without port and trailing dot.
    pub fn find(&self, host: &str) -> Option<Arc<Route>> {
        self.table.load().get(host).cloned()
    }

    /// Replaces the whole table.
    pub(super) fn publish(&self, table: HashMap<String, Arc<Route>>) {
        self.table.store(Arc::new(table));
    }

    pub fn len(&self) -> usize {
        self.table.load().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A table for tests of the router, without a supervisor behind it.
    pub fn fixed(routes: impl IntoIterator<Item = (String, Route)>) -> Routes {
        let table: HashMap<String, Arc<Route>> = routes.into_iter().map(|(host, route)| (host, Arc::new(route))).collect();
        Routes { table: ArcSwap::from_pointee(table) }
    }
}
