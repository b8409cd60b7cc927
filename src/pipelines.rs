//! Owns pipelines: apps in stages, and promotions, which copy a slug from one app to others.

use std::sync::Arc;

use crate::{
    clock::Clock,
    domain::{
        AppId, CouplingId, PipelineId, PromotionId, PromotionTargetId, UserId,
        pipeline::{Coupling, Pipeline, Promotion, PromotionTarget, Stage, checked_name},
        slug::Slug,
        user::Actor,
    },
    releases::{ReleaseError, Releases},
    scheduler::Tasks,
    store::{Reader, StoreError, Writer},
};

/// Why a pipeline could not be made, changed or used.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    #[error("{0}")]
    Invalid(String),
    #[error("Name is already taken")]
    NameTaken,
    #[error("The app is in a pipeline already.")]
    AlreadyCoupled,
    #[error("Couldn't find that pipeline.")]
    NoSuchPipeline,
    #[error("{0} is not in this pipeline.")]
    NotInPipeline(AppId),
    #[error("The app has nothing to promote: it was never deployed.")]
    NothingToPromote,
    #[error("A promotion goes to at least one other app.")]
    NoTarget,
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Everything pipelines stand on.
#[derive(Clone)]
pub struct PipelinesParts {
    pub clock: Arc<dyn Clock>,
    pub tasks: Tasks,
    pub reader: Reader,
    pub writer: Writer,
    pub releases: Releases,
}

/// The owner. Cheap to clone.
#[derive(Clone)]
pub struct Pipelines {
    parts: PipelinesParts,
}

impl Pipelines {
    pub fn new(parts: PipelinesParts) -> Pipelines {
        Pipelines { parts }
    }

    /// Says of promotions which the last stop cut off that they failed.
    pub async fn start(&self) -> Result<(), PipelineError> {
        let why = "The server stopped during the promotion. Promote again.";
        Ok(self.parts.writer.fail_cut_promotions(why, self.parts.clock.now()).await?)
    }

    pub async fn create(&self, name: &str, owner: UserId) -> Result<Pipeline, PipelineError> {
        let now = self.parts.clock.now();
        let name = checked_name(name).map_err(PipelineError::Invalid)?;
        let pipeline = Pipeline { id: PipelineId::new(), name, owner_id: owner, created_at: now, updated_at: now };
        self.parts.writer.insert_pipeline(&pipeline).await.map_err(taken)?;
        Ok(pipeline)
    }

    pub async fn rename(&self, pipeline: &Pipeline, name: &str) -> Result<Pipeline, PipelineError> {
        let (name, now) = (checked_name(name).map_err(PipelineError::Invalid)?, self.parts.clock.now());
        self.parts.writer.rename_pipeline(pipeline.id, &name, now).await.map_err(taken)?;
        Ok(Pipeline { name, updated_at: now, ..pipeline.clone() })
    }

    /// Its apps stay.
    pub async fn destroy(&self, pipeline: PipelineId) -> Result<(), PipelineError> {
        Ok(self.parts.writer.delete_pipeline(pipeline).await?)
    }

    pub async fn couple(&self, pipeline: PipelineId, app: AppId, stage: Stage) -> Result<Coupling, PipelineError> {
        let now = self.parts.clock.now();
        let coupling = Coupling { id: CouplingId::new(), app_id: app, pipeline_id: pipeline, stage, created_at: now, updated_at: now };
        self.parts.writer.insert_coupling(&coupling).await.map_err(taken)?;
        Ok(coupling)
    }

    pub async fn set_stage(&self, coupling: &Coupling, stage: Stage) -> Result<Coupling, PipelineError> {
        let now = self.parts.clock.now();
        self.parts.writer.set_stage(coupling.id, stage, now).await?;
        Ok(Coupling { stage, updated_at: now, ..coupling.clone() })
    }

    pub async fn uncouple(&self, coupling: CouplingId) -> Result<(), PipelineError> {
        Ok(self.parts.writer.delete_coupling(coupling).await?)
    }

    /// Copies the slug of the source's current release to the targets, each a new release with the
    /// target's own config. Returns at once; the targets are brought up one after the other.
    pub async fn promote(
        &self,
        pipeline: &Pipeline,
        source: AppId,
        targets: &[AppId],
        by: &Actor,
    ) -> Result<(Promotion, Vec<PromotionTarget>), PipelineError> {
        if targets.is_empty() || targets.contains(&source) {
            return Err(PipelineError::NoTarget);
        }
        let members = self.parts.reader.couplings_of(pipeline.id).await?;
        for app in targets.iter().chain([&source]) {
            if !members.iter().any(|coupling| coupling.app_id == *app) {
                return Err(PipelineError::NotInPipeline(*app));
            }
        }
        let release = self.parts.reader.current_release(source).await?.ok_or(PipelineError::NothingToPromote)?;
        let slug = match release.slug_id {
            Some(id) => self.parts.reader.slug(id).await?,
            None => None,
        };
        let slug = slug.ok_or(PipelineError::NothingToPromote)?;
        let from = self.parts.reader.app(source).await?.map(|app| app.name.to_string()).unwrap_or_default();
        let now = self.parts.clock.now();
        let promotion = Promotion {
            id: PromotionId::new(),
            pipeline_id: pipeline.id,
            app_id: source,
            release_id: Some(release.id),
            status: "pending".to_owned(),
            created_at: now,
            updated_at: now,
        };
        let target = |app: &AppId| PromotionTarget {
            id: PromotionTargetId::new(),
            promotion_id: promotion.id,
            app_id: *app,
            release_id: None,
            status: "pending".to_owned(),
            error: None,
        };
        let rows: Vec<PromotionTarget> = targets.iter().map(target).collect();
        self.parts.writer.insert_promotion(&promotion, &rows).await?;
        let label = format!("{from} {} {}", release.version, slug.commit.as_deref().unwrap_or_default());
        let (me, by, id, on_their_way) = (self.clone(), by.clone(), promotion.id, rows.clone());
        self.parts.tasks.spawn(async move {
            if let Err(error) = me.deliver((id, on_their_way), &slug, label.trim(), &by).await {
                tracing::error!(promotion = %id, %error, "a promotion could not be brought to its end");
            }
        });
        Ok((promotion, rows))
    }

    async fn deliver(
        &self,
        (promotion, targets): (PromotionId, Vec<PromotionTarget>),
        slug: &Slug,
        label: &str,
        by: &Actor,
    ) -> Result<(), PipelineError> {
        for target in targets {
            let copy = slug.for_app(target.app_id, self.parts.clock.now());
            let outcome = self.parts.releases.promote(target.app_id, copy, label, by).await;
            let outcome = outcome.map(|release| release.id).map_err(|error| error.to_string());
            self.parts.writer.finish_target(target.id, outcome).await?;
        }
        Ok(self.parts.writer.complete_promotion(promotion, self.parts.clock.now()).await?)
    }
}

fn taken(error: StoreError) -> PipelineError {
    match error.unique_violation().as_deref() {
        Some("pipelines.name") => PipelineError::NameTaken,
        Some("pipeline_couplings.app_id") => PipelineError::AlreadyCoupled,
        _ => error.into(),
    }
}
