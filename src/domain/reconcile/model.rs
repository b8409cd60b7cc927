//! Reconcile over random lives of an app: releases, scales, boots, deaths, a machine with room and
//! without, a server that was killed between two of its steps. Whatever happened, what is started was
//! wanted, a release that serves is not taken away for one that does not, nothing is done twice, and
//! once the app is left alone exactly what is wanted runs.

use proptest::prelude::*;

use super::*;
use crate::domain::ProcessType;

/// What may happen to an app between two looks.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A new release becomes the wanted one.
    Release,
    /// So many web dynos and workers are wanted from now on.
    Scale(u32, u32),
    /// A dyno that starts is up.
    Boots(usize),
    /// A dyno ends by itself, or is restarted.
    Ends(usize),
    /// The machine has room for two releases at once, or has not.
    Room(bool),
    /// The server was killed after it had told a dyno to stop, which goes on for now: the next server
    /// finds it beside its successor.
    Killed(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        2 => Just(Event::Release),
        3 => (0u32..4, 0u32..3).prop_map(|(web, worker)| Event::Scale(web, worker)),
        8 => any::<usize>().prop_map(Event::Boots),
        4 => any::<usize>().prop_map(Event::Ends),
        1 => any::<bool>().prop_map(Event::Room),
        1 => any::<usize>().prop_map(Event::Killed),
    ];
    prop::collection::vec(event, 1..60)
}

/// An app as its supervisor sees it.
struct App {
    release: ReleaseId,
    web: u32,
    worker: u32,
    room: bool,
    observed: Vec<Observed>,
}

impl App {
    fn desired(&self) -> Vec<Desired> {
        let of = |name: &str, count: u32| {
            let process_type: ProcessType = name.parse().expect("a process type");
            (1..=count).map(move |number| DynoName { process_type: process_type.clone(), number })
        };
        of("web", self.web).chain(of("worker", self.worker)).map(|name| Desired { name, release: self.release }).collect()
    }

    fn happens(&mut self, event: Event) {
        let place = |at: usize, len: usize| (len > 0).then(|| at % len.max(1));
        match event {
            Event::Release => self.release = ReleaseId::new(),
            Event::Scale(web, worker) => (self.web, self.worker) = (web, worker),
            Event::Room(room) => self.room = room,
            Event::Boots(at) => {
                if let Some(at) = place(at, self.observed.len()) {
                    self.observed[at].up = true;
                }
            }
            Event::Ends(at) => {
                if let Some(at) = place(at, self.observed.len()) {
                    self.observed.remove(at);
                }
            }
            Event::Killed(at) => {
                if let Some(at) = place(at, self.observed.len()) {
                    let successor = Observed { id: DynoId::new(), up: false, ..self.observed[at].clone() };
                    self.observed.push(successor);
                }
            }
        }
    }

    fn actions(&self) -> Vec<Action> {
        reconcile(&self.desired(), &self.observed, self.room)
    }

    fn act(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Stop(id) => self.observed.retain(|seen| seen.id != *id),
                Action::Start(Desired { name, release }) => {
                    self.observed.push(Observed { id: DynoId::new(), name: name.clone(), release: *release, up: false });
                }
            }
        }
    }

    /// The wanted web dynos all serve.
    fn serves_anew(&self) -> bool {
        let up = |wanted: &Desired| self.observed.iter().any(|seen| seen.up && seen.name == wanted.name && seen.release == wanted.release);
        self.desired().iter().filter(|wanted| wanted.name.process_type.is_web()).all(up)
    }

    fn is_web_of_old(&self, seen: &Observed) -> bool {
        seen.name.process_type.is_web() && seen.up && seen.release != self.release
    }
}

fn names(of: impl Iterator<Item = (DynoName, ReleaseId)>) -> Vec<(DynoName, ReleaseId)> {
    let mut names: Vec<_> = of.collect();
    names.sort_by_key(|(name, _)| name.clone());
    names
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::domain::test_cases(1_000), ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_only_the_wanted_starts_and_what_serves_is_not_taken_away(events in events()) {
        let mut app = App { release: ReleaseId::new(), web: 1, worker: 0, room: true, observed: Vec::new() };
        for event in events {
            app.happens(event);
            let (desired, before, actions) = (app.desired(), app.observed.clone(), app.actions());
            let switching = app.room && app.web > 0 && before.iter().any(|seen| app.is_web_of_old(seen)) && !app.serves_anew();
            for action in &actions {
                match action {
                    Action::Start(wanted) => {
                        prop_assert!(desired.contains(wanted), "{wanted:?} was not wanted");
                        prop_assert!(!switching || wanted.name.process_type.is_web(), "{wanted:?} starts beside the old release");
                    }
                    Action::Stop(id) => {
                        let stopped = before.iter().find(|seen| seen.id == *id).expect("only what is there is stopped");
                        prop_assert!(!switching || stopped.release == app.release, "{stopped:?} is stopped while it serves");
                    }
                }
            }
            app.act(&actions);
            prop_assert!(app.actions().is_empty(), "the same look twice does something twice: {:?}", app.actions());
            for wanted in &desired {
                let running = app.observed.iter().filter(|seen| seen.name == wanted.name && seen.release == wanted.release).count();
                prop_assert!(running <= 1, "{wanted:?} runs {running} times");
            }
        }
        // Left alone: what starts comes up, and the look is repeated.
        for _ in 0..3 {
            app.observed.iter_mut().for_each(|seen| seen.up = true);
            let actions = app.actions();
            app.act(&actions);
        }
        prop_assert!(app.actions().is_empty() && app.observed.iter().all(|seen| seen.up));
        let wanted = names(app.desired().into_iter().map(|wanted| (wanted.name, wanted.release)));
        prop_assert_eq!(names(app.observed.iter().map(|seen| (seen.name.clone(), seen.release))), wanted);
    }
}
