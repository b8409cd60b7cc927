//! How a dyno's container is made: image, network, environment, spec. The same for every kind.

use std::{collections::BTreeMap, sync::Arc};

use secrecy::ExposeSecret;

use crate::{
    domain::{DynoId, DynoName, Plan, app::App},
    dynos::{
        ConfigError, Context,
        life::{Failure, Revision},
        metadata,
        networks::Held,
        open_config,
    },
    engine::{
        ContainerId, ContainerSpec, EngineError, Streams,
        spec::{self, DynoInput, NetworkFault},
    },
    slugs::SlugError,
    store::StoreError,
};

/// Everything a container is made of.
pub(super) struct Making<'a> {
    pub(super) context: &'a Arc<Context>,
    pub(super) app: &'a App,
    pub(super) plan: &'a Plan,
    pub(super) revision: &'a Revision,
    pub(super) id: DynoId,
    pub(super) name: &'a DynoName,
    pub(super) command: &'a str,
    /// From the client of a one-off: above config vars, below what the platform sets.
    pub(super) env: &'a [(String, String)],
    pub(super) port: Option<u16>,
    pub(super) streams: Option<Streams>,
}

impl Making<'_> {
    /// The container, not started, and its network, kept until that is let go. What was lost between
    /// two of its steps is made once more.
    pub(super) async fn container(
        &self,
        spec: impl Fn(&DynoInput<'_>, Option<Streams>) -> ContainerSpec,
    ) -> Result<(ContainerId, Held), Failure> {
        match self.once(&spec).await {
            Err(Problem::Engine(EngineError::NoSuchImage(_) | EngineError::NoSuchNetwork(_))) => self.once(&spec).await,
            done => done,
        }
        .map_err(|problem| platform(&problem))
    }

    /// What the container is made of now, and its network.
    pub(super) async fn spec(
        &self,
        spec: impl Fn(&DynoInput<'_>, Option<Streams>) -> ContainerSpec,
    ) -> Result<(ContainerSpec, Held), Failure> {
        self.filled_in(&spec).await.map_err(|problem| platform(&problem))
    }

    async fn once(&self, spec: &impl Fn(&DynoInput<'_>, Option<Streams>) -> ContainerSpec) -> Result<(ContainerId, Held), Problem> {
        let (spec, held) = self.filled_in(spec).await?;
        Ok((self.context.parts.engine.create(spec).await?, held))
    }

    async fn filled_in(&self, spec: &impl Fn(&DynoInput<'_>, Option<Streams>) -> ContainerSpec) -> Result<(ContainerSpec, Held), Problem> {
        let parts = &self.context.parts;
        let image = parts.slugs.ensure_image(&self.revision.slug, self.app.number).await?;
        let network = self.context.network(self.app)?;
        let network_name = network.name.clone();
        let held = self.context.networks.hold(parts.engine.as_ref(), network).await?;
        let input = spec::DynoInput {
            instance: &parts.instance,
            app: self.app.id,
            app_number: self.app.number,
            dyno_id: self.id,
            dyno: self.name,
            release: self.revision.release.id,
            image,
            command: self.command,
            env: self.environment().await?,
            plan: self.plan,
            host_has_swap: self.context.has_swap(),
            network: network_name,
        };
        Ok((spec(&input, self.streams), held))
    }

    /// Config vars, then the client's, then what the platform sets: the later wins.
    async fn environment(&self) -> Result<Vec<(String, String)>, Problem> {
        let parts = &self.context.parts;
        let sealed = parts.reader.config_of_release(self.revision.release.id).await?.ok_or(Problem::NoConfig)?;
        let vars = open_config(&parts.keys, &sealed)?;
        let config = vars.iter().map(|(key, value)| (key.to_string(), value.expose_secret().to_owned()));
        let given = metadata::of(self).await?.into_iter().chain(config).chain(self.env.iter().cloned());
        // A map, because a program takes either of two variables with one name.
        let env: BTreeMap<String, String> = given.chain(super::Dynos::platform_env(self.name, self.port)).collect();
        Ok(env.into_iter().collect())
    }
}

/// What can keep a container from being made.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Slug(#[from] SlugError),
    #[error(transparent)]
    Network(#[from] NetworkFault),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("The config vars of this release are gone.")]
    NoConfig,
}

pub(super) fn platform(error: &dyn std::error::Error) -> Failure {
    Failure { why: error.to_string(), platform: true, no_room: false }
}
