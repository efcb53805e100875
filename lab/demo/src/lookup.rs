//! What a universal variable is just now, as a server's own AMI tells it.

use anyhow::{Context as _, Result};
use tandem_lab::{Ami, AmiMessage, Asterisk};

/// What a look-up came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    /// It has this value.
    Value(String),
    /// It is certainly not there.
    Missing,
    /// Nobody can tell.
    Unreachable,
}

impl Answer {
    fn parse(answer: &AmiMessage) -> Result<Self> {
        match answer.value("Status") {
            "OK" => Ok(Self::Value(answer.value("Value").to_owned())),
            "MISSING" => Ok(Self::Missing),
            "UNREACHABLE" => Ok(Self::Unreachable),
            other => anyhow::bail!("UniVarGet answered '{other}': {:?}", answer.headers()),
        }
    }
}

/// A session that asks one server.
pub(crate) struct Lookup {
    ami: Ami,
}

impl Lookup {
    pub(crate) fn through(server: &Asterisk) -> Result<Self> {
        let ami = server.ami().with_context(|| format!("the AMI of {}", server.name()))?;
        Ok(Self { ami })
    }

    pub(crate) fn get(&mut self, name: &str) -> Result<Answer> {
        Answer::parse(&self.ami.action(&[("Action", "UniVarGet"), ("Name", name)])?)
    }
}
