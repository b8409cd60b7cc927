//! `siesta plan`: the same command, whether the server runs it or the subcommand itself.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::plans::{PlanChange, PlanError, Plans, told};

/// What to do with plans.
#[derive(Clone, Debug, Serialize, Deserialize, clap::Subcommand)]
#[serde(rename_all = "lowercase")]
pub enum PlanCommand {
    /// All plans and how many have each.
    List,
    /// The limits of one plan.
    Show { name: String },
    /// Change a plan, or make one; what is not named stays, or is as in `free`.
    Set {
        name: String,
        #[command(flatten)]
        #[serde(flatten)]
        change: PlanChange,
    },
    /// Give a plan to an app or an account. An app's own plan counts over its account's.
    Assign {
        name: String,
        #[command(flatten)]
        #[serde(flatten)]
        whom: Whom,
    },
    /// Take an app's or an account's own plan away.
    Unassign {
        #[command(flatten)]
        #[serde(flatten)]
        whom: Whom,
    },
    /// Delete a plan that nobody has.
    Delete { name: String },
}

/// An app or an account.
#[derive(Clone, Debug, Serialize, Deserialize, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Whom {
    /// The app's name.
    #[arg(long)]
    app: Option<String>,
    /// The account's address.
    #[arg(long)]
    account: Option<String>,
}

impl Whom {
    fn name(&self) -> &str {
        self.app.as_deref().or(self.account.as_deref()).unwrap_or_default()
    }
}

impl PlanCommand {
    /// What it changes, and of what; None for one that only tells.
    pub fn change(&self) -> (Option<&'static str>, String) {
        match self {
            PlanCommand::List | PlanCommand::Show { .. } => (None, String::new()),
            PlanCommand::Set { name, .. } => (Some("plan set"), name.clone()),
            PlanCommand::Assign { name, whom } => (Some("plan assign"), format!("{name} {}", whom.name())),
            PlanCommand::Unassign { whom } => (Some("plan unassign"), whom.name().to_owned()),
            PlanCommand::Delete { name } => (Some("plan delete"), name.clone()),
        }
    }

    /// Does it; what there is to say afterwards.
    ///
    /// # Errors
    /// When the owner of plans refuses.
    pub async fn run(self, plans: &Plans) -> Result<String, PlanError> {
        match self {
            PlanCommand::List => Ok(list(plans)),
            PlanCommand::Show { name } => Ok(told(plans.named(&name)?.as_ref())),
            PlanCommand::Set { name, change } => Ok(told(plans.set(&name, &change).await?.as_ref())),
            PlanCommand::Assign { name, whom } => {
                plans.named(&name)?;
                let holder = plans.holder(whom.app.as_deref(), whom.account.as_deref()).await?;
                plans.assign(holder, Some(&name)).await?;
                Ok(format!("{} has the plan {name} now.", whom.name()))
            }
            PlanCommand::Unassign { whom } => {
                plans.assign(plans.holder(whom.app.as_deref(), whom.account.as_deref()).await?, None).await?;
                Ok(format!("{} has no plan of its own any more.", whom.name()))
            }
            PlanCommand::Delete { name } => {
                plans.delete(&name).await?;
                Ok(format!("The plan {name} is deleted."))
            }
        }
    }
}

fn list(plans: &Plans) -> String {
    let mut text = format!("{:<20} {:>8} {:>6} {:>9}\n", "plan", "memory", "apps", "accounts");
    for plan in plans.all() {
        let (apps, accounts) = plans.holders(&plan.name);
        // A String takes everything.
        let _ = writeln!(text, "{:<20} {:>5} MB {apps:>6} {accounts:>9}", plan.name, plan.megabytes());
    }
    text
}
