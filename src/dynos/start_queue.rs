//! How many dynos may boot at once on this machine, and who is next: the app with the most waiting
//! requests. About 1.5 boots a core give the shortest waits in a storm (performance.md B).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::dynos::gate::Gate;

struct State {
    free: usize,
    queue: Vec<(Arc<Gate>, oneshot::Sender<Permit>)>,
}

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct StartQueue(Arc<Mutex<State>>);

/// The right to boot; dropping it lets the next one boot.
pub(super) struct Permit(Option<StartQueue>);

impl StartQueue {
    pub(super) fn new(slots: usize) -> StartQueue {
        StartQueue(Arc::new(Mutex::new(State { free: slots.max(1), queue: Vec::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a free slot. Given up by dropping the future.
    pub(super) async fn acquire(&self, gate: &Arc<Gate>) -> Permit {
        let turn = {
            let mut state = self.lock();
            if state.free > 0 {
                state.free -= 1;
                return Permit(Some(self.clone()));
            }
            let (call, turn) = oneshot::channel();
            state.queue.push((gate.clone(), call));
            turn
        };
        turn.await.expect("a queued caller is called, never dropped")
    }

    /// Hands a slot to whoever has the most requests waiting; those who gave up are passed over.
    fn release(&self) {
        let mut permit = Permit(Some(self.clone()));
        loop {
            let next = {
                let mut state = self.lock();
                let busiest = (0..state.queue.len()).rev().max_by_key(|at| state.queue[*at].0.waiting());
                match busiest {
                    Some(at) => state.queue.remove(at).1,
                    None => {
                        state.free += 1;
                        permit.0 = None;
                        return;
                    }
                }
            };
            match next.send(permit) {
                Ok(()) => return,
                Err(unused) => permit = unused,
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::{clock::ManualClock, config::Limits, domain::Timestamp, dynos::gate::Entry, scheduler::Activator};

    fn gate() -> Arc<Gate> {
        Gate::new(Arc::new(ManualClock::at(Timestamp(0))), Activator::new(), (&Limits::default()).into())
    }

    #[test]
    fn the_app_with_the_most_waiting_requests_is_next() {
        let (queue, quiet, busy) = (StartQueue::new(1), gate(), gate());
        let _waiting = [busy.enter(), busy.enter()].map(|entry| match entry {
            Entry::Held(waiting) => waiting,
            _ => panic!("a new gate holds"),
        });
        let first = queue.acquire(&quiet).now_or_never().expect("a free slot");
        let mut quiet_turn = Box::pin(queue.acquire(&quiet));
        let mut busy_turn = Box::pin(queue.acquire(&busy));
        assert!((&mut quiet_turn).now_or_never().is_none());
        assert!((&mut busy_turn).now_or_never().is_none());
        drop(first);
        assert!((&mut quiet_turn).now_or_never().is_none());
        let second = (&mut busy_turn).now_or_never().expect("the busy one is next");
        drop(second);
        assert!(quiet_turn.now_or_never().is_some());
    }

    #[test]
    fn one_that_gave_up_leaves_its_slot_to_the_next() {
        let (queue, gate) = (StartQueue::new(1), gate());
        let first = queue.acquire(&gate).now_or_never().expect("a free slot");
        let mut gone = Box::pin(queue.acquire(&gate));
        assert!((&mut gone).now_or_never().is_none());
        let mut next = Box::pin(queue.acquire(&gate));
        assert!((&mut next).now_or_never().is_none());
        drop(gone);
        drop(first);
        let permit = next.now_or_never().expect("the slot of the one that gave up");
        drop(permit);
        assert!(queue.acquire(&gate).now_or_never().is_some());
    }
}
