//! The dashboard, HTTP in and HTML out.

mod pages;
mod rules;
mod server;
