//! The driver's command line.

use std::path::PathBuf;

use crate::control::Failure;

pub(crate) struct Options {
    /// The frame server's program.
    pub(crate) server: PathBuf,
    /// The program that measures the makers' client.
    pub(crate) peer: PathBuf,
    /// Scenarios whose title holds this word.
    only: Option<String>,
    /// One round of each, to see that everything runs.
    pub(crate) quick: bool,
    /// A file that the table is appended to, besides standard output.
    pub(crate) output: Option<PathBuf>,
}

impl Options {
    pub(crate) fn parse(words: &[&str]) -> Result<Self, Failure> {
        let (mut server, mut peer, mut only, mut quick, mut output) = (None, None, None, false, None);
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            if word == "--quick" {
                quick = true;
                continue;
            }
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            match word {
                "--server" => server = Some(PathBuf::from(value)),
                "--peer" => peer = Some(PathBuf::from(value)),
                "--only" => only = Some((*value).to_owned()),
                "--output" => output = Some(PathBuf::from(value)),
                _ => return Err(format!("unknown option {word}").into()),
            }
        }
        Ok(Options {
            server: server.ok_or("--server PATH names the frame server's program")?,
            peer: peer.ok_or("--peer PATH names the program that measures kalam-client")?,
            only,
            quick,
            output,
        })
    }

    pub(crate) fn wants(&self, title: &str) -> bool {
        self.only.as_ref().is_none_or(|word| title.contains(word.as_str()))
    }
}
