//! Weeks of an app's life in seconds: visits at random, the real supervisor, store and gate, a clock
//! moved by hand; and a model beside it that counts minutes.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use siesta::{
    clock::Clock,
    domain::{AppId, Timestamp},
    dynos::{AppPhase, Refusal},
};

use super::world::{Machine, World};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: usize = 24 * 60;
/// Of the plan `free`, in minutes.
const IDLE: usize = 30;
const LIMIT: usize = 18 * 60;
const REST: usize = 6 * 60;

/// What the app is in one minute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Is {
    Asleep,
    Awake,
    RestingUntil(usize),
}

/// One minute as the model says it must be: before the visitor comes, and after.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Moment {
    before: Is,
    visit: bool,
    after: Is,
}

/// The rules once more, a minute at a time, over a list of minutes and nothing else.
fn model(visits: &[bool]) -> Vec<Moment> {
    // The deploy is the first visit.
    let (mut is, mut last, mut cleared) = (Is::Awake, 0, 0);
    let mut awake = vec![false; visits.len()];
    let mut moments = Vec::with_capacity(visits.len());
    for now in 0..visits.len() {
        let used = (cleared.max(now.saturating_sub(DAY))..now).filter(|minute| awake[*minute]).count();
        match is {
            Is::RestingUntil(end) if end == now => (is, cleared) = (Is::Asleep, now),
            Is::Awake if now >= last + IDLE => is = Is::Asleep,
            Is::Awake if used >= LIMIT => is = Is::RestingUntil(now + REST),
            _ => {}
        }
        let before = is;
        if visits[now] && !matches!(is, Is::RestingUntil(_)) {
            let used = if cleared == now { 0 } else { used };
            is = if is == Is::Asleep && used >= LIMIT { Is::RestingUntil(now + REST) } else { Is::Awake };
            last = now;
        }
        awake[now] = is == Is::Awake;
        moments.push(Moment { before, visit: visits[now], after: is });
    }
    moments
}

/// Busy days and quiet ones: a visitor every few minutes, then nobody for hours.
fn visits(random: &mut StdRng, weeks: usize) -> Vec<bool> {
    let mut visits = vec![false; weeks * 7 * DAY];
    let mut at = 0;
    while at < visits.len() {
        let busy = random.random_range(30..30 * 60);
        let end = at + busy;
        while at < end.min(visits.len()) {
            visits[at] = true;
            at += random.random_range(5..45);
        }
        at = end + random.random_range(0..10 * 60);
    }
    visits
}

/// The stretches awake, in minutes; those that touch are one.
fn stretches(moments: &[Moment]) -> Vec<(i64, i64)> {
    let mut stretches: Vec<(i64, i64)> = Vec::new();
    for (minute, _) in moments.iter().enumerate().filter(|(_, moment)| moment.after == Is::Awake) {
        let minute = minute as i64;
        match stretches.last_mut().filter(|last| last.1 == minute) {
            Some(last) => last.1 = minute + 1,
            None => stretches.push((minute, minute + 1)),
        }
    }
    stretches
}

/// What the store says of the same.
async fn lived(world: &World, app: AppId, begun: Timestamp) -> Vec<(i64, i64)> {
    let minute = |at: Timestamp| (at.millis() - begun.millis()) / 60_000;
    let mut stretches: Vec<(i64, i64)> = Vec::new();
    for span in world.dynos.awake_spans(app, Duration::from_secs(365 * 24 * 3600)).await.expect("spans") {
        let (from, to) = (minute(span.from), minute(span.to.unwrap_or_else(|| world.clock.now())));
        match stretches.last_mut().filter(|last| last.1 == from) {
            Some(last) => last.1 = to,
            None if from < to => stretches.push((from, to)),
            None => {}
        }
    }
    stretches
}

async fn until(world: &World, app: AppId, is: Is, begun: Timestamp) {
    let phase = match is {
        Is::Asleep => AppPhase::Asleep,
        Is::Awake => AppPhase::Awake,
        Is::RestingUntil(end) => AppPhase::Resting { until: begun + MINUTE * u32::try_from(end).expect("small") },
    };
    world.until_phase(app, phase).await;
}

#[tokio::test]
async fn weeks_of_visits_cost_exactly_what_the_rules_say() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let visits = visits(&mut StdRng::seed_from_u64(seed), 3);
    let moments = model(&visits);
    let world = Machine::new().serve().await;
    let app = world.app("tienda").await;
    let begun = world.clock.now();
    world.deploy(&app, "web: gunicorn app:app").await.expect("a release");
    until(&world, app.id, Is::Awake, begun).await;
    let (mut is, mut looked) = (Is::Awake, 0);
    for (now, moment) in moments.iter().enumerate() {
        // Minutes in which nothing happens go by together.
        if moment.before == is && !moment.visit {
            continue;
        }
        world.pass(MINUTE * u32::try_from(now - looked).expect("small"));
        looked = now;
        until(&world, app.id, moment.before, begun).await;
        if moment.visit {
            let answer = world.request("tienda").await;
            let refused = matches!(answer, Err(Refusal::Resting { .. }));
            assert_eq!(refused, matches!(moment.after, Is::RestingUntil(_)), "minute {now}: {moment:?}");
            assert!(refused || answer.is_ok(), "minute {now}: {moment:?}");
            drop(answer);
            until(&world, app.id, moment.after, begun).await;
        }
        is = moment.after;
    }
    world.clock.advance(MINUTE * u32::try_from(moments.len() - looked).expect("small"));
    assert_eq!(lived(&world, app.id, begun).await, stretches(&moments));
    let rests = moments.windows(2).filter(|pair| pair[0].after != pair[1].after && matches!(pair[1].after, Is::RestingUntil(_))).count();
    println!("{} visits, {} stretches awake, {rests} rests", visits.iter().filter(|visit| **visit).count(), stretches(&moments).len());
}
