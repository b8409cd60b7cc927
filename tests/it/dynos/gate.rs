//! The gate alone: nobody is lost between its opening and its closing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use siesta::{
    clock::{Clock, ManualClock},
    domain::{Plan, Timestamp},
    dynos::{Entry, Gate, GateLimits, Refusal, Target},
    engine::ContainerId,
    scheduler::{Activator, Tasks},
};

use super::world::request;

fn target() -> Arc<Target> {
    let dyno = "web.1".parse().expect("a dyno");
    Target::new(([127, 0, 0, 1], 5000).into(), ContainerId("c".to_owned()), "1".to_owned(), dyno)
}

fn limits(waiting: usize) -> GateLimits {
    GateLimits { waiting, open: 100_000, unanswered: 100_000 }
}

fn gate(max_waiting: usize) -> (Arc<Gate>, ManualClock) {
    let clock = ManualClock::at(Timestamp(0));
    (Gate::new(Arc::new(clock.clone()), Activator::new(), limits(max_waiting)), clock)
}

#[tokio::test]
async fn it_closes_only_when_nobody_is_inside_and_the_last_request_is_old() {
    let (gate, clock) = gate(10);
    let plan = Plan::free();
    gate.open(vec![target()]);
    let Ok(lease) = request(&gate).await else { panic!("an open gate admits") };
    clock.advance(plan.idle_after * 2);
    assert!(!gate.close_if_idle(&plan), "a long download keeps it open");
    drop(lease);
    assert!(!gate.close_if_idle(&plan), "the idle time begins when the last request ends");
    assert_eq!(gate.activity().last, clock.now());
    clock.advance(plan.idle_after);
    assert!(gate.close_if_idle(&plan));
    assert!(matches!(gate.enter(), Entry::Held(_)));
}

#[tokio::test]
async fn the_backlog_has_an_end_and_a_request_given_up_leaves_it() {
    let (gate, _) = gate(2);
    let (first, second) = (gate.enter(), gate.enter());
    assert!(matches!(gate.enter(), Entry::Refused(Refusal::Backlog)));
    drop(first);
    assert_eq!(gate.waiting(), 1);
    let Entry::Held(second) = second else { panic!("a held gate holds") };
    assert!(matches!(second.admitted(Duration::ZERO).await, Err(Refusal::BootTimeout)));
    assert_eq!(gate.waiting(), 0);
}

#[tokio::test]
async fn a_storm_goes_through_a_few_at_once_until_the_dyno_answers() {
    let limits = GateLimits { waiting: 10, open: 10, unanswered: 2 };
    let gate = Gate::new(Arc::new(ManualClock::at(Timestamp(0))), Activator::new(), limits);
    let mut storm: FuturesUnordered<_> = (0..6)
        .map(|_| match gate.enter() {
            Entry::Held(waiting) => waiting.admitted(Duration::from_secs(600)),
            _ => panic!("a held gate holds"),
        })
        .collect();
    assert!(storm.next().now_or_never().is_none());
    gate.open(vec![target()]);
    let mut next = || storm.next().now_or_never().map(|admitted| admitted.expect("one more").expect("admitted"));
    let (Some(mut first), Some(second)) = (next(), next()) else { panic!("two go at once") };
    assert!(next().is_none(), "the others wait for an answer");
    first.answered();
    first.answered();
    let Some(third) = next() else { panic!("an answer lets one more go") };
    assert!(next().is_none());
    assert!(matches!(gate.enter(), Entry::Admitted(_)), "a request that never waited is not held up");
    drop(second);
    drop(third);
    assert!(next().is_some() && next().is_some(), "what ends without an answer makes room too");
    gate.refuse(Refusal::Crashed);
    assert!(matches!(storm.next().now_or_never(), Some(Some(Err(Refusal::Crashed)))));
}

/// A supervisor in small: opens for those who wait, closes when idle, as fast as it can.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_is_lost_or_let_in_late_while_it_opens_and_closes() {
    const REQUESTS: usize = 2_000;
    let clock = ManualClock::at(Timestamp(0));
    let wake = Activator::new();
    let gate = Gate::new(Arc::new(clock.clone()), wake.clone(), limits(REQUESTS));
    let (tasks, running, served) = (Tasks::new(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let plan = Plan { idle_after: Duration::ZERO, ..Plan::free() };
    let (supervised, up) = (gate.clone(), running.clone());
    tasks.spawn(async move {
        loop {
            if up.load(Ordering::SeqCst) == 0 {
                if supervised.waiting() > 0 {
                    up.store(1, Ordering::SeqCst);
                    supervised.open(vec![target()]);
                } else {
                    wake.activated().await;
                }
            } else if supervised.close_if_idle(&plan) {
                up.store(0, Ordering::SeqCst);
            }
            tokio::task::yield_now().await;
        }
    });
    let visits: Vec<_> = (0..8)
        .map(|_| {
            let (gate, running, served) = (gate.clone(), running.clone(), served.clone());
            async move {
                for _ in 0..REQUESTS / 8 {
                    let Ok(lease) = request(&gate).await else { panic!("every request is served") };
                    assert_eq!(running.load(Ordering::SeqCst), 1, "nobody uses a dyno that was stopped");
                    tokio::task::yield_now().await;
                    drop(lease);
                    served.fetch_add(1, Ordering::SeqCst);
                }
            }
        })
        .collect();
    let mut set = tokio::task::JoinSet::new();
    for visit in visits {
        set.spawn(visit);
    }
    set.join_all().await;
    assert_eq!(served.load(Ordering::SeqCst), REQUESTS);
}

/// What a gate is told to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Open,
    Held,
    Refused,
}

/// How a visit ends, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Served(u64),
    Refused(u64),
    GaveUp(u64),
}

/// What must become of a visit at `from` with that patience: times are milliseconds.
fn expected(told: &[(u64, Told)], from: u64, patience: u64) -> End {
    let now = told.iter().rfind(|(at, _)| *at <= from).map_or(Told::Held, |(_, told)| *told);
    let later = told.iter().filter(|(at, _)| *at > from && *at < from + patience);
    match std::iter::once((from, now)).chain(later.copied()).find(|(_, told)| *told != Told::Held) {
        Some((at, Told::Open)) => End::Served(at),
        Some((at, _)) => End::Refused(at),
        None => End::GaveUp(from + patience),
    }
}

/// The gate changes at even moments, visitors come at odd ones: what happens first is always known.
#[tokio::test(start_paused = true)]
async fn whenever_a_gate_opens_refuses_or_holds_each_visit_ends_as_it_must_and_at_that_moment() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..300 {
        let gate = Gate::new(Arc::new(ManualClock::at(Timestamp(0))), Activator::new(), limits(100));
        let mut at = 0;
        let told: Vec<(u64, Told)> = (0..random.random_range(1..12))
            .map(|_| {
                at += 2 * random.random_range(1..20_000u64);
                (at, [Told::Open, Told::Held, Told::Refused][random.random_range(0..3)])
            })
            .collect();
        let visits: Vec<(u64, u64)> =
            (0..50).map(|_| (2 * random.random_range(0..at) + 1, 2 * random.random_range(1..40_000u64))).collect();
        let begun = tokio::time::Instant::now();
        let moment = |millis: u64| tokio::time::sleep_until(begun + Duration::from_millis(millis));
        let passed = || u64::try_from(begun.elapsed().as_millis()).expect("small");
        let tell = async {
            for (at, told) in &told {
                moment(*at).await;
                match told {
                    Told::Open => gate.open(vec![target()]),
                    Told::Held => gate.hold(),
                    Told::Refused => gate.refuse(Refusal::Crashed),
                }
            }
        };
        let visit = async |(from, patience): &(u64, u64)| {
            moment(*from).await;
            let admitted = match gate.enter() {
                Entry::Admitted(lease) => Ok(lease),
                Entry::Held(waiting) => waiting.admitted(Duration::from_millis(*patience)).await,
                Entry::Refused(refusal) => Err(refusal),
            };
            match admitted {
                Ok(mut lease) => {
                    lease.answered();
                    End::Served(passed())
                }
                Err(Refusal::BootTimeout) => End::GaveUp(passed()),
                Err(_) => End::Refused(passed()),
            }
        };
        let ((), ends) = tokio::join!(tell, futures_util::future::join_all(visits.iter().map(visit)));
        for ((from, patience), end) in visits.iter().zip(ends) {
            assert_eq!(end, expected(&told, *from, *patience), "seed {seed}: a visit at {from} for {patience} ms, {told:?}");
        }
        assert_eq!((gate.waiting(), gate.activity().open), (0, 0), "nobody is left behind");
    }
}
