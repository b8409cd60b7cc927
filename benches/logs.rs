//! Log lines into their file, for `script/bench logs`: hundred apps say a thousand lines each, then
//! all of it is written. `bench-logs FOLDER ROUNDS` prints lines a second of each round; then, to
//! stderr, CPU a line and what 10,000 apps cost that said one line each.

use std::{path::PathBuf, sync::Arc, time::Instant};

use siesta::{
    clock::{Clock, SystemClock},
    domain::AppId,
    logs::{Filter, Logs},
    scheduler::Tasks,
};

const APPS: usize = 100;
const LINES: usize = 1_000;
const QUIET_APPS: usize = 10_000;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or_else(|| anyhow::anyhow!("Which folder?"))?);
    let rounds: usize = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let tasks = Tasks::new();
    let logs = Logs::open(&folder.join("logs.db"), clock, &tasks).await?;
    let apps: Vec<AppId> = (0..APPS).map(|_| AppId::new()).collect();
    for round in 0..rounds {
        let begun = Instant::now();
        for line in 0..LINES {
            for app in &apps {
                let request = "at=info method=GET path=\"/\" host=app.localhost request_id=01234567-89ab-cdef fwd=\"127.0.0.1\" dyno=web.1";
                logs.platform(*app, "router", format!("{request} connect=0ms service={round}ms status=200 bytes={line} protocol=http"));
            }
        }
        logs.flush().await;
        println!("{}", (APPS * LINES) as f64 / begun.elapsed().as_secs_f64());
    }
    let newest = logs.recent(apps[0], &Filter::default(), 1).await?;
    anyhow::ensure!(newest.first().is_some_and(|(number, _)| *number == (rounds * LINES) as u64), "lines were lost");
    let lines = (rounds * APPS * LINES) as f64;
    eprintln!("{:.2} us CPU a line", cpu_seconds()? * 1e6 / lines);
    let before = resident()?;
    for _ in 0..QUIET_APPS {
        logs.platform(AppId::new(), "web.1", "State changed from starting to up");
    }
    logs.flush().await;
    eprintln!("{} KiB for {QUIET_APPS} apps that said one line", (resident()? - before) / 1024);
    tasks.stop(std::time::Duration::from_secs(5)).await;
    Ok(())
}

/// User and system time of this process.
fn cpu_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(ticks as f64 / 100.0)
}

fn resident() -> anyhow::Result<i64> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    Ok(pages.split_whitespace().nth(1).unwrap_or_default().parse::<i64>()? * 4096)
}
