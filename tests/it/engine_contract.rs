//! What every `Engine` must do, as one suite. Here it runs over the fake; `docker::engine` runs the
//! same over real Docker, which decides what is right.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use siesta::{
    domain::{AppId, BuildId, DynoId, Plan, ReleaseId},
    engine::{
        Attachment, ByteStream, ContainerId, ContainerSpec, Engine, Exit, ImageRef, NetworkSpec, Output, Streams, TerminalSize,
        fake::{FakeEngine, Script},
        spec::{
            AppUid, AssemblyInput, BuildInput, DynoInput, assembly_spec, build_spec, dyno_name, dyno_spec, is_standby, network_spec,
            one_off_spec, standby_spec,
        },
    },
};

use tokio::io::AsyncWriteExt;

use crate::docker::tiny;

const APP_NUMBER: u32 = 7;

/// An engine, an image with a shell in it, and a network of the test's own.
pub struct Bench {
    pub engine: Arc<dyn Engine>,
    pub instance: String,
    pub image: ImageRef,
    pub network: NetworkSpec,
    /// Set when the engine is the fake: told what a shell would do.
    fake: Option<FakeEngine>,
}

impl Bench {
    /// Makes the network; where the range is taken just there, another part of it.
    pub async fn new(engine: Arc<dyn Engine>, instance: &str, image: ImageRef, range: &str) -> Bench {
        for _ in 0..20 {
            let number = rand::random::<u32>() % 4096;
            let network = network_spec(instance, AppId::new(), number, range.parse().unwrap()).unwrap();
            if engine.ensure_network(network.clone()).await.is_ok() {
                return Bench { engine, instance: instance.to_owned(), image, network, fake: None };
            }
        }
        panic!("no room for a network in {range}");
    }

    pub fn uid(&self) -> u32 {
        AppUid::of(APP_NUMBER).0
    }

    /// Runs a test, then removes what it left.
    pub async fn run(self, test: impl AsyncFnOnce(Bench)) {
        let (engine, network) = (self.engine.clone(), self.network.name.clone());
        let outcome = AssertUnwindSafe(test(self)).catch_unwind().await;
        for container in engine.list().await.unwrap() {
            engine.remove(container.id).await.unwrap();
        }
        for image in engine.list_images().await.unwrap() {
            engine.remove_image(image).await.unwrap();
        }
        engine.remove_network(network).await.unwrap();
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    }

    /// Tells the fake what this shell line does.
    fn teach(&self, shell: &str, script: Script) {
        if let Some(fake) = &self.fake {
            fake.on(shell, script);
        }
    }

    pub async fn create_with(&self, shell: &str, cache_volume: Option<String>) -> ContainerId {
        let spec = build_spec(&BuildInput {
            instance: &self.instance,
            app: AppId::new(),
            app_number: APP_NUMBER,
            build: BuildId::new(),
            image: self.image.clone(),
            command: ["/bin/sh", "-c", shell].map(str::to_owned).to_vec(),
            env: vec![("PORT".to_owned(), "5000".to_owned())],
            network: self.network.name.clone(),
            cache_volume,
            memory_bytes: 64 << 20,
            nano_cpus: 1_000_000_000,
        });
        self.engine.create(spec).await.unwrap()
    }

    /// Starts a dyno of the free plan.
    pub async fn dyno(&self, shell: &str) -> ContainerId {
        let id = self.engine.create(self.spec_with(shell, dyno_spec)).await.unwrap();
        self.engine.start(id.clone()).await.unwrap();
        id
    }

    /// Makes a one-off dyno and connects to its streams.
    pub async fn attached(&self, shell: &str, streams: Streams) -> (ContainerId, Attachment) {
        let spec = self.spec_with(shell, |input| one_off_spec(input, Some(streams)));
        let id = self.engine.create(spec).await.unwrap();
        let attachment = self.engine.attach(id.clone()).await.unwrap();
        (id, attachment)
    }

    /// Makes a standby and holds its streams.
    pub async fn standby(&self, shell: &str) -> (ContainerId, Attachment) {
        let id = self.engine.create(self.spec_with(shell, standby_spec)).await.unwrap();
        let streams = self.engine.attach(id.clone()).await.unwrap();
        (id, streams)
    }

    fn spec_with(&self, shell: &str, make: impl FnOnce(&DynoInput<'_>) -> ContainerSpec) -> ContainerSpec {
        make(&DynoInput {
            instance: &self.instance,
            app: AppId::new(),
            app_number: APP_NUMBER,
            dyno_id: DynoId::new(),
            dyno: &"web.1".parse().unwrap(),
            release: ReleaseId::new(),
            image: self.image.clone(),
            command: shell,
            env: Vec::new(),
            plan: &Plan::free(),
            host_has_swap: false,
            network: self.network.name.clone(),
        })
    }

    pub async fn create(&self, shell: &str) -> ContainerId {
        self.create_with(shell, None).await
    }

    pub async fn start(&self, shell: &str) -> ContainerId {
        let id = self.create(shell).await;
        self.engine.start(id.clone()).await.unwrap();
        id
    }

    async fn assembly(&self, name: &str) -> ContainerId {
        let spec = assembly_spec(&AssemblyInput {
            instance: &self.instance,
            app: AppId::new(),
            app_number: APP_NUMBER,
            name,
            image: self.image.clone(),
        });
        self.engine.create(spec).await.unwrap()
    }

    /// All output to the end, as `out line` and `err line`.
    pub async fn lines(&self, id: &ContainerId, since: Option<i64>) -> Vec<String> {
        self.output(id, since).await.iter().map(shown).collect()
    }

    async fn output(&self, id: &ContainerId, since: Option<i64>) -> Vec<Output> {
        self.engine.logs(id.clone(), since).await.unwrap().try_collect().await.unwrap()
    }

    /// Follows the output until this line comes; what came before it.
    pub async fn hears(&self, id: &ContainerId, line: &str) -> Vec<String> {
        let mut output = self.engine.logs(id.clone(), None).await.unwrap();
        let mut before = Vec::new();
        while let Some(said) = output.next().await {
            let said = shown(&said.unwrap());
            if said == line {
                return before;
            }
            before.push(said);
        }
        panic!("it ended without saying {line}, but said {before:?}");
    }
}

fn shown(output: &Output) -> String {
    format!("{} {}", if output.stderr { "err" } else { "out" }, String::from_utf8_lossy(&output.bytes))
}

/// An exit that has nothing to do with memory.
pub fn exit(code: i64) -> Exit {
    Exit { code, out_of_memory: false }
}

/// Bytes as a stream in small pieces.
pub fn bytes(content: Vec<u8>) -> ByteStream {
    let pieces: Vec<std::io::Result<Bytes>> = content.chunks(100_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces).boxed()
}

/// A tar with these files.
pub fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

/// A tar with one folder that belongs to `uid`.
pub fn owned_folder(name: &str, uid: u32) -> ByteStream {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_size(0);
    header.set_mode(0o755);
    header.set_uid(uid.into());
    header.set_gid(uid.into());
    tar.append_data(&mut header, name, &b""[..]).unwrap();
    bytes(tar.into_inner().unwrap())
}

async fn read_file(engine: &dyn Engine, id: &ContainerId, path: &str) -> Vec<(String, Vec<u8>)> {
    let chunks: Vec<Bytes> = engine.get_archive(id.clone(), path.into()).await.unwrap().try_collect().await.unwrap();
    let tar = chunks.concat();
    let mut archive = tar::Archive::new(tar.as_slice());
    let files = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
        (entry.path().unwrap().to_string_lossy().into_owned(), content)
    });
    files.collect()
}

/// The cases. Each takes a bench; the macro below makes a test of it for one engine.
pub mod cases {
    use siesta::engine::EngineError;

    use super::*;

    pub async fn a_container_lives_from_create_to_remove(bench: Bench) {
        let engine = &bench.engine;
        let id = bench.create("sleep 1000").await;
        let created = engine.inspect(id.clone()).await.unwrap().unwrap();
        assert!(!created.running && created.exit.is_none() && created.address.is_none());
        assert_eq!(created.labels["siesta.instance"], bench.instance);
        let started = engine.start(id.clone()).await.unwrap();
        assert!(started.running && started.address.is_some() && !started.generation.is_empty());
        assert_eq!(engine.list().await.unwrap(), [started]);
        assert_eq!(engine.stop(id.clone(), Duration::from_secs(20)).await.unwrap(), Some(exit(143)));
        let stopped = engine.inspect(id.clone()).await.unwrap().unwrap();
        assert!(!stopped.running && stopped.address.is_none());
        assert_eq!(stopped.exit, Some(exit(143)));
        assert_eq!(engine.list().await.unwrap(), [stopped], "an ended container is listed too");
        engine.remove(id.clone()).await.unwrap();
        assert_eq!(engine.inspect(id).await.unwrap(), None);
        assert_eq!(engine.list().await.unwrap(), []);
    }

    pub async fn what_is_gone_or_stopped_may_be_ended_again(bench: Bench) {
        let engine = &bench.engine;
        let id = bench.start("sleep 1000").await;
        engine.kill(id.clone()).await.unwrap();
        engine.kill(id.clone()).await.unwrap();
        assert_eq!(engine.stop(id.clone(), Duration::ZERO).await.unwrap(), Some(exit(137)));
        engine.remove(id.clone()).await.unwrap();
        engine.remove(id.clone()).await.unwrap();
        engine.kill(id.clone()).await.unwrap();
        assert_eq!(engine.stop(id.clone(), Duration::ZERO).await.unwrap(), None);
        assert_eq!(engine.start(id.clone()).await, Err(EngineError::NoSuchContainer));
        assert_eq!(engine.wait(id.clone()).await, Err(EngineError::NoSuchContainer));
        assert_eq!(engine.usage(vec![id.clone()]).await, Ok(BTreeMap::new()));
        assert_eq!(engine.reclaim(id.clone()).await, Ok(false));
        assert_eq!(engine.logs(id.clone(), None).await.err(), Some(EngineError::NoSuchContainer));
        assert_eq!(engine.get_archive(id, "/app".into()).await.err(), Some(EngineError::NoSuchContainer));
    }

    pub async fn a_running_container_can_be_removed(bench: Bench) {
        let id = bench.start("sleep 1000").await;
        bench.engine.remove(id.clone()).await.unwrap();
        assert_eq!(bench.engine.inspect(id).await.unwrap(), None);
    }

    pub async fn a_wait_for_one_that_is_removed_tells_no_exit_code(bench: Bench) {
        let id = bench.start("sleep 1000").await;
        let mut waiting = bench.engine.wait(id.clone());
        assert!(futures_util::poll!(&mut waiting).is_pending());
        // Until the wait has reached the engine the container may be gone before it: the same answer.
        let (ended, removed) = tokio::join!(waiting, bench.engine.remove(id.clone()));
        removed.unwrap();
        assert_eq!(ended, Err(EngineError::NoSuchContainer));
    }

    pub async fn one_that_ignores_sigterm_is_killed_after_its_grace(bench: Bench) {
        let shell = "trap '' TERM; echo deaf; while true; do sleep 1; done";
        bench.teach(shell, Script::default().says("deaf").ignores_sigterm());
        let id = bench.start(shell).await;
        bench.hears(&id, "out deaf").await;
        assert_eq!(bench.engine.stop(id, Duration::from_secs(1)).await.unwrap(), Some(exit(137)));
    }

    pub async fn a_wait_answers_with_the_exit_code(bench: Bench) {
        for code in [0, 3] {
            let shell = format!("echo before; exit {code}");
            bench.teach(&shell, Script::exits(code).says("before"));
            let id = bench.create(&shell).await;
            let waiting = bench.engine.wait(id.clone());
            let starting = async {
                bench.engine.start(id.clone()).await.unwrap();
            };
            let (ended, ()) = tokio::join!(waiting, starting);
            assert_eq!(ended.unwrap(), exit(code));
            assert_eq!(bench.engine.wait(id.clone()).await.unwrap(), exit(code), "and again when it has ended");
            assert_eq!(bench.engine.inspect(id).await.unwrap().unwrap().exit, Some(exit(code)));
        }
    }

    pub async fn every_start_is_another_generation(bench: Bench) {
        let id = bench.create("sleep 1000").await;
        let first = bench.engine.start(id.clone()).await.unwrap();
        assert_eq!(bench.engine.start(id.clone()).await.unwrap().generation, first.generation, "started already");
        bench.engine.kill(id.clone()).await.unwrap();
        let second = bench.engine.start(id.clone()).await.unwrap();
        assert!(second.running && second.exit.is_none());
        assert_ne!(second.generation, first.generation);
    }

    pub async fn what_is_not_there_is_named(bench: Bench) {
        let spec = build_spec(&BuildInput {
            instance: &bench.instance,
            app: AppId::new(),
            app_number: APP_NUMBER,
            build: BuildId::new(),
            image: ImageRef("siesta/nothing:1".to_owned()),
            command: vec!["true".to_owned()],
            env: Vec::new(),
            network: bench.network.name.clone(),
            cache_volume: None,
            memory_bytes: 64 << 20,
            nano_cpus: 1_000_000_000,
        });
        assert_eq!(bench.engine.create(spec).await, Err(EngineError::NoSuchImage("siesta/nothing:1".to_owned())));
        let id = bench.create("sleep 1000").await;
        bench.engine.remove_network(bench.network.name.clone()).await.unwrap();
        assert_eq!(bench.engine.start(id).await, Err(EngineError::NoSuchNetwork(bench.network.name.clone())));
    }

    pub async fn a_name_is_given_once(bench: Bench) {
        let build = BuildId::new();
        let spec = || {
            build_spec(&BuildInput {
                instance: &bench.instance,
                app: AppId::new(),
                app_number: APP_NUMBER,
                build,
                image: bench.image.clone(),
                command: vec!["true".to_owned()],
                env: Vec::new(),
                network: bench.network.name.clone(),
                cache_volume: None,
                memory_bytes: 64 << 20,
                nano_cpus: 1_000_000_000,
            })
        };
        bench.engine.create(spec()).await.unwrap();
        assert!(matches!(bench.engine.create(spec()).await, Err(EngineError::Refused(_))));
    }

    pub async fn networks_come_and_go(bench: Bench) {
        let engine = &bench.engine;
        engine.ensure_network(bench.network.clone()).await.unwrap();
        assert!(engine.list_networks().await.unwrap().contains(&bench.network.name));
        engine.remove_network(bench.network.name.clone()).await.unwrap();
        engine.remove_network(bench.network.name.clone()).await.unwrap();
        assert!(!engine.list_networks().await.unwrap().contains(&bench.network.name));
        engine.ensure_network(bench.network.clone()).await.unwrap();
        assert!(engine.start(bench.create("sleep 1000").await).await.unwrap().running);
        assert!(matches!(engine.remove_network(bench.network.name.clone()).await, Err(EngineError::Refused(_))), "in use");
    }

    pub async fn a_container_joins_more_networks_and_leaves_them(bench: Bench) {
        let engine = &bench.engine;
        let other = Bench::new(engine.clone(), &bench.instance, bench.image.clone(), "10.214.0.0/16").await.network;
        let id = bench.start("sleep 1000").await;
        let networks = async || {
            let seen = engine.inspect(id.clone()).await.unwrap().unwrap();
            seen.addresses.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(networks().await, std::slice::from_ref(&bench.network.name));
        for _ in 0..2 {
            engine.join_network(id.clone(), other.name.clone(), "door".to_owned()).await.unwrap();
            let mut both = vec![bench.network.name.clone(), other.name.clone()];
            both.sort();
            assert_eq!(networks().await, both);
        }
        assert!(matches!(engine.remove_network(other.name.clone()).await, Err(EngineError::Refused(_))), "in use");
        for _ in 0..2 {
            engine.leave_network(id.clone(), other.name.clone()).await.unwrap();
            assert_eq!(networks().await, std::slice::from_ref(&bench.network.name));
        }
        engine.remove_network(other.name.clone()).await.unwrap();
        engine.leave_network(id.clone(), other.name.clone()).await.unwrap();
        let gone = engine.join_network(id, other.name, "door".to_owned()).await;
        assert!(matches!(gone, Err(EngineError::NoSuchNetwork(_))), "{gone:?}");
    }

    pub async fn output_comes_in_lines_and_can_be_resumed(bench: Bench) {
        let shell = "echo one; echo two; echo; echo four";
        bench.teach(shell, Script::exits(0).says("one").says("two").says("").says("four"));
        let id = bench.start(shell).await;
        let output = bench.output(&id, None).await;
        assert_eq!(output.iter().map(shown).collect::<Vec<_>>(), ["out one", "out two", "out ", "out four"]);
        assert!(output.is_sorted_by_key(|line| line.at_micros));
        let after = output[1].at_micros + 1;
        let expected: Vec<_> = output.iter().filter(|line| line.at_micros >= after).cloned().collect();
        assert_eq!(bench.output(&id, Some(after)).await, expected);
        assert_eq!(bench.lines(&id, Some(output[3].at_micros + 1)).await, Vec::<String>::new());
    }

    pub async fn stdout_and_stderr_are_told_apart_and_long_lines_are_whole(bench: Bench) {
        let long = "x".repeat(40_000);
        let shell = "echo oops >&2; head -c 40000 /dev/zero | tr '\\0' x; echo; echo after";
        bench.teach(shell, Script::exits(0).says_err("oops").says(&long).says("after"));
        let id = bench.start(shell).await;
        let mut lines = bench.lines(&id, None).await;
        lines.sort();
        assert_eq!(lines, ["err oops", "out after", &format!("out {long}")]);
    }

    pub async fn output_is_followed_while_it_runs(bench: Bench) {
        let shell = "echo ready; sleep 1000";
        bench.teach(shell, Script::default().says("ready"));
        let id = bench.start(shell).await;
        let mut output = bench.engine.logs(id.clone(), None).await.unwrap();
        assert_eq!(shown(&output.next().await.unwrap().unwrap()), "out ready");
        bench.engine.kill(id).await.unwrap();
        assert!(output.next().await.is_none(), "ends with the container");
    }

    pub async fn files_go_in_and_come_out(bench: Bench) {
        let shell = "cat /app/in/file; echo made > /app/out";
        bench.teach(shell, Script::exits(0).says("given").writes("/app/out", "made\n"));
        let id = bench.create(shell).await;
        let tar = tar_of(&[("in/file", b"given\n"), ("in/other", &[7; 300_000])]);
        bench.engine.put_archive(id.clone(), "/app".into(), bytes(tar)).await.unwrap();
        bench.engine.start(id.clone()).await.unwrap();
        assert_eq!(bench.engine.wait(id.clone()).await.unwrap(), exit(0));
        assert_eq!(bench.lines(&id, None).await, ["out given"]);
        assert_eq!(read_file(bench.engine.as_ref(), &id, "/app/out").await, [("out".to_owned(), b"made\n".to_vec())]);
        let folder = read_file(bench.engine.as_ref(), &id, "/app/in").await;
        assert!(folder.contains(&("in/other".to_owned(), vec![7; 300_000])));
        let missing = bench.engine.get_archive(id, "/app/none".into()).await.err();
        assert_eq!(missing, Some(EngineError::NoSuchPath("/app/none".to_owned())));
    }

    pub async fn what_is_written_is_measured(bench: Bench) {
        let id = bench.create("true").await;
        let before = bench.engine.written(id.clone()).await.unwrap();
        let tar = tar_of(&[("file", &[7; 3_000_000])]);
        bench.engine.put_archive(id.clone(), "/app".into(), bytes(tar)).await.unwrap();
        let written = bench.engine.written(id.clone()).await.unwrap() - before;
        assert!((2_900_000..4_000_000).contains(&written), "{written}");
        bench.engine.remove(id.clone()).await.unwrap();
        assert_eq!(bench.engine.written(id).await, Err(EngineError::NoSuchContainer));
    }

    pub async fn an_archive_that_breaks_off_or_leaves_its_folder_is_refused(bench: Bench) {
        let id = bench.create("true").await;
        let broken = bytes(tar_of(&[("a", b"1")])).chain(stream::iter([Err(std::io::Error::other("limit reached"))])).boxed();
        let refused = bench.engine.put_archive(id.clone(), "/app".into(), broken).await;
        assert!(matches!(refused, Err(EngineError::Refused(_))), "{refused:?}");
        let mut tar = tar_of(&[("XX/escaped", b"1")]);
        tar[..2].copy_from_slice(b"..");
        let sum: u32 = tar[..512].iter().enumerate().map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) }).sum();
        tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let refused = bench.engine.put_archive(id, "/app".into(), bytes(tar)).await;
        assert!(matches!(refused, Err(EngineError::Refused(_))), "{refused:?}");
    }

    pub async fn an_assembly_becomes_an_image(bench: Bench) {
        let engine = &bench.engine;
        let image = ImageRef(format!("siesta/{}:slug", bench.instance));
        assert!(!engine.has_image(image.clone()).await.unwrap());
        let assembly = bench.assembly("one").await;
        engine.put_archive(assembly.clone(), "/app".into(), bytes(tar_of(&[("hello", b"hello from the slug\n")]))).await.unwrap();
        engine.commit(assembly.clone(), image.clone(), [("siesta.app".to_owned(), "1".to_owned())].into()).await.unwrap();
        engine.remove(assembly).await.unwrap();
        assert!(engine.has_image(image.clone()).await.unwrap());
        assert_eq!(engine.list_images().await.unwrap(), std::slice::from_ref(&image));
        let bench = Bench { image: image.clone(), ..bench };
        bench.teach("cat /app/hello", Script::exits(0).says("hello from the slug"));
        let id = bench.start("cat /app/hello").await;
        assert_eq!(bench.lines(&id, None).await, ["out hello from the slug"]);
        assert_eq!(read_file(bench.engine.as_ref(), &id, "/app/hello").await[0].1, b"hello from the slug\n");
        bench.engine.remove_image(image.clone()).await.unwrap();
        assert!(bench.engine.has_image(image.clone()).await.unwrap(), "in use");
        bench.engine.remove(id).await.unwrap();
        bench.engine.remove_image(image.clone()).await.unwrap();
        bench.engine.remove_image(image.clone()).await.unwrap();
        assert!(!bench.engine.has_image(image).await.unwrap());
    }

    pub async fn a_container_with_variables_never_becomes_an_image(bench: Bench) {
        let id = bench.create("true").await;
        let image = ImageRef(format!("siesta/{}:leak", bench.instance));
        assert!(matches!(bench.engine.commit(id, image.clone(), [].into()).await, Err(EngineError::Refused(_))));
        assert!(!bench.engine.has_image(image).await.unwrap());
    }

    pub async fn memory_is_named_as_the_cause(bench: Bench) {
        bench.teach("tail /dev/zero", Script::exits(137).out_of_memory());
        let id = bench.start("tail /dev/zero").await;
        let ended = bench.engine.wait(id.clone()).await.unwrap();
        assert!(ended.out_of_memory && ended.code != 0, "{ended:?}");
        assert_eq!(bench.engine.inspect(id).await.unwrap().unwrap().exit, Some(ended));
    }

    pub async fn a_client_s_pipes_carry_bytes_both_ways_to_the_end_of_the_input(bench: Bench) {
        bench.teach("echo first; cat", Script::default().says("first").echoes());
        let (id, Attachment { mut input, output }) = bench.attached("echo first; cat", Streams::Pipes).await;
        bench.engine.start(id.clone()).await.unwrap();
        let sent: Vec<u8> = (0..300_000u32).flat_map(u32::to_be_bytes).collect();
        let write = async {
            input.write_all(&sent).await.unwrap();
            input.shutdown().await.unwrap();
        };
        let (heard, ()) = tokio::join!(output.try_collect::<Vec<Bytes>>(), write);
        let heard = heard.unwrap().concat();
        assert!(heard.starts_with(b"first\n") && heard[6..] == sent, "{} bytes came back", heard.len());
        assert_eq!(bench.engine.wait(id).await.unwrap(), exit(0));
    }

    pub async fn what_a_container_complains_of_stands_apart_from_its_data(bench: Bench) {
        let shell = "echo broken >&2; echo first; cat";
        bench.teach(shell, Script::default().says_err("broken").says("first").echoes());
        let spec = bench.spec_with(shell, |input| one_off_spec(input, Some(Streams::Pipes)));
        let id = bench.engine.create(spec).await.unwrap();
        let (Attachment { mut input, mut output }, complaints) = bench.engine.attach_apart(id.clone()).await.unwrap();
        bench.engine.start(id.clone()).await.unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"first\n") {
            heard.extend_from_slice(&output.next().await.unwrap().unwrap());
        }
        input.write_all(b"data").await.unwrap();
        input.shutdown().await.unwrap();
        while let Some(bytes) = output.next().await {
            heard.extend_from_slice(&bytes.unwrap());
        }
        assert_eq!(String::from_utf8_lossy(&heard), "first\ndata");
        assert_eq!((bench.engine.wait(id).await.unwrap(), complaints.text().as_str()), (exit(0), "broken"));
    }

    pub async fn a_container_whose_client_is_gone_is_hung_up(bench: Bench) {
        let shell = "echo up; sleep 1000";
        bench.teach(shell, Script::default().says("up"));
        for streams in [Streams::Terminal, Streams::Pipes] {
            let (id, Attachment { input, mut output }) = bench.attached(shell, streams).await;
            bench.engine.start(id.clone()).await.unwrap();
            bench.engine.resize(id.clone(), TerminalSize { columns: 100, rows: 40 }).await.unwrap();
            let first = output.next().await.unwrap().unwrap();
            assert!(first.starts_with(b"up"), "{first:?}");
            drop((input, output));
            bench.engine.hang_up(id.clone()).await.unwrap();
            assert_eq!(bench.engine.wait(id.clone()).await.unwrap(), exit(129));
            bench.engine.hang_up(id.clone()).await.unwrap();
            bench.engine.resize(id.clone(), TerminalSize { columns: 80, rows: 24 }).await.unwrap();
            bench.engine.remove(id.clone()).await.unwrap();
            bench.engine.hang_up(id.clone()).await.unwrap();
            assert_eq!(bench.engine.attach(id).await.err(), Some(EngineError::NoSuchContainer));
        }
    }

    pub async fn a_standby_waits_for_a_line_and_goes_on_as_the_dyno(bench: Bench) {
        bench.teach("cat /app/late; exit 7", Script::exits(7).says("late"));
        let (id, Attachment { mut input, output }) = bench.standby("cat /app/late; exit 7").await;
        let held = bench.engine.start(id.clone()).await.unwrap();
        assert!(held.running && held.address.is_some());
        bench.engine.put_archive(id.clone(), "/app".into(), bytes(tar_of(&[("late", b"late\n")]))).await.unwrap();
        assert_eq!(bench.engine.inspect(id.clone()).await.unwrap(), Some(held), "it reads what came after its start");
        input.write_all(b"\n").await.unwrap();
        drop((input, output));
        assert_eq!(bench.engine.wait(id.clone()).await.unwrap(), exit(7));
        assert_eq!(bench.hears(&id, "out late").await, Vec::<String>::new(), "what nobody listens to is kept");
    }

    pub async fn a_standby_ends_with_its_input_or_when_it_is_stopped(bench: Bench) {
        bench.teach("echo up; sleep 1000", Script::default().says("up"));
        let (lost, streams) = bench.standby("echo up; sleep 1000").await;
        bench.engine.start(lost.clone()).await.map(|_| drop(streams)).unwrap();
        assert_eq!(bench.engine.wait(lost.clone()).await.unwrap(), exit(0));
        let (stopped, _streams) = bench.standby("echo up; sleep 1000").await;
        bench.engine.start(stopped.clone()).await.unwrap();
        assert_eq!(bench.engine.stop(stopped.clone(), Duration::from_secs(20)).await.unwrap(), Some(exit(143)));
        for id in [lost, stopped] {
            let said: Vec<Output> = bench.engine.logs(id, None).await.unwrap().try_collect().await.unwrap();
            assert!(said.is_empty(), "the command never ran: {said:?}");
        }
    }

    pub async fn a_container_is_called_by_another_name(bench: Bench) {
        let (id, _streams) = bench.standby("sleep 1000").await;
        let before = bench.engine.start(id.clone()).await.unwrap();
        assert!(is_standby(&before.name), "{}", before.name);
        let name = dyno_name(&bench.instance, DynoId::new());
        bench.engine.rename(id.clone(), name.clone()).await.unwrap();
        let after = siesta::engine::Container { name: name.clone(), ..before };
        assert_eq!(bench.engine.inspect(id).await.unwrap(), Some(after), "nothing but its name is another");
        let (other, _streams) = bench.standby("sleep 1000").await;
        assert!(matches!(bench.engine.rename(other.clone(), name).await, Err(EngineError::Refused(_))), "a name is given once");
        bench.engine.remove(other.clone()).await.unwrap();
        assert_eq!(bench.engine.rename(other, dyno_name(&bench.instance, DynoId::new())).await, Err(EngineError::NoSuchContainer));
    }

    pub async fn its_address_answers_while_it_runs(bench: Bench) {
        let shell = "echo hello > /app/index.html; httpd -p 5000 -h /app; echo up; sleep 1000";
        bench.teach(shell, Script::default().says("up"));
        let id = bench.create(shell).await;
        let address = bench.engine.start(id.clone()).await.unwrap().address.unwrap();
        bench.hears(&id, "out up").await;
        let url = format!("http://{address}:5000/");
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        // The server answers, in whatever words.
        while client.get(&url).send().await.is_err() {
            tokio::task::yield_now().await;
        }
        bench.engine.kill(id).await.unwrap();
        assert!(client.get(&url).timeout(Duration::from_secs(3)).send().await.is_err());
    }

    pub async fn usage_is_told_of_all_that_run(bench: Bench) {
        let (one, two) = (bench.start("echo busy; sleep 1000").await, bench.start("echo busy; sleep 1000").await);
        let created = bench.create("sleep 1000").await;
        let usages = bench.engine.usage(vec![one.clone(), created, two.clone()]).await.unwrap();
        assert_eq!(usages.keys().collect::<Vec<_>>().len(), 2, "{usages:?}");
        assert!(usages.values().all(|usage| usage.memory_bytes > 0 && usage.pids > 0), "{usages:?}");
        bench.engine.kill(one.clone()).await.unwrap();
        let usages = bench.engine.usage(vec![one, two.clone()]).await.unwrap();
        assert_eq!(usages.into_keys().collect::<Vec<_>>(), [two]);
    }

    pub async fn memory_is_paged_out_only_where_there_is_swap_and_something_runs(bench: Bench) {
        let id = bench.start("sleep 1000").await;
        let before = bench.engine.info().await.unwrap().swap;
        let done = bench.engine.reclaim(id.clone()).await.unwrap();
        // Another test may have switched swap on or off meanwhile.
        assert!([before, bench.engine.info().await.unwrap().swap].contains(&done), "done: {done}, possible: {before}");
        assert!(bench.engine.usage(vec![id.clone()]).await.unwrap()[&id].pids > 0, "it runs on");
        bench.engine.kill(id.clone()).await.unwrap();
        assert_eq!(bench.engine.reclaim(id).await, Ok(false));
    }
}

/// Makes a test of every case, with a function that hands out a bench.
macro_rules! contract_suite {
    ($with:path) => {
        $crate::engine_contract::contract_suite!($with:
            a_container_lives_from_create_to_remove,
            what_is_gone_or_stopped_may_be_ended_again,
            a_running_container_can_be_removed,
            a_wait_for_one_that_is_removed_tells_no_exit_code,
            one_that_ignores_sigterm_is_killed_after_its_grace,
            a_wait_answers_with_the_exit_code,
            every_start_is_another_generation,
            what_is_not_there_is_named,
            a_name_is_given_once,
            networks_come_and_go,
            a_container_joins_more_networks_and_leaves_them,
            output_comes_in_lines_and_can_be_resumed,
            stdout_and_stderr_are_told_apart_and_long_lines_are_whole,
            output_is_followed_while_it_runs,
            files_go_in_and_come_out,
            what_is_written_is_measured,
            an_archive_that_breaks_off_or_leaves_its_folder_is_refused,
            an_assembly_becomes_an_image,
            a_container_with_variables_never_becomes_an_image,
            memory_is_named_as_the_cause,
            a_client_s_pipes_carry_bytes_both_ways_to_the_end_of_the_input,
            what_a_container_complains_of_stands_apart_from_its_data,
            a_container_whose_client_is_gone_is_hung_up,
            a_standby_waits_for_a_line_and_goes_on_as_the_dyno,
            a_standby_ends_with_its_input_or_when_it_is_stopped,
            a_container_is_called_by_another_name,
            its_address_answers_while_it_runs,
            usage_is_told_of_all_that_run,
            memory_is_paged_out_only_where_there_is_swap_and_something_runs,
        );
    };
    ($with:path: $($case:ident),+ $(,)?) => {
        $(#[tokio::test]
        async fn $case() {
            $with($crate::engine_contract::cases::$case).await;
        })+
    };
}
pub(crate) use contract_suite;

async fn with_fake(test: impl AsyncFnOnce(Bench)) {
    let fake = FakeEngine::new("fake");
    let image = ImageRef("siesta/test-tiny:1".to_owned());
    fake.load_images(tiny::hollow(&image)).await.unwrap();
    let bench = Bench::new(Arc::new(fake.clone()), "fake", image, "10.214.0.0/16").await;
    Bench { fake: Some(fake), ..bench }.run(test).await;
}

contract_suite!(with_fake);
