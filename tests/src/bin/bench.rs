//! The measurements of `scripts/bench`, which builds what is measured and calls this.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people")]

use std::path::PathBuf;

use anyhow::{Context, bail};
use tests::bench::{self, Extent};

fn main() -> anyhow::Result<()> {
    shared_net::crypto::install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(result) = bench::role(&arguments) {
        return result;
    }
    let (mut extent, mut json, mut sidecar, mut only) = (Extent::WHOLE, None, None, String::new());
    let mut node = None;
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--quick" => extent = Extent::QUICK,
            "--json" => json = Some(PathBuf::from(value()?)),
            "--sidecar" => sidecar = Some(PathBuf::from(value()?)),
            "--only" => only = value()?,
            "--node" => node = Some(PathBuf::from(value()?)),
            _ => bail!("unknown argument {argument}: --quick, --json FILE, --only PART, --node DIR, --sidecar PROGRAM"),
        }
    }
    if only == "pods" && node.is_none() {
        bail!("pods: --node DIR names the folder of a node");
    }
    let sidecar = sidecar.context("--sidecar: which one is shipped?")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(bench::run(&extent, sidecar, &only, node.as_deref()))?;
    eprintln!();
    print!("{report}");
    match report.missed() {
        0 => println!("Every target is reached."),
        missed => println!("{missed} targets are missed."),
    }
    if let Some(path) = json {
        std::fs::write(&path, report.to_json()?).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
