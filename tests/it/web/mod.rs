//! The dashboard, HTTP in and HTML out.

mod login;
mod pages;
mod rules;
pub mod server;
