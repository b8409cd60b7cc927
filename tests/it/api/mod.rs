//! The Platform API over HTTP: shapes, paging, ETags, tenancy, log and build streams.

mod addons;
mod drains;
mod fields;
mod git;
mod roles;
mod rules;
pub mod server;
mod shapes;
mod sharing;
mod streams;
mod tenancy;
mod webhooks;
