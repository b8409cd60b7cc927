//! The gate of one app: it admits requests while a dyno is up, counts those that wait while one
//! starts, and closes under the very lock that admits. It never starts anything: the supervisor
//! looks at `waiting()` (level, not edge: a wake flag loses wake-ups, counted waiters do not).

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    clock::Clock,
    config::Limits,
    domain::{DynoName, Plan, Timestamp, sleep},
    dynos::{
        callers::{Caller, Callers},
        pages::Pages,
    },
    engine::ContainerId,
    scheduler::Activator,
};

/// A web dyno that takes requests. The address belongs to one life of one container: a stopped
/// container's IP goes to the next container at once, so connections are pooled by `key`.
#[derive(Debug)]
pub struct Target {
    pub address: SocketAddr,
    pub container: ContainerId,
    pub generation: String,
    pub dyno: DynoName,
    /// Unique over the life of the server; never used again.
    pub key: u64,
    in_flight: AtomicUsize,
    drained: Notify,
}

impl Target {
    pub fn new(address: SocketAddr, container: ContainerId, generation: String, dyno: DynoName) -> Arc<Target> {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let key = NEXT.fetch_add(1, Ordering::Relaxed);
        Arc::new(Target { address, container, generation, dyno, key, in_flight: AtomicUsize::new(0), drained: Notify::new() })
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Waits until no lease is left, at most `patience`. True when drained.
    pub async fn drained(&self, patience: Duration) -> bool {
        let wait = async {
            loop {
                let notified = self.drained.notified();
                if self.in_flight() == 0 {
                    return;
                }
                notified.await;
            }
        };
        tokio::time::timeout(patience, wait).await.is_ok()
    }
}

/// Why a request is not served. The router turns it into an H code and a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The web dyno crashed or did not boot (H10).
    Crashed,
    /// Scaled to zero, or no web type (H14).
    NoWeb,
    /// No code yet (H81).
    Blank,
    /// The awake quota is used up (H82); when the app may wake again.
    Resting { until: Timestamp },
    /// Waited as long as a request may wait for a starting dyno (H20).
    BootTimeout,
    /// Too many requests wait already (H11).
    Backlog,
    /// Too many requests and tunnels are open already (H22).
    Crowded,
    /// The machine is full (H99); another try makes sense soon.
    NoRoom,
    /// The platform could not start it: the engine is away, the image cannot be made (H99).
    Platform,
}

/// What the gate does with requests.
#[derive(Clone, Debug)]
enum Phase {
    /// Served by these; never empty.
    Open(Vec<Arc<Target>>),
    /// Asleep or starting: requests wait.
    Held,
    Refused(Refusal),
}

/// What a starting app is at, for those who watch it wake.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Stage {
    /// Others boot; its turn will come.
    Queued,
    /// The image is made ready.
    Image,
    /// The container is made and started.
    Container,
    /// The process runs and has not answered yet.
    Booting,
}

/// How many of one app's requests there may be.
#[derive(Clone, Copy, Debug)]
pub struct GateLimits {
    /// That wait for a dyno (H11).
    pub waiting: usize,
    /// Open at once, tunnels too (H22).
    pub open: usize,
    /// Of those that waited: sent to a dyno before it has begun to answer the first of them.
    pub unanswered: usize,
}

impl From<&Limits> for GateLimits {
    fn from(limits: &Limits) -> GateLimits {
        GateLimits { waiting: limits.max_waiting, open: limits.max_open, unanswered: limits.max_unanswered }
    }
}

#[derive(Debug)]
struct State {
    phase: Phase,
    waiting: usize,
    leases: usize,
    /// Leases of requests that waited, not answered yet.
    unanswered: usize,
    last: Timestamp,
    /// When a caller was noted last.
    noted: Timestamp,
    next: usize,
    /// Its dynos' memory is paged out, and nobody has come since.
    napping: bool,
}

/// See the module's page.
pub struct Gate {
    state: Mutex<State>,
    changed: Notify,
    /// One of those waiting may go, in the order they came.
    turn: Notify,
    wake: Activator,
    clock: Arc<dyn Clock>,
    limits: GateLimits,
    stage: AtomicU8,
    callers: Callers,
    pages: Mutex<Arc<Pages>>,
}

/// The answer to a request at the gate.
pub enum Entry {
    Admitted(Lease),
    /// Counted as waiting from now on.
    Held(Waiting),
    Refused(Refusal),
}

impl Gate {
    /// A gate that holds requests; `wake` is activated when one begins to wait.
    pub fn new(clock: Arc<dyn Clock>, wake: Activator, limits: GateLimits) -> Arc<Gate> {
        let (last, never) = (clock.now(), Timestamp(0));
        let state = State { phase: Phase::Held, waiting: 0, leases: 0, unanswered: 0, last, noted: never, next: 0, napping: false };
        Arc::new(Gate {
            state: Mutex::new(state),
            changed: Notify::new(),
            turn: Notify::new(),
            wake,
            clock,
            limits,
            stage: AtomicU8::new(Stage::Queued as u8),
            callers: Callers::default(),
            pages: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Admits, holds or refuses a request. Never blocks.
    pub fn enter(self: &Arc<Self>) -> Entry {
        self.enter_as(|_| None)
    }

    /// The same for a request that says, when asked, who it is. Asked at most once a second.
    pub fn enter_as(self: &Arc<Self>, who: impl FnOnce(Timestamp) -> Option<Caller>) -> Entry {
        let now = self.clock.now();
        let mut state = self.lock();
        let admitted = match &state.phase {
            Phase::Open(_) if state.leases >= self.limits.open => return Entry::Refused(Refusal::Crowded),
            Phase::Open(_) => Some(self.admit(&mut state, now, false)),
            Phase::Refused(refusal) => return Entry::Refused(*refusal),
            Phase::Held if state.waiting >= self.limits.waiting => return Entry::Refused(Refusal::Backlog),
            Phase::Held => {
                state.waiting += 1;
                state.last = now;
                None
            }
        };
        let noteworthy = Callers::is_due(state.noted, now);
        if noteworthy {
            state.noted = now;
        }
        drop(state);
        if noteworthy && let Some(caller) = who(now) {
            self.callers.note(caller);
        }
        match admitted {
            Some(lease) => Entry::Admitted(lease),
            None => {
                self.wake.activate();
                Entry::Held(Waiting { gate: self.clone() })
            }
        }
    }

    /// The last requests that kept the app awake, the newest first.
    pub fn callers(&self) -> Vec<Caller> {
        self.callers.list()
    }

    /// What a starting app is at.
    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Queued,
            1 => Stage::Image,
            2 => Stage::Container,
            _ => Stage::Booting,
        }
    }

    /// The app's own pages for when it cannot answer.
    pub fn pages(&self) -> Arc<Pages> {
        self.pages.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Replaces them.
    pub fn show(&self, pages: Pages) {
        *self.pages.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(pages);
    }

    /// A start has come this far.
    pub fn reached(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    /// Takes a lease; the phase must be open.
    fn admit(self: &Arc<Self>, state: &mut State, now: Timestamp, waited: bool) -> Lease {
        let State { phase: Phase::Open(targets), next, leases, unanswered, last, napping, .. } = state else {
            unreachable!("only an open gate admits");
        };
        *next = next.wrapping_add(1);
        let target = targets[*next % targets.len()].clone();
        *leases += 1;
        *unanswered += usize::from(waited);
        *last = now;
        if std::mem::take(napping) {
            self.wake.activate();
        }
        target.in_flight.fetch_add(1, Ordering::SeqCst);
        Lease { gate: self.clone(), target, unanswered: waited }
    }

    /// Requests that wait for a dyno now.
    pub fn waiting(&self) -> usize {
        self.lock().waiting
    }

    /// What the idle rule needs to know.
    pub fn activity(&self) -> sleep::Activity {
        let state = self.lock();
        sleep::Activity { open: state.leases + state.waiting, last: state.last }
    }

    /// Opens for these targets (at least one); those waiting are served.
    pub fn open(&self, targets: Vec<Arc<Target>>) {
        assert!(!targets.is_empty(), "an open gate has a target");
        self.set(Phase::Open(targets));
    }

    /// Requests wait from now on; leases already given stay valid.
    pub fn hold(&self) {
        self.set(Phase::Held);
    }

    /// Requests are refused from now on, those waiting too.
    pub fn refuse(&self, refusal: Refusal) {
        self.set(Phase::Refused(refusal));
    }

    /// Counts as traffic: a wake or a release by hand.
    pub fn touch(&self) {
        let now = self.clock.now();
        let mut state = self.lock();
        (state.last, state.napping) = (now, false);
    }

    /// After a clock was set back: the last request came now at the latest.
    pub fn catch_up(&self) {
        let now = self.clock.now();
        let mut state = self.lock();
        state.last = state.last.min(now);
    }

    /// Begins the nap if nobody is inside and the plan's nap time is over: true when it did.
    pub fn nap_if_idle(&self, plan: &Plan) -> bool {
        let now = self.clock.now();
        let mut state = self.lock();
        let activity = sleep::Activity { open: state.leases + state.waiting, last: state.last };
        let naps =
            matches!(state.phase, Phase::Open(_)) && !state.napping && sleep::naps_at(plan, activity, now).is_some_and(|at| now >= at);
        state.napping |= naps;
        naps
    }

    /// Whether a nap has begun and nobody has come since.
    pub fn napping(&self) -> bool {
        self.lock().napping
    }

    /// Holds the gate if the idle rule says sleep, under the lock that admits: true when it did,
    /// and then nobody is inside.
    pub fn close_if_idle(&self, plan: &Plan) -> bool {
        let now = self.clock.now();
        let mut state = self.lock();
        let activity = sleep::Activity { open: state.leases + state.waiting, last: state.last };
        let idle = matches!(state.phase, Phase::Open(_)) && sleep::judge(plan, activity, now) == sleep::Verdict::Sleep;
        if idle {
            state.phase = Phase::Held;
            state.napping = false;
        }
        idle
    }

    fn set(&self, phase: Phase) {
        let mut state = self.lock();
        (state.phase, state.napping) = (phase, false);
        drop(state);
        self.changed.notify_waiters();
    }
}

/// A request that waits for a dyno: counted until it is dropped or served.
pub struct Waiting {
    gate: Arc<Gate>,
}

impl Waiting {
    /// Waits until the gate opens or refuses, at most `patience` (then `BootTimeout`). A storm goes
    /// through in the order it came, a few at once until the dyno answers.
    pub async fn admitted(self, patience: Duration) -> Result<Lease, Refusal> {
        let gate = self.gate.clone();
        let wait = async {
            loop {
                // Both are listened to before the look, so that nothing is missed between the two.
                let (changed, turn) = (gate.changed.notified(), gate.turn.notified());
                {
                    let now = gate.clock.now();
                    let mut state = gate.lock();
                    match &state.phase {
                        Phase::Open(_) if state.unanswered < gate.limits.unanswered => return Ok(gate.admit(&mut state, now, true)),
                        Phase::Refused(refusal) => return Err(*refusal),
                        Phase::Open(_) | Phase::Held => {}
                    }
                }
                tokio::select! {
                    () = changed => {}
                    () = turn => {}
                }
            }
        };
        tokio::time::timeout(patience, wait).await.unwrap_or(Err(Refusal::BootTimeout))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.waiting -= 1;
    }
}

/// The right to use a target. It travels in the response body or the upgraded connection, so that
/// a long download or a websocket keeps the app awake.
pub struct Lease {
    gate: Arc<Gate>,
    target: Arc<Target>,
    /// It waited, and counts against those who still wait until it is answered.
    unanswered: bool,
}

impl Lease {
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// The dyno has begun to answer: others that waited may go.
    pub fn answered(&mut self) {
        if std::mem::take(&mut self.unanswered) {
            let mut state = self.gate.lock();
            state.unanswered -= 1;
            let more = state.waiting > 0;
            drop(state);
            if more {
                self.gate.turn.notify_one();
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.answered();
        let now = self.gate.clock.now();
        {
            let mut state = self.gate.lock();
            state.leases -= 1;
            state.last = now;
        }
        if self.target.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.target.drained.notify_waiters();
        }
    }
}
