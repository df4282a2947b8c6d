//! The agent as a process sees it: a control plane that signs whatever the test wants in front, an API server that does whatever the
//! test wants behind.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod apart;
#[cfg(test)]
mod api_server;
#[cfg(test)]
mod approved;
#[cfg(test)]
mod control_plane;
#[cfg(test)]
mod grants;
#[cfg(test)]
mod guards;
#[cfg(test)]
mod held;
#[cfg(test)]
mod hidden;
#[cfg(test)]
mod links;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod pins;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod relay;
#[cfg(test)]
mod restored;
#[cfg(test)]
mod reviews;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod waiting;
#[cfg(test)]
mod world;
