//! The router between raw sockets: codes, heads, streams, tunnels, smuggling, random streams.

mod codes;
mod fuzz;
mod heads;
mod rig;
mod smuggling;
mod streams;
