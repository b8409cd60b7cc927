//! Siesta: a self-hosted mini-PaaS. "Heroku's free tier on your own machine."
//!
//! The layers, from the ground up; a module names only what stands below it
//! (`tests/it/architecture.rs` holds this table, `ARCHITECTURE.md` explains it):
//!
//! ```text
//! 4  server admin  remote        puts the parts together, the operator's socket, the user's own machine
//! 3  web  api  git_http  rendezvous  router  http  tls   the edges: pages, Platform API, git, one-offs, data plane
//! 2  apps repositories builder addons connections releases dynos hooks_out plans accounts backup doctor  the owners of state
//! 1  logs  slugs  store  engine  host  mail  metrics  github  audit   what the owners stand on
//! 0  domain clock scheduler config egress secrets fail_point   values in, values out
//! ```

pub mod clock;
pub mod config;
pub mod domain;
pub mod egress;
pub mod fail_point;
pub mod scheduler;
pub mod secrets;

pub mod audit;
pub mod engine;
pub mod github;
pub mod host;
pub mod logs;
pub mod mail;
pub mod metrics;
pub mod slugs;
pub mod store;

pub mod accounts;
pub mod addons;
pub mod admin;
pub mod apps;
pub mod backup;
pub mod builder;
pub mod connections;
pub mod doctor;
pub mod domains;
pub mod dynos;
pub mod hooks_out;
pub mod pipelines;
pub mod plans;
pub mod releases;
pub mod repositories;

pub mod api;
pub mod git_http;
pub mod http;
pub mod rendezvous;
pub mod router;
pub mod tls;
pub mod web;

pub mod remote;
pub mod server;
