//! The tables of pipelines: `pipelines`, `pipeline_couplings`, `pipeline_promotions` and their targets.

use crate::{
    domain::{
        AppId, CouplingId, PipelineId, PromotionId, PromotionTargetId, ReleaseId, Timestamp, UserId,
        pipeline::{Coupling, Pipeline, Promotion, PromotionTarget, Stage},
    },
    store::{Reader, StoreError, Writer},
};

struct CouplingRow {
    id: CouplingId,
    app_id: AppId,
    pipeline_id: PipelineId,
    stage: String,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<CouplingRow> for Coupling {
    fn from(row: CouplingRow) -> Coupling {
        let CouplingRow { id, app_id, pipeline_id, stage, created_at, updated_at } = row;
        Coupling { id, app_id, pipeline_id, stage: stage.parse().unwrap_or(Stage::Development), created_at, updated_at }
    }
}

macro_rules! select_couplings {
    ($condition:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            CouplingRow,
            r#"select id as "id: CouplingId", app_id as "app_id: AppId", pipeline_id as "pipeline_id: PipelineId", stage,
                      created_at as "created_at: Timestamp", updated_at as "updated_at: Timestamp"
               from pipeline_couplings "# + $condition
            $(, $argument)*
        )
    };
}

impl Reader {
    /// The pipelines of an account by name.
    pub async fn pipelines(&self, owner: UserId) -> Result<Vec<Pipeline>, StoreError> {
        let rows = sqlx::query_as!(
            Pipeline,
            r#"select id as "id: PipelineId", name, owner_id as "owner_id: UserId", created_at as "created_at: Timestamp",
                      updated_at as "updated_at: Timestamp"
               from pipelines where owner_id = ? order by name"#,
            owner
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }

    pub async fn couplings_of(&self, pipeline: PipelineId) -> Result<Vec<Coupling>, StoreError> {
        let rows = select_couplings!("where pipeline_id = ? order by created_at", pipeline).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(Coupling::from).collect())
    }

    pub async fn coupling(&self, id: CouplingId) -> Result<Option<Coupling>, StoreError> {
        Ok(select_couplings!("where id = ?", id).fetch_optional(&self.pool).await?.map(Coupling::from))
    }

    /// An app is in one pipeline at most.
    pub async fn coupling_of_app(&self, app: AppId) -> Result<Option<Coupling>, StoreError> {
        Ok(select_couplings!("where app_id = ?", app).fetch_optional(&self.pool).await?.map(Coupling::from))
    }

    pub async fn promotion(&self, id: PromotionId) -> Result<Option<Promotion>, StoreError> {
        let row = sqlx::query_as!(
            Promotion,
            r#"select id as "id: PromotionId", pipeline_id as "pipeline_id: PipelineId", app_id as "app_id: AppId",
                      release_id as "release_id: ReleaseId", status, created_at as "created_at: Timestamp",
                      updated_at as "updated_at: Timestamp"
               from pipeline_promotions where id = ?"#,
            id
        );
        Ok(row.fetch_optional(&self.pool).await?)
    }

    pub async fn promotion_targets(&self, promotion: PromotionId) -> Result<Vec<PromotionTarget>, StoreError> {
        let rows = sqlx::query_as!(
            PromotionTarget,
            r#"select id as "id: PromotionTargetId", promotion_id as "promotion_id: PromotionId", app_id as "app_id: AppId",
                      release_id as "release_id: ReleaseId", status, error
               from pipeline_promotion_targets where promotion_id = ? order by id"#,
            promotion
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }
}

impl Writer {
    /// A taken name is a unique violation on `pipelines.name`.
    pub async fn insert_pipeline(&self, pipeline: &Pipeline) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into pipelines (id, name, owner_id, created_at, updated_at) values (?, ?, ?, ?, ?)",
            pipeline.id,
            pipeline.name,
            pipeline.owner_id,
            pipeline.created_at,
            pipeline.updated_at
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// A taken name is a unique violation on `pipelines.name`.
    pub async fn rename_pipeline(&self, id: PipelineId, name: &str, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!("update pipelines set name = ?, updated_at = ? where id = ?", name, now, id).execute(self.pool()).await?;
        Ok(())
    }

    pub async fn delete_pipeline(&self, id: PipelineId) -> Result<(), StoreError> {
        sqlx::query!("delete from pipelines where id = ?", id).execute(self.pool()).await?;
        Ok(())
    }

    /// An app that is in a pipeline already is a unique violation on `pipeline_couplings.app_id`.
    pub async fn insert_coupling(&self, coupling: &Coupling) -> Result<(), StoreError> {
        let stage = coupling.stage.as_str();
        sqlx::query!(
            "insert into pipeline_couplings (id, app_id, pipeline_id, stage, created_at, updated_at) values (?, ?, ?, ?, ?, ?)",
            coupling.id,
            coupling.app_id,
            coupling.pipeline_id,
            stage,
            coupling.created_at,
            coupling.updated_at
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    pub async fn set_stage(&self, coupling: CouplingId, stage: Stage, now: Timestamp) -> Result<(), StoreError> {
        let stage = stage.as_str();
        sqlx::query!("update pipeline_couplings set stage = ?, updated_at = ? where id = ?", stage, now, coupling)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    pub async fn delete_coupling(&self, coupling: CouplingId) -> Result<(), StoreError> {
        sqlx::query!("delete from pipeline_couplings where id = ?", coupling).execute(self.pool()).await?;
        Ok(())
    }

    /// Writes a promotion with its targets, all pending.
    pub async fn insert_promotion(&self, promotion: &Promotion, targets: &[PromotionTarget]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query!(
            "insert into pipeline_promotions (id, pipeline_id, app_id, release_id, status, created_at, updated_at)
             values (?, ?, ?, ?, ?, ?, ?)",
            promotion.id,
            promotion.pipeline_id,
            promotion.app_id,
            promotion.release_id,
            promotion.status,
            promotion.created_at,
            promotion.updated_at
        )
        .execute(&mut *tx)
        .await?;
        for target in targets {
            sqlx::query!(
                "insert into pipeline_promotion_targets (id, promotion_id, app_id, status) values (?, ?, ?, ?)",
                target.id,
                target.promotion_id,
                target.app_id,
                target.status
            )
            .execute(&mut *tx)
            .await?;
        }
        Ok(tx.commit().await?)
    }

    /// What became of one target: a release, or why there is none.
    pub async fn finish_target(&self, target: PromotionTargetId, outcome: Result<ReleaseId, String>) -> Result<(), StoreError> {
        let (status, release, error) = match outcome {
            Ok(release) => ("succeeded", Some(release), None),
            Err(error) => ("failed", None, Some(error)),
        };
        sqlx::query!(
            "update pipeline_promotion_targets set status = ?, release_id = ?, error = ? where id = ? and status = 'pending'",
            status,
            release,
            error,
            target
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    pub async fn complete_promotion(&self, promotion: PromotionId, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!("update pipeline_promotions set status = 'completed', updated_at = ? where id = ?", now, promotion)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Promotions that a stop of the server cut off have failed.
    pub async fn fail_cut_promotions(&self, error: &str, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query!("update pipeline_promotion_targets set status = 'failed', error = ? where status = 'pending'", error)
            .execute(&mut *tx)
            .await?;
        sqlx::query!("update pipeline_promotions set status = 'completed', updated_at = ? where status = 'pending'", now)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }
}
