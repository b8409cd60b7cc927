//! Pipelines: apps in stages, and the promotion of a slug from one to others.

use std::str::FromStr;

use crate::domain::{AppId, CouplingId, PipelineId, PromotionId, PromotionTargetId, ReleaseId, Timestamp, UserId};

/// Where an app stands in a pipeline, in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    Test,
    Review,
    Development,
    Staging,
    Production,
}

const STAGES: [(Stage, &str); 5] = [
    (Stage::Test, "test"),
    (Stage::Review, "review"),
    (Stage::Development, "development"),
    (Stage::Staging, "staging"),
    (Stage::Production, "production"),
];

impl Stage {
    pub fn as_str(self) -> &'static str {
        STAGES.iter().find(|(stage, _)| *stage == self).map_or("", |(_, word)| word)
    }
}

impl FromStr for Stage {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = STAGES.iter().find(|(_, word)| *word == text).map(|(stage, _)| *stage);
        found.ok_or_else(|| "A stage is one of test, review, development, staging, production.".to_owned())
    }
}

/// Heroku's rule for names: 3 to 30 characters, small letters, digits and dashes, a letter first.
pub fn checked_name(name: &str) -> Result<String, String> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = (3..=30).contains(&name.len()) && name.bytes().all(inner) && name.as_bytes()[0].is_ascii_lowercase();
    let why = "A pipeline's name has 3 to 30 characters: small letters, digits and dashes, a letter first.";
    if good { Ok(name.to_owned()) } else { Err(why.to_owned()) }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    pub id: PipelineId,
    pub name: String,
    pub owner_id: UserId,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// An app's place in a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Coupling {
    pub id: CouplingId,
    pub app_id: AppId,
    pub pipeline_id: PipelineId,
    pub stage: Stage,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A slug on its way from one app to others.
#[derive(Clone, Debug, PartialEq)]
pub struct Promotion {
    pub id: PromotionId,
    pub pipeline_id: PipelineId,
    pub app_id: AppId,
    pub release_id: Option<ReleaseId>,
    /// `pending` or `completed`.
    pub status: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// One app a promotion goes to.
#[derive(Clone, Debug, PartialEq)]
pub struct PromotionTarget {
    pub id: PromotionTargetId,
    pub promotion_id: PromotionId,
    pub app_id: AppId,
    pub release_id: Option<ReleaseId>,
    /// `pending`, `succeeded` or `failed`.
    pub status: String,
    pub error: Option<String>,
}
