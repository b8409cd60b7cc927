//! The life of one one-off dyno: one task from its creation to its removal.

use std::sync::Arc;

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use super::{Outcome, known::Ending};
use crate::{
    domain::{DynoId, DynoName, DynoState, Email, ErrorCode, Plan, app::App},
    dynos::{
        Context,
        life::{Failure, Revision},
        make::{Making, platform},
        output::{self, Output},
    },
    engine::{Attachment, Container, ContainerId, Exit, Streams, spec},
    host::Promise,
};

/// SIGHUPs before SIGKILL, one `hang_up_pause` apart (heroku.md 2.7).
const HANG_UPS: usize = 3;

/// Everything one life needs.
pub(super) struct Life {
    /// The memory the machine has promised it.
    pub(super) promise: Option<Promise>,
    pub(super) context: Arc<Context>,
    pub(super) app: App,
    pub(super) plan: Arc<Plan>,
    pub(super) revision: Arc<Revision>,
    pub(super) id: DynoId,
    pub(super) name: DynoName,
    pub(super) command: String,
    pub(super) env: Vec<(String, String)>,
    pub(super) streams: Option<Streams>,
    pub(super) by: Email,
    pub(super) inbox: mpsc::UnboundedReceiver<Ending>,
    pub(super) outcome: watch::Sender<Option<Outcome>>,
}

/// Where a life begins.
pub(super) enum Begin {
    /// Output goes into the log, and to whoever holds the other end.
    Detached(Option<mpsc::Sender<String>>),
    /// Its client waits for the streams.
    Attached(oneshot::Sender<Result<(ContainerId, Attachment), String>>),
    /// It ran before the server did; a client it had is gone.
    Adopted(Container),
}

impl Life {
    pub(super) async fn run(mut self, begin: Begin) {
        let (outcome, state) = match self.begin(begin).await {
            Ok((container, output)) => {
                let exit = self.serve(&container).await;
                let words = self.close(&container, output, exit).await;
                (Outcome { code: exit.map(|exit| exit.code), words }, DynoState::Complete)
            }
            Err(failure) => {
                self.log(format!("Error R99 ({}) -> {}", ErrorCode::R99.description(), failure.why));
                (Outcome { code: None, words: vec![failure.why] }, DynoState::Crashed)
            }
        };
        drop(self.promise.take());
        self.context.one_off_ended(self.id, state).await;
        self.outcome.send_replace(Some(outcome));
    }

    fn log(&self, message: impl Into<String>) {
        self.context.parts.logs.platform(self.app.id, &self.name.to_string(), message);
    }

    fn follow(&self, container: &ContainerId, from: output::From, lines: Option<mpsc::Sender<String>>) -> Output {
        Output::follow_with(&self.context, self.app.id, &self.name, container.clone(), (from, lines))
    }

    /// Makes and starts it; the output of a detached one is followed.
    async fn begin(&mut self, begin: Begin) -> Result<(ContainerId, Option<Output>), Failure> {
        let (lines, client) = match begin {
            Begin::Adopted(container) => {
                let output = self.streams.is_none().then(|| self.follow(&container.id, output::From::LastLine, None));
                return Ok((container.id, output));
            }
            Begin::Detached(lines) => (lines, None),
            Begin::Attached(client) => (None, Some(client)),
        };
        let failed = match self.start().await {
            Ok((container, attachment)) => {
                self.context.one_off_is(self.id, DynoState::Up);
                if let Some((client, attachment)) = client.zip(attachment) {
                    // A client that has left meanwhile has dropped its claim, which is an order.
                    let _ = client.send(Ok((container.clone(), attachment)));
                    return Ok((container, None));
                }
                let output = self.follow(&container, output::From::Start, lines);
                return Ok((container, Some(output)));
            }
            Err(failure) => failure,
        };
        if let Some(client) = client {
            let _ = client.send(Err(failed.why.clone()));
        }
        Err(failed)
    }

    async fn start(&self) -> Result<(ContainerId, Option<Attachment>), Failure> {
        let engine = &self.context.parts.engine;
        let making = Making {
            context: &self.context,
            app: &self.app,
            plan: &self.plan,
            revision: &self.revision,
            id: self.id,
            name: &self.name,
            command: &self.command,
            env: &self.env,
            port: None,
            streams: self.streams,
        };
        let (container, _network) = making.container(spec::one_off_spec).await?;
        self.log(format!("Starting process with command `{}` by user {}", self.command, self.by));
        let started = async {
            let attachment = match self.streams {
                Some(_) => Some(engine.attach(container.clone()).await?),
                None => None,
            };
            engine.start(container.clone()).await?;
            Ok(attachment)
        };
        match started.await {
            Ok(attachment) => Ok((container, attachment)),
            Err(error) => {
                self.remove(&container).await;
                let error: crate::engine::EngineError = error;
                Err(platform(&error))
            }
        }
    }

    /// Until its process ends, or has to.
    async fn serve(&mut self, container: &ContainerId) -> Option<Exit> {
        let context = self.context.clone();
        tokio::select! {
            exit = context.exit_of(container) => exit,
            Some(ending) = self.inbox.recv() => match ending {
                Ending::HangUp => self.hang_up(container).await,
                Ending::Terminate => self.terminate(container).await,
            },
        }
    }

    /// SIGHUP until it ends; gone in any case when the last was in vain.
    async fn hang_up(&self, container: &ContainerId) -> Option<Exit> {
        let engine = &self.context.parts.engine;
        let pause = self.context.parts.config.limits.hang_up_pause;
        for _ in 0..HANG_UPS {
            self.context.persist("hang up", || engine.hang_up(container.clone())).await;
            if let Ok(exit) = timeout(pause, self.context.exit_of(container)).await {
                return exit;
            }
        }
        let why = "An attached process is not responding to SIGHUP after its external connection was closed.";
        self.log(format!("Error R16 (Detached) -> {why}"));
        self.log("Stopping process with SIGKILL");
        self.context.persist("kill", || engine.kill(container.clone())).await;
        self.context.exit_of(container).await
    }

    async fn terminate(&self, container: &ContainerId) -> Option<Exit> {
        self.log("Stopping all processes with SIGTERM");
        let grace = self.context.parts.config.limits.stop_grace;
        let exit = self.context.persist("stop", || self.context.parts.engine.stop(container.clone(), grace)).await.flatten();
        if exit.is_some_and(|exit| exit.code == 137 && !exit.out_of_memory) {
            let why = format!("At least one process failed to exit within {} seconds of SIGTERM", grace.as_secs());
            self.log(format!("Error R12 ({}) -> {why}", ErrorCode::R12.description()));
            self.log("Stopping remaining processes with SIGKILL");
        }
        exit
    }

    /// Logs how it ended and removes it; its last words.
    async fn close(&self, container: &ContainerId, output: Option<Output>, exit: Option<Exit>) -> Vec<String> {
        let words = match output {
            Some(mut output) => {
                output.drained().await;
                output.last_lines()
            }
            None => Vec::new(),
        };
        if exit.is_some_and(|exit| exit.out_of_memory) {
            let quota = self.plan.megabytes();
            self.log(format!("Process running mem={quota}M(100.0%)"));
            self.log(format!("Error R15 ({})", ErrorCode::R15.description()));
        }
        match exit {
            Some(exit) => self.log(format!("Process exited with status {}", exit.code)),
            None => self.log("Process exited"),
        }
        self.remove(container).await;
        words
    }

    async fn remove(&self, container: &ContainerId) {
        self.context.persist("remove", || self.context.parts.engine.remove(container.clone())).await;
    }
}
