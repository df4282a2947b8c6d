//! The differential test with as many pairs as wanted: `cargo run -p tests --bin differential -- --pairs 300000 [--seed 1]`.
//! Exits 1 if there is a disagreement.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people")]

use std::process::ExitCode;

use anyhow::{Context, bail};
use tests::cluster::Cluster;
use tests::differential::run;

fn main() -> anyhow::Result<ExitCode> {
    let (mut pairs, mut seed) = (300_000, 1);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--pairs" => pairs = value.parse()?,
            "--seed" => seed = value.parse()?,
            _ => bail!("unknown argument {argument}: --pairs N, --seed N"),
        }
    }
    let report = run(Cluster::get(), seed, pairs, |report| {
        eprintln!("{} pairs, {} agreed, {} disagreed", report.pairs, report.agreed, report.disagreed);
    })?;
    print!("{report}");
    Ok(if report.disagreed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
