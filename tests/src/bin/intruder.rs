//! [`tests::intruder`] as a program, for Pods.
//!
//! `intruder HOST:PORT PIN session TOKENFILE | agent TOKENFILE UID | get PATH | call PATH`

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tests::intruder::Intruder;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "what it is told is its output")]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [address, pin, rest @ ..] = words.as_slice() else { bail!("intruder HOST:PORT PIN …") };
    let address = tokio::net::lookup_host(address).await?.next().context("it has no address")?;
    let intruder = Intruder::dial(address, pin).await?;
    let read = |path: &str| std::fs::read_to_string(path).map(|token| token.trim().to_owned());
    let told = match rest {
        ["session", token] => intruder.session(&read(token)?).await?,
        ["agent", token, uid] => intruder.agent(&read(token)?, uid).await?,
        ["get", path] => intruder.operation(path).await?,
        ["call", path] => intruder.control(path, &json!({})).await?,
        _ => bail!("session TOKENFILE, agent TOKENFILE UID, get PATH, or call PATH"),
    };
    println!("{} {}", told.status, told.text);
    Ok(())
}
