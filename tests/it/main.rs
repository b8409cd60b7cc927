//! The one integration test binary. `docker::` needs a real engine and the stack images
//! (`script/test` provides both); everything else runs anywhere.

mod api;
mod architecture;
mod builds;
mod docker;
mod dynos;
mod engine_contract;
mod router;
mod store;
mod support;
mod web;
