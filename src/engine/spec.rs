//! The one constructor of container specs: what a dyno and a build may be, deny by default
//! (security.md SR3, SR21). Values in, values out; `docker` only translates, and tests snapshot it.

use std::{collections::BTreeMap, net::Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::{
    domain::{AppId, BuildId, DynoId, DynoName, Plan, ReleaseId},
    engine::ImageRef,
};

/// Label keys and values. Every container, network, volume and image of ours carries
/// `siesta.instance`: nothing without it is ever touched.
pub type Labels = BTreeMap<String, String>;

pub const LABEL_INSTANCE: &str = "siesta.instance";
pub const LABEL_APP: &str = "siesta.app";
pub const LABEL_KIND: &str = "siesta.kind";
pub const LABEL_DYNO: &str = "siesta.dyno";
pub const LABEL_DYNO_ID: &str = "siesta.dyno-id";
pub const LABEL_RELEASE: &str = "siesta.release";
pub const LABEL_BUILD: &str = "siesta.build";

/// The uid and gid of an app's processes: 20000 + the app's number. One a app: two containers
/// with one uid share kernel limits (security.md 0.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AppUid(pub u32);

impl AppUid {
    pub fn of(app_number: u32) -> AppUid {
        AppUid(20_000 + app_number)
    }
}

/// A bridge of our own for one app, with a /28 from our range.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// The engine's name for it: `siesta-<instance>-<app number>`.
    pub name: String,
    /// The interface on the host, prefix `sst`: what the firewall table matches.
    pub bridge: String,
    pub subnet: Ipv4Addr,
    pub prefix: u8,
    pub labels: Labels,
}

/// Everything an engine needs to create a container. Private constructors below only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ContainerSpec {
    pub name: String,
    pub image: ImageRef,
    pub labels: Labels,
    pub command: Vec<String>,
    /// Secret: holds config vars.
    pub env: Vec<(String, String)>,
    pub user: AppUid,
    pub hostname: String,
    pub working_dir: String,
    /// The app's network, or None for no network at all.
    pub network: Option<String>,
    pub memory_bytes: i64,
    /// Memory and swap together.
    pub memory_swap_bytes: i64,
    pub nano_cpus: i64,
    pub cpu_shares: i64,
    pub pids: i64,
    pub nofile: i64,
    pub tmpfs_tmp_bytes: i64,
    pub stop_seconds: u32,
    /// A cache volume of ours and where it is mounted: builds only.
    pub cache_volume: Option<(String, String)>,
    pub extra_hosts: Vec<String>,
}

/// What a dyno's spec is made of.
pub struct DynoInput<'a> {
    pub instance: &'a str,
    pub app: AppId,
    pub app_number: u32,
    pub dyno_id: DynoId,
    pub dyno: &'a DynoName,
    pub release: ReleaseId,
    pub image: ImageRef,
    /// The Procfile command; handed to our launcher as one argument, never to a host shell.
    pub command: &'a str,
    /// Config vars and platform variables, PORT among them for web.
    pub env: Vec<(String, String)>,
    pub plan: &'a Plan,
    pub host_has_swap: bool,
    pub network: String,
}

/// What a build container's spec is made of.
pub struct BuildInput<'a> {
    pub instance: &'a str,
    pub app: AppId,
    pub app_number: u32,
    pub build: BuildId,
    pub image: ImageRef,
    pub command: Vec<String>,
    pub env: Vec<(String, String)>,
    pub network: String,
    pub cache_volume: Option<String>,
    pub memory_bytes: i64,
    pub nano_cpus: i64,
}
