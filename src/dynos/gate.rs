//! The gate of one app: it admits requests while a dyno is up, counts those that wait while one
//! starts, and closes under the very lock that admits. It never starts anything: the supervisor
//! looks at `waiting()` (level, not edge: a wake flag loses wake-ups, counted waiters do not).

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    clock::Clock,
    domain::{DynoName, Plan, Timestamp, sleep},
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

#[derive(Debug)]
struct State {
    phase: Phase,
    waiting: usize,
    leases: usize,
    last: Timestamp,
    next: usize,
    /// Its dynos' memory is paged out, and nobody has come since.
    napping: bool,
}

/// See the module's page.
pub struct Gate {
    state: Mutex<State>,
    changed: Notify,
    wake: Activator,
    clock: Arc<dyn Clock>,
    max_waiting: usize,
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
    pub fn new(clock: Arc<dyn Clock>, wake: Activator, max_waiting: usize) -> Arc<Gate> {
        let state = State { phase: Phase::Held, waiting: 0, leases: 0, last: clock.now(), next: 0, napping: false };
        Arc::new(Gate { state: Mutex::new(state), changed: Notify::new(), wake, clock, max_waiting })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Admits, holds or refuses a request. Never blocks.
    pub fn enter(self: &Arc<Self>) -> Entry {
        let now = self.clock.now();
        let mut state = self.lock();
        match &state.phase {
            Phase::Open(_) => Entry::Admitted(self.admit(&mut state, now)),
            Phase::Refused(refusal) => Entry::Refused(*refusal),
            Phase::Held if state.waiting >= self.max_waiting => Entry::Refused(Refusal::Backlog),
            Phase::Held => {
                state.waiting += 1;
                state.last = now;
                drop(state);
                self.wake.activate();
                Entry::Held(Waiting { gate: self.clone() })
            }
        }
    }

    /// Takes a lease; the phase must be open.
    fn admit(self: &Arc<Self>, state: &mut State, now: Timestamp) -> Lease {
        let State { phase: Phase::Open(targets), next, leases, last, napping, .. } = state else {
            unreachable!("only an open gate admits");
        };
        *next = next.wrapping_add(1);
        let target = targets[*next % targets.len()].clone();
        *leases += 1;
        *last = now;
        if std::mem::take(napping) {
            self.wake.activate();
        }
        target.in_flight.fetch_add(1, Ordering::SeqCst);
        Lease { gate: self.clone(), target }
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
    /// Waits until the gate opens or refuses, at most `patience` (then `BootTimeout`).
    pub async fn admitted(self, patience: Duration) -> Result<Lease, Refusal> {
        let gate = self.gate.clone();
        let wait = async {
            loop {
                let changed = gate.changed.notified();
                {
                    let now = gate.clock.now();
                    let mut state = gate.lock();
                    match &state.phase {
                        Phase::Open(_) => return Ok(gate.admit(&mut state, now)),
                        Phase::Refused(refusal) => return Err(*refusal),
                        Phase::Held => {}
                    }
                }
                changed.await;
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
}

impl Lease {
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
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
