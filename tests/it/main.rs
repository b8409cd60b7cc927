//! The one integration test binary. `docker::` needs a real engine and the stack images
//! (`script/test` provides both); everything else runs anywhere.

#![allow(clippy::unwrap_used, clippy::too_many_lines, reason = "a test ends where it fails, and tells one story from start to end")]

mod api;
mod architecture;
mod backup;
mod builds;
mod docker;
mod doctor;
mod drains;
mod dynos;
mod engine_contract;
mod github;
mod hints;
mod host;
mod jobs;
mod mail;
mod plans;
mod quota;
mod router;
mod store;
mod support;
mod web;
