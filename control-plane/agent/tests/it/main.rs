//! The agent as a process sees it: a control plane that signs whatever the test wants in front, an API server that does whatever the
//! test wants behind.

mod answers;
mod api_server;
mod approved;
mod control_plane;
mod grants;
mod links;
mod refused;
mod streams;
mod world;
