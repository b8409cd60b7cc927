//! Owns plans: what there are, and who has which. An app's plan is its own, else its account's,
//! else `free`. Kept in memory whole, so that nobody on the way of a request asks the database.

mod change;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

pub use self::change::{PlanChange, told};
use crate::{
    clock::Clock,
    domain::{AppId, AppName, Holder, Plan, UserId, app::App, plan::PlanFault},
    store::{Reader, StoreError, Writer},
};

/// Why a plan could not be made, changed or given.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("There is no plan called {0}. `siesta plan list` shows those there are.")]
    NoSuchPlan(String),
    #[error("Couldn't find that app.")]
    NoSuchApp,
    #[error("Couldn't find that account.")]
    NoSuchAccount,
    #[error("The plan free cannot be deleted: it is what everybody has who was not given another.")]
    Free,
    #[error("{apps} apps and {accounts} accounts have the plan {name}. Give them another one first.")]
    InUse { name: String, apps: usize, accounts: usize },
    #[error(transparent)]
    Fault(#[from] PlanFault),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Times of `free` that the operator gave the server itself: they count over what is stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides {
    pub idle_after: Option<Duration>,
    pub nap_after: Option<Duration>,
}

/// All there is to know, replaced whole.
struct Table {
    free: Arc<Plan>,
    plans: BTreeMap<String, Arc<Plan>>,
    apps: HashMap<AppId, Arc<Plan>>,
    accounts: HashMap<UserId, Arc<Plan>>,
}

struct Shared {
    reader: Reader,
    writer: Writer,
    clock: Arc<dyn Clock>,
    overrides: Overrides,
    table: ArcSwap<Table>,
    changed: watch::Sender<()>,
    /// Held while the table is read again, so that the later reading wins.
    reading: tokio::sync::Mutex<()>,
}

/// The owner. Cheap to clone.
#[derive(Clone)]
pub struct Plans {
    shared: Arc<Shared>,
}

impl Plans {
    /// Everybody has `free` until `load`. `overrides` count over what is stored of `free`.
    pub fn new(reader: Reader, writer: Writer, clock: Arc<dyn Clock>, overrides: Overrides) -> Plans {
        let free = Arc::new(overrides.over(Plan::free()));
        let table = Table { free, plans: BTreeMap::new(), apps: HashMap::new(), accounts: HashMap::new() };
        let (changed, _) = watch::channel(());
        let table = ArcSwap::from_pointee(table);
        Plans { shared: Arc::new(Shared { reader, writer, clock, overrides, table, changed, reading: tokio::sync::Mutex::default() }) }
    }

    /// Reads what is stored, and tells those who wait for changes.
    ///
    /// # Errors
    /// When the database does not answer; what was known stays.
    pub async fn load(&self) -> Result<(), StoreError> {
        let shared = &self.shared;
        let _alone = shared.reading.lock().await;
        let plans = shared.reader.plans().await?.into_iter().map(|plan| match plan.name.as_str() {
            Plan::FREE => shared.overrides.over(plan),
            _ => plan,
        });
        let plans: BTreeMap<String, Arc<Plan>> = plans.map(|plan| (plan.name.clone(), Arc::new(plan))).collect();
        let free = plans.get(Plan::FREE).cloned().unwrap_or_else(|| shared.table.load().free.clone());
        let known = |name: &String| plans.get(name).cloned().unwrap_or_else(|| free.clone());
        let apps = shared.reader.app_plans().await?.iter().map(|(app, name)| (*app, known(name))).collect();
        let accounts = shared.reader.account_plans().await?.iter().map(|(user, name)| (*user, known(name))).collect();
        shared.table.store(Arc::new(Table { free, plans, apps, accounts }));
        shared.changed.send_replace(());
        Ok(())
    }

    /// What an app may use.
    pub fn of(&self, app: &App) -> Arc<Plan> {
        let table = self.shared.table.load();
        table.apps.get(&app.id).or_else(|| table.accounts.get(&app.owner_id)).unwrap_or(&table.free).clone()
    }

    /// What an account may use: its new apps have this plan.
    pub fn of_account(&self, user: UserId) -> Arc<Plan> {
        let table = self.shared.table.load();
        table.accounts.get(&user).unwrap_or(&table.free).clone()
    }

    /// All plans by name.
    pub fn all(&self) -> Vec<Arc<Plan>> {
        self.shared.table.load().plans.values().cloned().collect()
    }

    /// The plan of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(&self, name: &str) -> Result<Arc<Plan>, PlanError> {
        let missing = || PlanError::NoSuchPlan(name.chars().take(30).collect());
        self.shared.table.load().plans.get(name).cloned().ok_or_else(missing)
    }

    /// How many apps and accounts were given the plan.
    pub fn holders(&self, name: &str) -> (usize, usize) {
        let table = self.shared.table.load();
        let count = |plan: &&Arc<Plan>| plan.name == name;
        (table.apps.values().filter(count).count(), table.accounts.values().filter(count).count())
    }

    /// Changes whenever a plan or who has it may have changed.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.shared.changed.subscribe()
    }

    /// Changes a plan, or makes it from `free`'s limits. It counts for running apps at once.
    ///
    /// # Errors
    /// When the limits do not go together, or the database does not answer.
    pub async fn set(&self, name: &str, change: &PlanChange) -> Result<Arc<Plan>, PlanError> {
        let stored = self.shared.reader.plans().await?;
        let before = stored.into_iter().find(|plan| plan.name == name);
        let base = before.unwrap_or_else(|| Plan { name: name.to_owned(), ..Plan::free() });
        let plan = change.applied_to(base);
        plan.check()?;
        self.shared.writer.save_plan(&plan, self.shared.clock.now()).await?;
        self.load().await?;
        self.named(name)
    }

    /// Gives a plan to an app or an account; without a plan takes its own away.
    ///
    /// # Errors
    /// When there is no such plan, or the database does not answer.
    pub async fn assign(&self, holder: Holder, plan: Option<&str>) -> Result<(), PlanError> {
        if !self.shared.writer.assign_plan(holder, plan).await? {
            return Err(PlanError::NoSuchPlan(plan.unwrap_or_default().chars().take(30).collect()));
        }
        Ok(self.load().await?)
    }

    /// The app or account that a command names.
    ///
    /// # Errors
    /// When there is none of that name, or the database does not answer.
    pub async fn holder(&self, app: Option<&str>, account: Option<&str>) -> Result<Holder, PlanError> {
        if let Some(app) = app {
            let name: AppName = app.parse().map_err(|_| PlanError::NoSuchApp)?;
            let app = self.shared.reader.app_by_name(&name).await?.ok_or(PlanError::NoSuchApp)?;
            return Ok(Holder::App(app.id));
        }
        let wanted = account.unwrap_or_default();
        let users = self.shared.reader.users().await?;
        let user = users.into_iter().find(|user| user.email.as_str().eq_ignore_ascii_case(wanted)).ok_or(PlanError::NoSuchAccount)?;
        Ok(Holder::Account(user.id))
    }

    /// Deletes a plan that nobody has.
    ///
    /// # Errors
    /// When it is `free`, somebody has it, there is none, or the database does not answer.
    pub async fn delete(&self, name: &str) -> Result<(), PlanError> {
        if name == Plan::FREE {
            return Err(PlanError::Free);
        }
        self.named(name)?;
        if !self.shared.writer.delete_plan(name).await? {
            self.load().await?;
            let (apps, accounts) = self.holders(name);
            return Err(PlanError::InUse { name: name.to_owned(), apps, accounts });
        }
        Ok(self.load().await?)
    }
}

impl Overrides {
    fn over(self, plan: Plan) -> Plan {
        Plan { idle_after: self.idle_after.unwrap_or(plan.idle_after), nap_after: self.nap_after.or(plan.nap_after), ..plan }
    }
}
