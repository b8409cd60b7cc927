//! The dashboard, HTTP in and HTML out.

mod bin;
mod changes;
mod host;
mod login;
mod numbers;
mod pages;
mod roles;
mod rules;
pub mod server;
