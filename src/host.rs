//! The machine we run on: its memory, disk and threads, and whether another dyno fits.

mod disk;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use crate::{
    config::Config,
    domain::capacity::{Bounds, Machine, NoRoom},
};

const MIB: i64 = 1024 * 1024;

pub use disk::{Disk, Kind as DiskKind};

/// Keeps account of what dynos were promised. Cheap to clone.
#[derive(Clone)]
pub struct Host {
    bounds: Bounds,
    data_dir: Arc<PathBuf>,
    promised: Arc<AtomicI64>,
    seen: Arc<disk::Seen>,
}

/// Memory promised to a dyno; given back when dropped.
#[derive(Debug)]
pub struct Promise {
    promised: Arc<AtomicI64>,
    bytes: i64,
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.promised.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

/// What `siesta status` says of the machine.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Capacity {
    /// About so many more dynos of the plan `free` fit.
    pub more_dynos: u64,
    pub text: String,
    pub promised_mb: i64,
    pub promisable_mb: i64,
    /// Of the machine.
    pub memory_mb: i64,
    pub memory_available_mb: i64,
    pub disk_free_mb: i64,
}

impl Host {
    pub fn new(config: &Config) -> Host {
        let options = &config.options;
        let bytes = |megabytes: u32| i64::from(megabytes) * MIB;
        let bounds = Bounds {
            app_memory: options.app_memory_mb.map(bytes),
            reserve: bytes(options.host_reserve_mb),
            disk_floor: bytes(options.disk_floor_mb),
        };
        Host { bounds, data_dir: Arc::new(options.data_dir.clone()), promised: Arc::default(), seen: Arc::default() }
    }

    /// Promises memory to a dyno that is about to start.
    ///
    /// # Errors
    /// When the machine has no room for it. A machine that cannot be read refuses nothing.
    pub fn admit(&self, bytes: i64) -> Result<Promise, NoRoom> {
        let machine = self.look();
        let fits = |promised: i64| match &machine {
            Some(machine) => self.bounds.admit(machine, promised, bytes),
            None => Ok(()),
        };
        let mut promised = self.promised.load(Ordering::SeqCst);
        loop {
            fits(promised)?;
            match self.promised.compare_exchange(promised, promised + bytes, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return Ok(Promise { promised: self.promised.clone(), bytes }),
                Err(now) => promised = now,
            }
        }
    }

    /// Counts a dyno that runs already.
    pub fn count(&self, bytes: i64) -> Promise {
        self.promised.fetch_add(bytes, Ordering::SeqCst);
        Promise { promised: self.promised.clone(), bytes }
    }

    /// Whether a dyno of so many bytes would fit now.
    ///
    /// # Errors
    /// When it would not.
    pub fn would_fit(&self, bytes: i64) -> Result<(), NoRoom> {
        match self.look() {
            Some(machine) => self.bounds.admit(&machine, self.promised.load(Ordering::SeqCst), bytes),
            None => Ok(()),
        }
    }

    /// Whether there is disk space for an upload and a build.
    ///
    /// # Errors
    /// When there is not.
    pub fn has_disk(&self) -> Result<(), NoRoom> {
        self.look().map_or(Ok(()), |machine| self.bounds.disk(&machine))
    }

    /// The figures, for dynos of `one` bytes. None where the machine cannot be read.
    pub fn capacity(&self, one: i64) -> Option<Capacity> {
        let machine = self.look()?;
        let promised = self.promised.load(Ordering::SeqCst);
        let more_dynos = self.bounds.room(&machine, promised, one);
        let text = match self.bounds.admit(&machine, promised, one) {
            Ok(()) => format!("about {more_dynos} more fit"),
            Err(why) => why.to_string(),
        };
        Some(Capacity {
            more_dynos,
            text,
            promised_mb: promised / MIB,
            promisable_mb: self.bounds.promisable(&machine) / MIB,
            memory_mb: machine.memory / MIB,
            memory_available_mb: machine.available / MIB,
            disk_free_mb: machine.disk_free / MIB,
        })
    }

    fn look(&self) -> Option<Machine> {
        look(&self.data_dir).inspect_err(|error| tracing::warn!(%error, "the machine could not be read")).ok()
    }
}

/// Reads what the kernel says; some microseconds.
fn look(data_dir: &Path) -> io::Result<Machine> {
    let odd = || io::Error::other("the kernel's figures are not what they used to be");
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let kibibytes = |name: &str| -> Option<i64> {
        memory.lines().find_map(|line| line.strip_prefix(name)?.trim().trim_end_matches(" kB").trim().parse().ok())
    };
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let threads = load.split(' ').nth(3).and_then(|pair| pair.split_once('/')?.1.parse().ok());
    let most = |path: &str| -> io::Result<u64> { std::fs::read_to_string(path)?.trim().parse().map_err(|_| odd()) };
    let disk = rustix::fs::statvfs(data_dir)?;
    Ok(Machine {
        memory: kibibytes("MemTotal:").ok_or_else(odd)? * 1024,
        available: kibibytes("MemAvailable:").ok_or_else(odd)? * 1024,
        disk_free: i64::try_from(disk.f_bavail.saturating_mul(disk.f_frsize)).unwrap_or(i64::MAX),
        threads: threads.ok_or_else(odd)?,
        threads_max: most("/proc/sys/kernel/threads-max")?.min(most("/proc/sys/kernel/pid_max")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_read() {
        let seen = look(Path::new("/")).expect("figures");
        assert!(seen.memory > 0 && seen.available > 0 && seen.threads > 0 && seen.threads_max > seen.threads);
    }
}
