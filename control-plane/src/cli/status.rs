//! `sallyport status`: what the control plane says of itself, as JSON. `sallyport doctor` judges it.

use super::client::Client;
use super::{Server, print};

pub(super) async fn run(server: Server) -> anyhow::Result<()> {
    print(&Client::new(server)?.get("/v1/status").await?.to_string());
    Ok(())
}
