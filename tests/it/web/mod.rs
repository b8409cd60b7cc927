//! The dashboard, HTTP in and HTML out.

mod login;
mod numbers;
mod pages;
mod rules;
pub mod server;
