//! The router between raw sockets: codes, heads, streams, tunnels, smuggling.

mod codes;
mod heads;
mod rig;
mod smuggling;
mod streams;
