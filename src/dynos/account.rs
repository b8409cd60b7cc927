//! What must be remembered of an app's sleep, rest and awake time: kept here, written through.

use crate::{
    domain::{
        AppId, Plan, QuotaKind, Timestamp,
        app::App,
        quota::{self, Pool, Span, Standing},
    },
    dynos::{Context, gate::Gate},
    store::{StoreError, app_activity::AppActivity},
};

pub(super) struct Account {
    app: AppId,
    kept: AppActivity,
    spans: Vec<Span>,
    /// So many dynos are written down as running; None: what was written before is not known.
    dynos: Option<u32>,
    /// The owner's, while the plan has one.
    pool: Option<Pool>,
}

impl Account {
    pub(super) fn new(app: AppId) -> Account {
        Account { app, kept: AppActivity::default(), spans: Vec::new(), dynos: None, pool: None }
    }

    pub(super) async fn load(&mut self, context: &Context, plan: &Plan, now: Timestamp) -> Result<(), StoreError> {
        self.kept = context.parts.reader.app_activity(self.app).await?;
        self.spans = context.parts.reader.awake_spans(self.app, now - plan.quota_window).await?;
        Ok(())
    }

    pub(super) fn asleep(&self) -> bool {
        self.kept.asleep
    }

    /// Looks what the account's apps took out of its pool, where the plan has one.
    pub(super) async fn see_pool(&mut self, context: &Context, plan: &Plan, app: &App, now: Timestamp) -> Result<(), StoreError> {
        self.pool = match plan.quota {
            QuotaKind::Monthly => Some(context.parts.reader.pool(app.owner_id, quota::month_of(now).0, now).await?),
            QuotaKind::Daily | QuotaKind::None => None,
        };
        Ok(())
    }

    /// The end of a rest that goes on at `now`.
    pub(super) fn resting(&self, now: Timestamp) -> Option<Timestamp> {
        self.kept.resting_until.filter(|until| now < *until)
    }

    /// The end of a rest that is over and not yet settled.
    pub(super) fn rested(&self, now: Timestamp) -> Option<Timestamp> {
        self.kept.resting_until.filter(|until| now >= *until)
    }

    pub(super) fn standing(&self, plan: &Plan, now: Timestamp) -> Standing {
        match self.pool {
            Some(pool) => {
                let standing = quota::pool_standing(plan, pool, now);
                Standing { deny_until: self.resting(now).or(standing.deny_until), ..standing }
            }
            None => quota::standing(plan, &self.spans, self.kept.quota_from, self.kept.resting_until, now),
        }
    }

    /// Since when it has been as it is now: the edge of the last span.
    pub(super) fn last_edge(&self) -> Option<Timestamp> {
        self.spans.last().map(|span| span.to.unwrap_or(span.from))
    }

    pub(super) async fn set_asleep(&mut self, context: &Context, asleep: bool, gate: &Gate) -> Result<(), StoreError> {
        let last = Some(gate.activity().last);
        self.write(context, AppActivity { asleep, last_request_at: last, ..self.kept }).await
    }

    /// A rest begins; the app is asleep while it lasts and after it.
    pub(super) async fn begin_rest(&mut self, context: &Context, until: Timestamp) -> Result<(), StoreError> {
        self.write(context, AppActivity { asleep: true, resting_until: Some(until), ..self.kept }).await
    }

    /// A rest is over: the account is clear from its end on.
    pub(super) async fn end_rest(&mut self, context: &Context, ended: Timestamp) -> Result<(), StoreError> {
        self.write(context, AppActivity { resting_until: None, quota_from: Some(ended), ..self.kept }).await
    }

    /// Under another plan: a rest goes on only when that plan would begin one now.
    pub(super) async fn reconsider_rest(&mut self, context: &Context, plan: &Plan, now: Timestamp) -> Result<(), StoreError> {
        let Some(until) = self.resting(now) else { return Ok(()) };
        let begins = match self.pool {
            Some(pool) => quota::pool_standing(plan, pool, now),
            None => quota::standing(plan, &self.spans, self.kept.quota_from, None, now),
        };
        let resting_until = begins.deny_until.map(|at| at.min(until));
        self.write(context, AppActivity { resting_until, ..self.kept }).await
    }

    async fn write(&mut self, context: &Context, kept: AppActivity) -> Result<(), StoreError> {
        if kept != self.kept {
            context.parts.writer.set_app_activity(self.app, &kept).await?;
            self.kept = kept;
        }
        Ok(())
    }

    /// Whether an awake span is open: a dyno runs or starts.
    pub(super) fn is_awake(&self) -> bool {
        self.spans.last().is_some_and(|span| span.to.is_none())
    }

    /// Begins or ends the awake span so that it says how many dynos run.
    pub(super) async fn set_awake(&mut self, context: &Context, plan: &Plan, dynos: u32, now: Timestamp) -> Result<(), StoreError> {
        if dynos > 0 && self.dynos != Some(dynos) {
            context.parts.writer.begin_awake_span(self.app, dynos, now).await?;
        }
        let open = self.spans.last_mut().filter(|span| span.to.is_none());
        match open {
            Some(span) if dynos == 0 => {
                context.parts.writer.end_awake_span(self.app, now).await?;
                span.to = Some(now.max(span.from));
            }
            None if dynos > 0 => {
                let horizon = now - plan.quota_window;
                self.spans.retain(|span| span.to.is_none_or(|to| to > horizon));
                self.spans.push(Span { from: now, to: None });
            }
            _ => {}
        }
        self.dynos = Some(dynos);
        Ok(())
    }

    /// What is remembered may lie ahead of a clock that was set back, also by a server before: a rest
    /// then lasts one rest from now on at most, and time awake counts from now on.
    pub(super) async fn mend(&mut self, context: &Context, plan: &Plan, now: Timestamp) -> Result<(), StoreError> {
        let longest = match plan.quota {
            QuotaKind::Monthly => quota::month_of(now).1,
            QuotaKind::Daily | QuotaKind::None => now + plan.rest,
        };
        let resting_until = self.kept.resting_until.map(|until| until.min(longest));
        let quota_from = self.kept.quota_from.map(|from| from.min(now));
        self.write(context, AppActivity { resting_until, quota_from, ..self.kept }).await?;
        if self.spans.last().is_some_and(|span| span.to.is_none() && span.from > now) {
            self.jumped(context, now, now).await?;
        }
        Ok(())
    }

    /// The clock went from one moment to another at once: what lies between was nobody's time awake.
    pub(super) async fn jumped(&mut self, context: &Context, from: Timestamp, to: Timestamp) -> Result<(), StoreError> {
        let Some(span) = self.spans.last_mut().filter(|span| span.to.is_none()) else { return Ok(()) };
        context.parts.writer.end_awake_span(self.app, from).await?;
        span.to = Some(from.max(span.from));
        let Some(dynos) = self.dynos.filter(|dynos| *dynos > 0) else { return Ok(()) };
        context.parts.writer.begin_awake_span(self.app, dynos, to).await?;
        self.spans.push(Span { from: to, to: None });
        Ok(())
    }

    /// After a restart with nothing running: when the open span ended is not known; not later than
    /// the app would have fallen asleep.
    pub(super) async fn close_lost_span(&mut self, context: &Context, plan: &Plan, now: Timestamp) -> Result<(), StoreError> {
        let last = self.kept.last_request_at.map_or(now, |at| at + plan.idle_after);
        self.set_awake(context, plan, 0, last.min(now)).await
    }
}
