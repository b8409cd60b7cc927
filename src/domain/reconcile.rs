//! Desired against observed: what to start and what to stop. Values in, values out.

use crate::domain::{DynoId, DynoName, ReleaseId};

/// A dyno that shall run. All desired dynos of an app are of one release.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Desired {
    pub name: DynoName,
    pub release: ReleaseId,
}

/// A dyno that runs or starts. One that is being stopped is not shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Observed {
    pub id: DynoId,
    pub name: DynoName,
    pub release: ReleaseId,
    /// It serves, and does not only start.
    pub up: bool,
}

/// One thing to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    Start(Desired),
    Stop(DynoId),
}

/// What follows from the difference.
///
/// `observed` is in the order of age. A dyno of the right name and release is kept; of two with one name
/// the younger: a server that was killed had told the older one to stop. While web
/// dynos of another release serve and the new ones are not all up, everything old goes on and only
/// new web dynos start: a release that does not boot takes nothing away. Without `room` for both
/// beside each other everything old stops at once.
pub fn reconcile(desired: &[Desired], observed: &[Observed], room: bool) -> Vec<Action> {
    let fits = |seen: &Observed, wanted: &Desired| seen.name == wanted.name && seen.release == wanted.release;
    let is_wanted = |seen: &Observed| desired.iter().any(|wanted| fits(seen, wanted));
    let new_web: Vec<&Desired> = desired.iter().filter(|wanted| wanted.name.process_type.is_web()).collect();
    let old_serves = observed
        .iter()
        .any(|seen| seen.up && seen.name.process_type.is_web() && new_web.iter().any(|wanted| wanted.release != seen.release));
    let switching = room && old_serves && !new_web.iter().all(|wanted| observed.iter().any(|seen| seen.up && fits(seen, wanted)));

    let mut actions = Vec::new();
    let mut kept: Vec<&DynoName> = Vec::new();
    for (place, seen) in observed.iter().enumerate() {
        let old = desired.iter().any(|wanted| wanted.release != seen.release);
        let replaced = observed[place + 1..].iter().any(|younger| younger.name == seen.name && is_wanted(younger));
        if is_wanted(seen) && !replaced {
            kept.push(&seen.name);
        } else if !(switching && old) {
            actions.push(Action::Stop(seen.id));
        }
    }
    let missing = desired.iter().filter(|wanted| !kept.contains(&&wanted.name));
    actions.extend(missing.filter(|wanted| !switching || wanted.name.process_type.is_web()).cloned().map(Action::Start));
    actions
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        old: ReleaseId,
        new: ReleaseId,
    }

    fn name(text: &str) -> DynoName {
        text.parse().expect("a dyno name")
    }

    fn case() -> Case {
        Case { old: ReleaseId::new(), new: ReleaseId::new() }
    }

    impl Case {
        fn want(&self, names: &[&str]) -> Vec<Desired> {
            names.iter().map(|text| Desired { name: name(text), release: self.new }).collect()
        }
        fn seen(&self, text: &str, new: bool, up: bool) -> Observed {
            Observed { id: DynoId::new(), name: name(text), release: if new { self.new } else { self.old }, up }
        }
    }

    fn start(wanted: &Desired) -> Action {
        Action::Start(wanted.clone())
    }

    #[test]
    fn what_is_missing_starts_and_what_is_too_much_stops() {
        let case = case();
        let want = case.want(&["web.1", "worker.1"]);
        assert_eq!(reconcile(&want, &[], true), [start(&want[0]), start(&want[1])]);
        let (web, worker) = (case.seen("web.1", true, true), case.seen("worker.1", true, false));
        assert_eq!(reconcile(&want, &[web.clone(), worker.clone()], true), []);
        assert_eq!(reconcile(&want[..1], &[web.clone(), worker.clone()], true), [Action::Stop(worker.id)]);
        assert_eq!(reconcile(&[], &[web.clone(), worker.clone()], true), [Action::Stop(web.id), Action::Stop(worker.id)]);
    }

    #[test]
    fn of_two_with_one_name_the_younger_is_kept() {
        let case = case();
        let (older, younger) = (case.seen("web.1", true, true), case.seen("web.1", true, false));
        assert_eq!(reconcile(&case.want(&["web.1"]), &[older.clone(), younger], true), [Action::Stop(older.id)]);
    }

    #[test]
    fn a_new_release_starts_beside_the_old_one() {
        let case = case();
        let want = case.want(&["web.1", "worker.1"]);
        let (web, worker) = (case.seen("web.1", false, true), case.seen("worker.1", false, true));
        assert_eq!(reconcile(&want, &[web.clone(), worker.clone()], true), [start(&want[0])], "only the new web dyno starts");
        let starting = case.seen("web.1", true, false);
        assert_eq!(reconcile(&want, &[web.clone(), worker.clone(), starting.clone()], true), [], "nothing stops while it boots");
        let up = Observed { up: true, ..starting };
        let switched = [Action::Stop(web.id), Action::Stop(worker.id), start(&want[1])];
        assert_eq!(reconcile(&want, &[web, worker, up], true), switched, "then all of the old stops and the rest follows");
    }

    #[test]
    fn without_room_for_both_the_old_release_stops_first() {
        let case = case();
        let want = case.want(&["web.1", "worker.1"]);
        let (web, worker) = (case.seen("web.1", false, true), case.seen("worker.1", false, true));
        let all = [Action::Stop(web.id), Action::Stop(worker.id), start(&want[0]), start(&want[1])];
        assert_eq!(reconcile(&want, &[web, worker], false), all);
    }

    #[test]
    fn an_old_dyno_that_does_not_serve_is_not_waited_for() {
        let case = case();
        let want = case.want(&["web.1"]);
        let booting = case.seen("web.1", false, false);
        assert_eq!(reconcile(&want, std::slice::from_ref(&booting), true), [Action::Stop(booting.id), start(&want[0])]);
    }

    #[test]
    fn an_app_without_web_dynos_replaces_its_workers_at_once() {
        let case = case();
        let want = case.want(&["worker.1"]);
        let worker = case.seen("worker.1", false, true);
        assert_eq!(reconcile(&want, std::slice::from_ref(&worker), true), [Action::Stop(worker.id), start(&want[0])]);
    }
}
