//! Log lines into their file, for `script/bench logs`: hundred apps say a thousand lines each, then
//! all of it is written. `bench-logs FOLDER ROUNDS` prints lines a second of each round.

use std::{path::PathBuf, sync::Arc, time::Instant};

use siesta::{
    clock::{Clock, SystemClock},
    domain::AppId,
    logs::{Filter, Logs},
    scheduler::Tasks,
};

const APPS: usize = 100;
const LINES: usize = 1_000;

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
    tasks.stop(std::time::Duration::from_secs(5)).await;
    Ok(())
}
