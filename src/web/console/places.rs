//! Tickets that were handed out, consoles that are open, and those whose browser may come back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use secrecy::SecretString;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{AppId, UserId},
    dynos::OneOff,
    secrets,
};

/// A ticket is good for this long; the reservation behind it lives as long.
const TICKET: Duration = Duration::from_secs(30);
/// How long a socket that is taken over may need to let go.
const LET_GO: Duration = Duration::from_secs(3);

/// Whose console of which app.
pub(super) type Owner = (UserId, AppId);

enum Place {
    Ticket(Instant),
    /// A socket has it; cancelled, it lets go.
    Open(CancellationToken),
    /// Its browser may come back.
    Parked(Box<OneOff>),
}

/// By the hash of its secret.
type Places = HashMap<Vec<u8>, (Owner, Place)>;

/// All of them. Cheap to clone.
#[derive(Clone, Default)]
pub struct Consoles(Arc<Mutex<Places>>);

impl Consoles {
    fn lock(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hand_out(&self, ticket: &SecretString, owner: Owner) {
        let mut places = self.lock();
        places.retain(|_, (_, place)| !matches!(place, Place::Ticket(until) if *until < Instant::now()));
        places.insert(secrets::token_hash(ticket), (owner, Place::Ticket(Instant::now() + TICKET)));
    }

    /// Whether the ticket is theirs; it is used up.
    pub(super) fn redeem(&self, ticket: &SecretString, owner: Owner) -> bool {
        let mut places = self.lock();
        let key = secrets::token_hash(ticket);
        let good = matches!(places.get(&key), Some((of, Place::Ticket(until))) if *of == owner && *until >= Instant::now());
        if good {
            places.remove(&key);
        }
        good
    }

    /// A socket has a console: the session it comes back with, and the word to let go.
    pub(super) fn open(&self, session: &SecretString, owner: Owner) -> CancellationToken {
        let let_go = CancellationToken::new();
        self.lock().insert(secrets::token_hash(session), (owner, Place::Open(let_go.clone())));
        let_go
    }

    pub(super) fn park(&self, session: &SecretString, owner: Owner, one_off: OneOff) {
        self.lock().insert(secrets::token_hash(session), (owner, Place::Parked(Box::new(one_off))));
    }

    /// Forgets a session; a parked console is dropped, which ends it.
    pub(super) fn close(&self, session: &SecretString) {
        let gone = self.lock().remove(&secrets::token_hash(session));
        drop(gone);
    }

    /// The console of a session whose socket was lost, or still hangs.
    pub(super) async fn take_back(&self, session: &SecretString, owner: Owner) -> Option<OneOff> {
        let key = secrets::token_hash(session);
        let until = Instant::now() + LET_GO;
        loop {
            {
                let mut places = self.lock();
                match places.get(&key) {
                    Some((of, Place::Parked(_))) if *of == owner => {
                        let Some((_, Place::Parked(one_off))) = places.remove(&key) else { return None };
                        return Some(*one_off);
                    }
                    Some((of, Place::Open(let_go))) if *of == owner => let_go.cancel(),
                    _ => return None,
                }
            }
            if Instant::now() > until {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
