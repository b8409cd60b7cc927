//! Apps, releases and dynos together, over the fake engine: deploy, sleep, wake, crash, quota,
//! restart of the server.

mod deploy;
mod gate;
mod memory;
mod sleep;
pub mod world;
