//! Interleaved rounds: each contestant once, then all again.

use std::path::PathBuf;

use serde_json::Value;

use crate::children;
use crate::control::Failure;

pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// Slow ones run in the first few rounds only.
    pub(crate) rounds: usize,
}

/// What each contestant measured, by name and round.
pub(crate) struct Samples(Vec<(&'static str, Vec<Value>)>);

impl Samples {
    /// One figure of a contestant in each of its rounds; empty if it did not take part.
    pub(crate) fn figures(&self, name: &str, figure: fn(&Value) -> Option<f64>) -> Vec<f64> {
        let samples = self.0.iter().find(|(who, _)| *who == name);
        samples.map(|(_, samples)| samples.iter().filter_map(figure).collect()).unwrap_or_default()
    }
}

pub(crate) fn interleaved(contestants: &[Contestant]) -> Result<Samples, Failure> {
    let mut samples: Vec<_> = contestants.iter().map(|contestant| (contestant.name, Vec::new())).collect();
    let rounds = contestants.iter().map(|contestant| contestant.rounds).max().unwrap_or(0);
    for round in 0..rounds {
        for (contestant, (_, samples)) in contestants.iter().zip(&mut samples) {
            if round < contestant.rounds {
                samples.push(children::measure(&contestant.program, &contestant.arguments)?);
            }
        }
    }
    Ok(Samples(samples))
}
