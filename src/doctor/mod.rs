//! `siesta doctor`: looks at everything a server stands on and says what is wrong and what to do.
//! The running server examines itself; without one the subcommand does, as far as it can see.

mod machine;
mod state;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Clock,
    config::Config,
    egress::Egress,
    engine::Engine,
    store::{self, Reader, StoreError},
};

/// How something was found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Fine,
    /// Works, but the operator should know.
    Note,
    /// Something does not work, or will not.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at: `docker`, `disk`.
    pub what: String,
    pub verdict: Verdict,
    pub says: String,
    /// What to do about it; empty when all is well.
    pub remedy: String,
}

impl Finding {
    fn fine(what: &str, says: impl Into<String>) -> Finding {
        Finding { what: what.to_owned(), verdict: Verdict::Fine, says: says.into(), remedy: String::new() }
    }

    fn note(what: &str, says: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Note, remedy: remedy.into(), ..Finding::fine(what, says) }
    }

    fn bad(what: &str, says: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Bad, remedy: remedy.into(), ..Finding::fine(what, says) }
    }
}

/// What only a running server knows.
#[derive(Clone, Debug, Default)]
pub struct Running {
    /// Log drains that do not deliver: the app's name and why.
    pub drains: Vec<(String, String)>,
}

/// What is looked at.
#[derive(Clone)]
pub struct Doctor {
    pub config: Arc<Config>,
    pub clock: Arc<dyn Clock>,
    pub engine: Arc<dyn Engine>,
    /// The state; why it cannot be read; or None where no server was yet.
    pub state: Option<Result<Reader, String>>,
    pub running: Option<Running>,
}

impl Doctor {
    /// Looks at a data folder whose server does not run; a state that cannot be read is a finding.
    pub async fn of_folder(config: Arc<Config>, clock: Arc<dyn Clock>, engine: Arc<dyn Engine>) -> Doctor {
        let path = config.options.data_dir.join("siesta.db");
        let state = match path.metadata().is_ok_and(|file| file.len() > 0) {
            true => Some(store::look(&path).await.map_err(|error: StoreError| error.to_string())),
            false => None,
        };
        Doctor { config, clock, engine, state, running: None }
    }

    /// Everything, one after another.
    pub async fn examine(&self) -> Vec<Finding> {
        let mut found = self.docker().await;
        found.extend([self.images().await, self.disk(), self.memory(), self.swap_file()].into_iter().flatten());
        found.extend(self.ports().await);
        found.extend(self.certificates());
        found.extend(self.github().await);
        found.extend(self.keys().await);
        found.extend(self.state().await);
        found.extend(self.server());
        found
    }

    /// The rule of outgoing connections, with these exceptions more.
    fn egress(&self, more: &[String]) -> Result<Egress, String> {
        let options = &self.config.options;
        Egress::new(&[&options.egress_allow[..], more].concat(), options.egress_ca.as_deref()).map_err(|error| error.to_string())
    }

    fn server(&self) -> Vec<Finding> {
        let Some(running) = &self.running else {
            let remedy = "Start it with script/server, siesta serve or systemctl start siesta.";
            return vec![Finding::note("server", "No server runs on this data folder.", remedy)];
        };
        if running.drains.is_empty() {
            return vec![Finding::fine("drains", "Every log drain delivers.")];
        }
        let remedy = "Look whether its receiver is up; lines wait in the app's log as long as that holds them. heroku drains lists them.";
        let says = |(app, why): &(String, String)| Finding::bad("drains", format!("A log drain of {app} does not deliver: {why}"), remedy);
        running.drains.iter().map(says).collect()
    }
}

/// The findings as people read them.
pub fn told(found: &[Finding]) -> String {
    let mut text = String::new();
    for finding in found {
        let word = match finding.verdict {
            Verdict::Fine => "ok  ",
            Verdict::Note => "note",
            Verdict::Bad => "BAD ",
        };
        text.push_str(&format!("{word}  {:<12} {}\n", finding.what, finding.says));
        if !finding.remedy.is_empty() {
            text.push_str(&format!("{:19}{}\n", "", finding.remedy));
        }
    }
    let count = |verdict| found.iter().filter(|finding| finding.verdict == verdict).count();
    let (bad, notes) = (count(Verdict::Bad), count(Verdict::Note));
    text.push_str(&match (bad, notes) {
        (0, 0) => "All is well.\n".to_owned(),
        (0, notes) => format!("All works; {notes} to know of.\n"),
        (bad, notes) => format!("{bad} wrong, {notes} to know of.\n"),
    });
    text
}

/// Whether something is wrong.
pub fn is_sick(found: &[Finding]) -> bool {
    found.iter().any(|finding| finding.verdict == Verdict::Bad)
}
