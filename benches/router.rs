//! The router with a fixed table, for `script/bench router`: no database of apps, no supervisor.
//! `bench-router LISTEN UPSTREAM HOSTS` serves `app-0.localhost` to `app-{HOSTS-1}.localhost`.

use std::{net::SocketAddr, sync::Arc};

use clap::Parser;
use siesta::{
    clock::{Clock, SystemClock},
    config::{Config, ServeOptions},
    domain::{AppId, DynoName},
    dynos::{Gate, Route, Routes, Target},
    engine::ContainerId,
    logs::Logs,
    metrics::Traffic,
    router::{Listener, Platform, Router, RouterParts},
    scheduler::{Activator, Tasks},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(clap::Parser)]
struct Line {
    address: SocketAddr,
    upstream: SocketAddr,
    hosts: usize,
    /// Writes no log lines, to know what they cost.
    #[arg(long)]
    no_log: bool,
    #[command(flatten)]
    options: ServeOptions,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Line { address, upstream, hosts, no_log, options } = Line::parse();
    let config = Config::new(options).map_err(anyhow::Error::msg)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let tasks = Tasks::new();
    let folder = tempfile::tempdir()?;
    let logs = Logs::open(&folder.path().join("logs.db"), clock.clone(), &tasks).await?;
    let dyno: DynoName = "web.1".parse().map_err(anyhow::Error::msg)?;
    let target = Target::new(upstream, ContainerId("bench".to_owned()), "bench".to_owned(), dyno);
    let routes = (0..hosts).map(|n| {
        let gate = Gate::new(clock.clone(), Activator::new(), (&config.limits).into());
        gate.open(vec![target.clone()]);
        let (app, name) = (AppId::new(), format!("app-{n}"));
        let route = Route { app, name: name.parse().expect("a valid name"), maintenance: false, gate };
        (format!("{name}.localhost"), route)
    });
    let routes = Arc::new(Routes::fixed(routes));
    let platform = Platform::new(axum::Router::new(), &tasks);
    let threads = siesta::router::threads(&config);
    let (logs, traffic) = ((!no_log).then_some(logs), Some(Traffic::new(clock.clone())));
    let parts =
        RouterParts { config: Arc::new(config), clock, routes, logs, traffic, platform, tls: None, door: None, tasks: tasks.clone() };
    let router = Router::new(parts).start(vec![Listener::bind(address, false, threads)?])?;
    tokio::signal::ctrl_c().await?;
    router.stop().await;
    tasks.stop(std::time::Duration::from_secs(5)).await;
    Ok(())
}
