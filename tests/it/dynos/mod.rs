//! Apps, releases and dynos together, over the fake engine: deploy, sleep, wake, crash, quota,
//! restart of the server.

mod bin;
mod clock;
mod deploy;
mod faults;
mod gate;
mod memory;
mod one_off;
mod release_phase;
mod rendezvous;
mod sleep;
mod standby;
mod weeks;
pub mod world;
