//! The engine contract over real Docker, and what only real Docker has.

use std::{path::Path, time::Duration};

use futures_util::StreamExt;
use siesta::engine::{Attachment, Engine, EngineError, Streams, TerminalSize, docker::Docker};
use tokio::io::AsyncWriteExt;

use super::tiny::{socket, with_docker};
use crate::engine_contract::{Bench, contract_suite, exit, owned_folder};

contract_suite!(with_docker);

#[tokio::test]
async fn what_carries_another_instance_is_not_ours() {
    with_docker(async |bench| {
        let stranger = Docker::connect(Path::new(&socket()), "stranger").unwrap();
        let id = bench.start("sleep 1000").await;
        assert_eq!(stranger.list().await.unwrap(), []);
        let refused = |result: Result<(), EngineError>| assert!(matches!(result, Err(EngineError::Refused(_))), "{result:?}");
        refused(stranger.kill(id.clone()).await);
        refused(stranger.remove(id.clone()).await);
        refused(stranger.stop(id.clone(), Duration::ZERO).await.map(drop));
        refused(stranger.inspect(id.clone()).await.map(drop));
        refused(stranger.remove_network(bench.network.name.clone()).await);
        assert!(bench.engine.inspect(id).await.unwrap().unwrap().running);
    })
    .await;
}

#[tokio::test]
async fn a_terminal_is_a_terminal_of_the_size_that_was_set() {
    with_docker(async |bench| {
        let (id, Attachment { mut input, mut output }) = bench.attached("read line; stty size; echo bye", Streams::Terminal).await;
        bench.engine.start(id.clone()).await.unwrap();
        bench.engine.resize(id.clone(), TerminalSize { columns: 101, rows: 41 }).await.unwrap();
        input.write_all(b"go\r").await.unwrap();
        let mut heard = Vec::new();
        while let Some(chunk) = output.next().await {
            heard.extend_from_slice(&chunk.unwrap());
        }
        assert_eq!(String::from_utf8_lossy(&heard), "go\r\n41 101\r\nbye\r\n");
        assert_eq!(bench.engine.wait(id).await.unwrap(), exit(0));
    })
    .await;
}

/// What a client sends through and does not read soon waits in the kernel, not in this process.
#[tokio::test]
async fn a_gigabyte_through_a_one_off_leaves_memory_flat() {
    let megabytes = if std::env::var_os("SIESTA_TEST_SOAK").is_some() { 1024 } else { 192 };
    with_docker(async |bench| {
        let (id, Attachment { mut input, mut output }) = bench.attached("cat", Streams::Pipes).await;
        bench.engine.start(id.clone()).await.unwrap();
        let before = resident();
        let block = bytes::Bytes::from(vec![b'x'; 1 << 20]);
        let write = async {
            for _ in 0..megabytes {
                input.write_all(&block).await.unwrap();
            }
            input.shutdown().await.unwrap();
        };
        let read = async {
            let (mut count, mut most) = (0, 0);
            while let Some(chunk) = output.next().await {
                count += chunk.unwrap().len();
                most = most.max(resident());
            }
            (count, most)
        };
        let ((), (count, most)) = tokio::join!(write, read);
        assert_eq!(count, megabytes << 20);
        let grown = most.saturating_sub(before) >> 20;
        // Half is far more than other tests in this process need meanwhile.
        assert!(grown < megabytes as u64 / 2, "memory grew by {grown} MB for {megabytes} MB");
    })
    .await;
}

/// Memory of this process, in bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse::<u64>().unwrap();
    pages * 4096
}

#[tokio::test]
async fn an_image_without_our_prefix_is_never_removed() {
    with_docker(async |bench| {
        let foreign = siesta::engine::ImageRef("debian:bookworm-slim".to_owned());
        assert!(matches!(bench.engine.remove_image(foreign).await, Err(EngineError::Refused(_))));
    })
    .await;
}

#[tokio::test]
async fn a_cache_volume_keeps_its_owner_and_its_files_until_it_is_removed() {
    with_docker(async |bench| {
        let volume = format!("siesta-{}-cache-1", bench.instance);
        let first = bench.create_with("id -u; echo kept > /cache/file", Some(volume.clone())).await;
        bench.engine.put_archive(first.clone(), "/".into(), owned_folder("cache/", bench.uid())).await.unwrap();
        bench.engine.start(first.clone()).await.unwrap();
        assert_eq!(bench.engine.wait(first.clone()).await.unwrap(), exit(0), "{:?}", bench.lines(&first, None).await);
        bench.engine.remove(first).await.unwrap();
        let second = bench.create_with("cat /cache/file", Some(volume.clone())).await;
        bench.engine.start(second.clone()).await.unwrap();
        assert_eq!(bench.lines(&second, None).await, ["out kept"]);
        bench.engine.remove(second).await.unwrap();
        bench.engine.remove_volume(volume.clone()).await.unwrap();
        bench.engine.remove_volume(volume).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_unreachable() {
    assert!(matches!(Docker::connect(Path::new("/nowhere/docker.sock"), "x"), Err(EngineError::Unreachable(_))));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("docker.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let engine = Docker::connect(&path, "x").unwrap();
    assert!(matches!(engine.info().await, Err(EngineError::Unreachable(_))));
}

#[tokio::test]
async fn the_engine_says_what_it_is() {
    with_docker(async |bench: Bench| {
        let info = bench.engine.info().await.unwrap();
        assert!(info.cpus > 0 && info.memory_bytes > 0 && !info.version.is_empty());
        assert!([1, 2].contains(&info.cgroup_version));
    })
    .await;
}
