//! The engine's calls that are used, each under a deadline, with its failures in our words.

use bollard::body_stream;
use bollard::errors::Error as EngineError;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerSummary, Network,
    NetworkConnectRequest, NetworkCreateRequest, SystemInfo, Volume, VolumeCreateRequest,
};
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, ListContainersOptions, ListNetworksOptions,
    ListVolumesOptions, LogsOptions, RemoveContainerOptions, RemoveVolumeOptions,
    StartContainerOptions, StopContainerOptions, UploadToContainerOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::{StreamExt as _, stream};
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::OnceCell;

use sam_core::{Error, Result, Secret};

use super::config::Socket;
use super::map::{self, Call};
use crate::deadline;

/// Longest wait for an answer to a look.
const LOOK_WITHIN: Duration = Duration::from_secs(20);

/// Longest wait for a change: a slow disk copies an image's files for a while, and a stop takes
/// [`STOP_SECONDS`] and then some.
pub(super) const CHANGE_WITHIN: Duration = Duration::from_mins(1);

/// How long a node has to end by itself before it is ended.
pub(super) const STOP_SECONDS: i32 = 10;

/// Most lines and bytes of a container's output that are read.
const LOG_LINES_MAX: &str = "20";
const LOG_BYTES_MAX: usize = 2 * 1_024;

/// Filters of a listing.
pub(super) type Filters = HashMap<String, Vec<String>>;

/// A refusal that callers tell apart, beside success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// There was no such thing.
    Absent,
    /// Something else has the name, uses it, or is just removing it.
    Conflict,
    Yes,
}

/// Speaks to one engine. Each call is a connection of its own.
#[derive(Debug)]
pub(super) struct Client {
    socket: Socket,
    /// Made with the first call, in the version of the interface that both sides speak.
    docker: OnceCell<Docker>,
}

impl Client {
    pub(super) const fn new(socket: Socket) -> Self {
        Self { socket, docker: OnceCell::const_new() }
    }

    /// Agrees with the engine on a version of its interface.
    ///
    /// # Errors
    /// `Denied`, `Timeout`, `Unavailable`.
    pub(super) async fn docker(&self) -> Result<&Docker> {
        let connect = async || {
            // The library's own deadline covers a part of a call; ours, which is shorter, all of it.
            let seconds = CHANGE_WITHIN.as_secs() + 1;
            let made = match &self.socket {
                Socket::Http(host) => Docker::connect_with_http(host, seconds, API_DEFAULT_VERSION),
                Socket::Unix(path) => Docker::connect_with_unix(path, seconds, API_DEFAULT_VERSION),
            };
            let negotiated = async { made?.negotiate_version().await };
            self.finish(Call::Look, negotiated).await
        };
        self.docker.get_or_try_init(connect).await
    }

    async fn answer<T>(
        &self,
        call: Call,
        work: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<Result<T, EngineError>> {
        let span = if call == Call::Look { LOOK_WITHIN } else { CHANGE_WITHIN };
        let answered = deadline::within(span, work).await;
        answered.ok_or_else(|| map::too_late(call, &self.socket.shown()))
    }

    fn error(&self, error: EngineError, call: Call) -> Error {
        map::engine(error, call, &self.socket.shown())
    }

    async fn finish<T>(
        &self,
        call: Call,
        work: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T> {
        self.answer(call, work).await?.map_err(|error| self.error(error, call))
    }

    /// Looks for one thing; `None` when the engine is sure that it is absent.
    async fn find<T>(
        &self,
        work: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<Option<T>> {
        match self.answer(Call::Look, work).await? {
            Ok(found) => Ok(Some(found)),
            Err(error) if map::status(&error) == Some(404) => Ok(None),
            Err(error) => Err(self.error(error, Call::Look)),
        }
    }

    /// Changes something; what is absent or in the way is no error here.
    async fn change<T>(&self, work: impl Future<Output = Result<T, EngineError>>) -> Result<Done> {
        match self.answer(Call::Change, work).await? {
            Ok(_) => Ok(Done::Yes),
            Err(error) => match map::status(&error) {
                Some(404) => Ok(Done::Absent),
                Some(409) => Ok(Done::Conflict),
                _ => Err(self.error(error, Call::Change)),
            },
        }
    }

    /// Returns whether the engine has an image.
    pub(super) async fn has_image(&self, image: &str) -> Result<bool> {
        let docker = self.docker().await?;
        Ok(self.find(docker.inspect_image(image)).await?.is_some())
    }

    /// Returns what the engine's computer is.
    pub(super) async fn info(&self) -> Result<SystemInfo> {
        let docker = self.docker().await?;
        self.finish(Call::Look, docker.info()).await
    }

    /// Finds a container by name or id.
    pub(super) async fn container(&self, name: &str) -> Result<Option<ContainerInspectResponse>> {
        let docker = self.docker().await?;
        self.find(docker.inspect_container(name, None::<InspectContainerOptions>)).await
    }

    /// Lists containers, those that do not run, too.
    pub(super) async fn containers(&self, filters: Filters) -> Result<Vec<ContainerSummary>> {
        let docker = self.docker().await?;
        let options =
            ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        self.finish(Call::Look, docker.list_containers(Some(options))).await
    }

    pub(super) async fn create_container(
        &self,
        name: &str,
        body: Box<ContainerCreateBody>,
    ) -> Result<Done> {
        let docker = self.docker().await?;
        let options = CreateContainerOptions { name: Some(name.to_owned()), ..Default::default() };
        // Boxed: the description of a container is large.
        self.change(Box::pin(docker.create_container(Some(options), *body))).await
    }

    /// Puts the files of an archive into a directory of a container.
    pub(super) async fn upload(
        &self,
        name: &str,
        dir: &str,
        archive: &Secret<Vec<u8>>,
    ) -> Result<Done> {
        let docker = self.docker().await?;
        let options = UploadToContainerOptions { path: dir.to_owned(), ..Default::default() };
        // As a stream: the library writes other bodies into its log.
        let bytes = archive.expose().clone().into();
        let body = body_stream(stream::once(std::future::ready(bytes)));
        self.change(docker.upload_to_container(name, Some(options), body)).await
    }

    pub(super) async fn start(&self, name: &str) -> Result<Done> {
        let docker = self.docker().await?;
        self.change(docker.start_container(name, None::<StartContainerOptions>)).await
    }

    pub(super) async fn unpause(&self, name: &str) -> Result<Done> {
        let docker = self.docker().await?;
        self.change(docker.unpause_container(name)).await
    }

    pub(super) async fn stop(&self, name: &str) -> Result<Done> {
        let docker = self.docker().await?;
        let options = StopContainerOptions { t: Some(STOP_SECONDS), ..Default::default() };
        self.change(docker.stop_container(name, Some(options))).await
    }

    /// Ends and removes a container with its nameless volumes.
    pub(super) async fn remove_container(&self, name: &str) -> Result<Done> {
        let docker = self.docker().await?;
        let options = RemoveContainerOptions { v: true, force: true, ..Default::default() };
        self.change(docker.remove_container(name, Some(options))).await
    }

    /// Returns the end of what a container printed; nothing where that cannot be read.
    pub(super) async fn output(&self, name: &str) -> String {
        let Ok(docker) = self.docker().await else { return String::new() };
        let options = LogsOptions {
            stdout: true,
            stderr: true,
            tail: LOG_LINES_MAX.to_owned(),
            ..Default::default()
        };
        let mut lines = Box::pin(docker.logs(name, Some(options)));
        let mut text = Vec::new();
        let reading = async {
            while let Some(Ok(line)) = lines.next().await {
                text.extend_from_slice(line.as_ref());
                if text.len() > LOG_BYTES_MAX {
                    break;
                }
            }
        };
        // What was read until then is shown.
        let _in_time = deadline::within(LOOK_WITHIN, reading).await;
        text.truncate(LOG_BYTES_MAX);
        String::from_utf8_lossy(&text).trim().to_owned()
    }

    /// Makes the volume of a name, or returns the one that exists.
    pub(super) async fn create_volume(&self, request: VolumeCreateRequest) -> Result<Volume> {
        let docker = self.docker().await?;
        self.finish(Call::Change, docker.create_volume(request)).await
    }

    pub(super) async fn volume(&self, name: &str) -> Result<Option<Volume>> {
        let docker = self.docker().await?;
        self.find(docker.inspect_volume(name)).await
    }

    pub(super) async fn volumes(&self, filters: Filters) -> Result<Vec<Volume>> {
        let docker = self.docker().await?;
        let options = ListVolumesOptions { filters: Some(filters) };
        let listed = self.finish(Call::Look, docker.list_volumes(Some(options))).await?;
        Ok(listed.volumes.unwrap_or_default())
    }

    pub(super) async fn remove_volume(&self, name: &str) -> Result<Done> {
        let docker = self.docker().await?;
        self.change(docker.remove_volume(name, None::<RemoveVolumeOptions>)).await
    }

    pub(super) async fn create_network(&self, request: NetworkCreateRequest) -> Result<Done> {
        let docker = self.docker().await?;
        self.change(docker.create_network(request)).await
    }

    pub(super) async fn networks(&self, filters: Filters) -> Result<Vec<Network>> {
        let docker = self.docker().await?;
        let options = ListNetworksOptions { filters: Some(filters) };
        self.finish(Call::Look, docker.list_networks(Some(options))).await
    }

    /// Makes a container that does not run one of a network again, by the network's present id.
    pub(super) async fn connect(&self, network: &str, container: &str) -> Result<Done> {
        let docker = self.docker().await?;
        let request =
            NetworkConnectRequest { container: container.to_owned(), ..Default::default() };
        self.network_change(docker.connect_network(network, request)).await
    }

    /// Removes a network; one with a running container is a conflict.
    pub(super) async fn remove_network(&self, id: &str) -> Result<Done> {
        let docker = self.docker().await?;
        self.network_change(docker.remove_network(id)).await
    }

    /// Changes a network, of which engines say "forbidden" when something is in the way.
    async fn network_change(
        &self,
        work: impl Future<Output = Result<(), EngineError>>,
    ) -> Result<Done> {
        match self.answer(Call::Change, work).await? {
            Ok(()) => Ok(Done::Yes),
            Err(error) => match map::status(&error) {
                Some(404) => Ok(Done::Absent),
                Some(403 | 409) => Ok(Done::Conflict),
                _ => Err(self.error(error, Call::Change)),
            },
        }
    }
}
