//! Desired against observed: what to start and what to stop. Values in, values out.

use crate::domain::{DynoName, ReleaseId};

/// A dyno that shall run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Desired {
    pub name: DynoName,
    pub release: ReleaseId,
}

/// A dyno whose container was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Observed {
    pub name: DynoName,
    pub release: ReleaseId,
    /// The engine's container id.
    pub container: String,
    pub running: bool,
}

/// One thing to do; the supervisor does them in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    Start(Desired),
    /// Stop and remove.
    Stop(Observed),
    /// A container that is no longer running and not wanted as it is: remove it.
    Remove(Observed),
}

/// What follows from the difference. A running dyno of the right name and release is kept; of two
/// with one name the first is kept.
pub fn reconcile(desired: &[Desired], observed: &[Observed]) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut kept: Vec<&DynoName> = Vec::new();
    for seen in observed {
        let wanted = desired.iter().any(|d| d.name == seen.name && d.release == seen.release);
        if !seen.running {
            actions.push(Action::Remove(seen.clone()));
        } else if wanted && !kept.contains(&&seen.name) {
            kept.push(&seen.name);
        } else {
            actions.push(Action::Stop(seen.clone()));
        }
    }
    actions.extend(desired.iter().filter(|d| !kept.contains(&&d.name)).cloned().map(Action::Start));
    actions
}
